"""The folder a sweep lives in: what lies where, who may write, and tables that survive a kill. Knows no device.

Of several processes only the first writes here; in the others a write does nothing.

WORKDIR/spec.json        the resolved spec; its presence makes a folder a workdir
        run.json         how it has run so far: lane modes, waves, seconds, environment
        checkpoints/     one folder a wave of lanes
        history.csv      a row a lane and step at which it was logged or scored
        results.csv      a row a lane: hypers, status, scores
        figures/ report.html
"""

import contextlib
import csv
import fcntl
import io
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxvae.parallel import hosts
from jaxvae.training.spec import Spec, differences
from jaxvae.types import InputError

OWNED = ("checkpoints", "figures", "spec.json", "run.json", "history.csv", "results.csv", "report.html")
"""All that a sweep writes into its folder besides the lock; nothing else is ever touched."""


class WorkdirError(InputError):
    """A folder cannot be used as asked; the message says why and what to change."""


def write_text(path: pathlib.Path, text: str) -> None:
    """Replace a file so that a reader sees the old or the new text, whatever happens in between."""
    if not hosts.is_first():
        return
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Replace a JSON file as a whole."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: pathlib.Path) -> Any:
    """Read a JSON file.

    Raises:
        WorkdirError: it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WorkdirError(f"{path} cannot be read ({error}); is this the folder of a sweep?") from None


@contextlib.contextmanager
def claim(path: pathlib.Path, spec: Spec, *, resume: bool | None, overwrite: bool) -> Iterator[bool]:
    """Hold a folder for one sweep: create it, continue it, or with `overwrite` replace the sweep in it.

    Args:
        path: the folder; created with its parents when missing.
        spec: the sweep to run there.
        resume: True: there must be something to continue; False: there must not; None: continue if there is.
        overwrite: delete the sweep that is there (only files that a sweep writes).

    Yields:
        Whether an earlier run is being continued.

    Raises:
        WorkdirError: the folder is something else, another sweep's, in use, or not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "a")  # noqa: SIM115  held until the sweep ends
    except OSError as error:
        raise WorkdirError(f"--workdir={path} cannot be written to ({error.strerror}); choose another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WorkdirError(
                f"--workdir={path} is in use by another process; wait for it or choose another"
            ) from None
        try:
            there = _inspect(path, spec, resume=resume, overwrite=overwrite)
        except WorkdirError:
            if not any(p.name != ".lock" for p in path.iterdir()) or not (path / "spec.json").exists():
                (path / ".lock").unlink(missing_ok=True)  # leave a folder that is not ours as it was
            raise
        if not there:
            for name in OWNED:
                target = path / name
                shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
            write_json(path / "spec.json", spec.to_json())
        elif read_json(path / "spec.json") != spec.to_json():
            write_json(path / "spec.json", spec.to_json())  # how it is run or scored from now on
        yield there


def _inspect(path: pathlib.Path, spec: Spec, *, resume: bool | None, overwrite: bool) -> bool:
    """Return whether there is a run to continue; raise when the folder must not be used."""
    if not (path / "spec.json").exists():
        foreign = sorted(p.name for p in path.iterdir() if p.name != ".lock" and not p.name.endswith(".tmp"))
        if foreign:
            raise WorkdirError(
                f"--workdir={path} holds files but no sweep (such as {foreign[0]!r}); choose a new or empty folder"
            )
        if resume:
            raise WorkdirError(f"--resume was given, but --workdir={path} holds no sweep to continue")
        return False
    if overwrite:
        return False
    if resume is False:
        raise WorkdirError(
            f"--workdir={path} already holds a sweep and --noresume was given; add --overwrite to replace it"
        )
    differing = differences(read_json(path / "spec.json"), spec)
    if differing:
        raise WorkdirError(
            f"--workdir={path} holds another sweep ({'; '.join(differing)}); "
            "choose another folder, or add --overwrite to replace it"
        )
    return True


class Table:
    """A CSV file that grows row by row and can be cut back to an earlier moment."""

    def __init__(self, path: pathlib.Path, columns: Iterable[str]):
        self.path, self.columns = path, list(columns)

    def rewrite(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace all rows at once; None and absent values become empty cells."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows at the end; a kill can cut the last one short, which `read` forgives."""
        if not hosts.is_first():
            return
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.columns, restval="", lineterminator="\n").writerows(rows)


def read_table(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read a CSV file: numbers become int or float, empty cells None; a torn last row is left out.

    Raises:
        WorkdirError: it is missing.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise WorkdirError(f"{path} cannot be read ({error.strerror})") from None
    whole = text[: text.rfind("\n") + 1]
    return [
        {n: _value(v) for n, v in row.items()} for row in csv.DictReader(io.StringIO(whole)) if None not in row.values()
    ]


def read_columns(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read a CSV file of numbers as columns; an empty cell is NaN."""
    rows = read_table(path)
    names = list(rows[0]) if rows else []
    columns = {n: np.array([np.nan if row[n] is None else row[n] for row in rows]) for n in names}
    return {n: v.astype(np.int64) if n in ("lane", "step") else v.astype(np.float64) for n, v in columns.items()}


def _value(text: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text or None
