"""results.jsonl: one line per figure, written as soon as it is measured, and not measured twice. Knows no model.

A run goes on where one before it was cut off: what the file holds of the same code, machine, versions and settings is
taken as it is. Lines of anything else stay in the file and out of the table.
"""

import json
import pathlib
import time
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import measuring
import writing

SAME = ("device", "platform", "devices", "versions")
"""Of what a line says of the machine, what must be the same for two lines to stand in one table."""


def sources() -> int:
    """Return a checksum of the code that is measured and of what measures it; a checkout need not be clean, or one."""
    found = 0
    for folder in ("jaxvae", "experiments/benchmark"):
        for path in sorted((measuring.ROOT / folder).rglob("*.py")):
            found = zlib.crc32(path.read_bytes(), zlib.crc32(str(path.relative_to(measuring.ROOT)).encode(), found))
    return found


def setup_of(settings: Mapping[str, Any]) -> str:
    """Return what says whether two measurements are of one kind: code, machine, versions, and how things are timed."""
    machine = measuring.machine()
    told = {name: machine[name] for name in SAME} | {"sources": sources(), "settings": dict(settings)}
    return f"{zlib.crc32(json.dumps(told, sort_keys=True).encode()):08x}"


def read(path: pathlib.Path, setup: str) -> list[dict[str, Any]]:
    """Return the lines of a file that are of one setup; one that a kill has cut short is left out."""
    found = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if line.get("setup") == setup:
            found.append(line)
    return found


class Lines:
    """What has been measured: the lines of this run after those that the file holds of the same setup.

    Figures that are divided by each other are measured in turn: they are one cell, whose lines are written together.
    `cell` is the one that is being measured, None for none.

    Args:
        path: results.jsonl, appended to.
        common: what every line says.
        settings: how things are timed, whatever is timed.
        minutes: begin nothing new after so many; None for no end.
        publish: called with all lines whenever there are new ones.
    """

    def __init__(
        self,
        path: pathlib.Path,
        common: dict[str, Any],
        settings: Mapping[str, Any] = MappingProxyType({}),
        minutes: float | None = None,
        publish: Callable[[list[dict[str, Any]]], None] = lambda lines: None,
    ):
        self.path, self.common, self.minutes = path, common, minutes
        self.setup = setup_of(settings)
        self.all = read(path, self.setup)
        self.done = {line["cell"] for line in self.all if line.get("cell")}
        self.begun, self._publish = time.monotonic(), publish
        self.cell: str | None = None
        self._pending: list[dict[str, Any]] = []
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            with path.open("a", encoding="utf-8") as file:  # after a line that a kill has cut short
                file.write("\n")

    def begin(self, what: str, cell: dict[str, Any]) -> bool:
        """Begin a cell; False, and why is printed, where it has been measured already or no time is left.

        Args:
            what: to call it.
            cell: all that tells it from other cells, JSON types.
        """
        name = json.dumps(cell, sort_keys=True)
        if name in self.done:
            print(f"measured already: {what}", flush=True)
            return False
        if self.late(what):
            return False
        self.cell, self._pending = name, []
        return True

    def add(self, line: dict[str, Any], *, whole: bool = False) -> None:
        """Take a line, `whole` if nothing is to be added; outside of a cell it is written at once."""
        line = line if whole else line | measuring.machine() | self.common
        self._pending.append(line | {"setup": self.setup} | ({"cell": self.cell} if self.cell else {}))
        print(writing.sentence(line), flush=True)
        if not self.cell:
            self._write()

    def end(self) -> None:
        """Write the lines of a cell: it has been measured."""
        self.done.add(self.cell)
        self.cell = None
        self._write()

    def _write(self) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in self._pending))
        self.all += self._pending
        self._pending = []
        self._publish(self.all)

    def late(self, what: str) -> bool:
        """Return whether no time is left, and say what is left out."""
        late = self.minutes is not None and time.monotonic() - self.begun > 60 * self.minutes
        if late:
            print(f"left out after {self.minutes:g} minutes: {what}; the same command goes on there", flush=True)
        return late
