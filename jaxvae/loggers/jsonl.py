"""The logger that needs no library: a folder a lane, with a line of JSON for each row. Knows no training.

LANE/config.json        objective, architecture, all numbers
     history.jsonl      the lane's rows of history.csv
     scores.json        what it has come to
     traversals.png …   pictures of a lane on show
"""

import json
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxvae import files
from jaxvae.loggers import growing
from jaxvae.loggers.base import Final, Watched

_STEP = re.compile(rb'"step": ([0-9]+)[,}]')


class Jsonl:
    """Lines of JSON, for whatever reads them."""

    needs = ""

    def __init__(self, folder: pathlib.Path, sweep: Watched):
        self._lanes = {lane.number: lane for lane in sweep.lanes}
        self._folders = {lane.number: folder / lane.name for lane in sweep.lanes}
        self._group = {"sweep": sweep.name, "id": sweep.id}

    def begin(self, saved: Mapping[int, int]) -> dict[int, int]:
        """See Logger."""
        last = {}
        for number, folder in self._folders.items():
            files.make_folder(folder)
            last[number] = growing.cut_back(folder / "history.jsonl", _records, saved.get(number, 0))
            config = _as_json({"lane": number} | self._lanes[number].hypers | self._group)
            if not last[number]:
                files.remove(folder / "config.json")
                growing.append(folder / "config.json", config.encode())
        return last

    def rows(self, rows: Sequence[Mapping[str, float]]) -> None:
        """See Logger."""
        lines: dict[int, str] = {}
        for row in rows:
            lines[row["lane"]] = lines.get(row["lane"], "") + _as_json(row)
        for lane, text in lines.items():
            growing.append(self._folders[lane] / "history.jsonl", text.encode())

    def finish(self, finals: Sequence[Final]) -> None:
        """See Logger."""
        for final in finals:
            folder = self._folders[final.lane]
            told = {"lane": final.lane, "step": final.step, "status": final.status} | final.scores
            files.replace(folder / "scores.json", _as_json(told))
            for name, png in final.pictures.items():
                files.replace(folder / f"{name}.png", png)

    def close(self) -> None:
        """See Logger."""


def _as_json(row: Mapping[str, Any]) -> str:
    """Return a line; JSON has no number that is not finite."""
    row = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}
    return json.dumps(row) + "\n"


def _records(content: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while (end := content.find(b"\n", start) + 1) and (found := _STEP.search(content, start, end)):
        yield int(found[1]), end
        start = end
