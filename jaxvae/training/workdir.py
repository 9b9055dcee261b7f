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
import errno
import fcntl
import io
import json
import os
import pathlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from jaxvae import files
from jaxvae.parallel import hosts
from jaxvae.training import mended
from jaxvae.training.records import WorkdirError, read_json, read_spec
from jaxvae.training.spec import Spec, differences
from jaxvae.training.stopping import Interrupted

OWNED = ("checkpoints", "figures", "spec.json", "run.json", "history.csv", "results.csv", "report.html")
"""All that a sweep writes into its folder besides the lock; nothing else is ever touched."""


REPLACED = re.compile(r"\.jaxvae-[0-9a-f]{16}\.old")
"""Names of the folder into which a sweep is moved that is being replaced; where there is no spec.json beside it, a kill
came in between."""


def write_text(path: pathlib.Path, text: str) -> None:
    """Replace a file so that a reader sees the old or the new text, whatever happens in between."""
    if hosts.is_first():
        files.replace(path, text)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Replace a JSON file as a whole."""
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextlib.contextmanager
def claim(
    path: pathlib.Path,
    spec: Spec,
    *,
    resume: bool | None,
    overwrite: bool,
    say: Callable[[str], None] = print,
) -> Iterator[bool]:
    """Hold a folder for one sweep: create it, continue it, or with `overwrite` replace the sweep in it.

    Args:
        path: the folder; created with its parents when missing.
        spec: the sweep to run there.
        resume: True: there must be something to continue; False: there must not; None: continue if there is.
        overwrite: replace the sweep that is there (only files that a sweep writes). It is set aside, and deleted by
            `forget_replaced`, at the latest when the block ends.
        say: prints a line.

    Yields:
        Whether an earlier run is being continued. Where the block fails before anything has been saved, the folder is
        left as it was found.

    Raises:
        WorkdirError: the folder is something else, another sweep's, in use, or not writable.
    """
    if reason := mended.misread(path):
        raise WorkdirError(f"--workdir: {reason}")
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "a", opener=files.open_no_link, encoding="utf-8")  # noqa: SIM115  held to the end
    except OSError as error:
        raise WorkdirError(f"--workdir={path} cannot be written to ({error.strerror}); choose another folder") from None
    with lock:
        _lock(lock, path, say)
        try:
            if not os.path.lexists(path / "spec.json"):
                _put_back(path)  # a kill came while it was set aside
            there = _inspect(path, spec, resume=resume, overwrite=overwrite)
        except WorkdirError:
            _leave(path, made)
            raise
        if there:
            files.remove_temporary(path)
            files.remove_temporary(path / "figures")
            if read_json(path / "spec.json") != spec.to_json():
                write_json(path / "spec.json", spec.to_json())  # how it is run or scored from now on
        else:
            files.remove_temporary(path)
            _set_aside(path)
            write_json(path / "spec.json", spec.to_json())
        try:
            yield there
        except Interrupted:  # the same command goes on from there
            raise
        except BaseException:
            if not there and not _holds_checkpoints(path):
                _clear(path)
                _put_back(path)
                _leave(path, made)
            raise
        forget_replaced(path)


def _lock(lock: IO[str], path: pathlib.Path, say: Callable[[str], None]) -> None:
    """Hold a file for this process alone.

    Raises:
        WorkdirError: another process holds it.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise WorkdirError(
                f"--workdir={path} is in use by another process; wait for it or choose another"
            ) from None
        # Network file systems have no locks, or none now (ENOSYS, ENOTSUP, ENOLCK).
        say(f"{path} cannot be locked there ({error.strerror}): see that no second process trains in it")


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
    differing = differences(read_spec(path), spec)
    if differing:
        if not resume and not _holds_anything(path):
            return False
        raise WorkdirError(
            f"--workdir={path} holds another sweep ({'; '.join(differing)}); "
            "choose another folder, or add --overwrite to replace it"
        )
    for written in (*(path / name for name in OWNED), *(path / "checkpoints").glob("*"), *_deep(path)):
        if written.is_symlink():
            raise WorkdirError(
                f"{written} is a link, and a sweep writes and deletes only in its own folder; put there what it leads "
                "to, or make the whole workdir a link"
            )
    return True


def _deep(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Return what lies two and three folders deep in the checkpoints of a workdir."""
    yield from (path / "checkpoints").glob("*/*")
    yield from (path / "checkpoints").glob("*/*/*")


def _holds_checkpoints(path: pathlib.Path) -> bool:
    """Return whether anything that was trained has been saved."""
    return any(step.name.isdigit() for step in (path / "checkpoints").glob("*/*/*"))


def _holds_anything(path: pathlib.Path) -> bool:
    """Return whether there is more than the beginning of a sweep that saved nothing."""
    return _holds_checkpoints(path) or any((path / name).exists() for name in ("results.csv", "report.html"))


def _replaced(path: pathlib.Path) -> list[pathlib.Path]:
    """Return the folders of sweeps that are being replaced."""
    return sorted(p for p in path.iterdir() if REPLACED.fullmatch(p.name) and files.is_folder(p))


def _set_aside(path: pathlib.Path) -> None:
    """Move the sweep that is there out of the way; a kill at any moment leaves a folder known for what it is."""
    if _replaced(path) and not _holds_checkpoints(path):
        _clear(path)  # what was to replace the one set aside has come to nothing
        return
    before = [name for name in OWNED if os.path.lexists(path / name)]
    if before:
        forget_replaced(path)
        aside = path / f".jaxvae-{secrets.token_hex(8)}.old"
        aside.mkdir()
        # Without its spec.json the folder holds no sweep: that one rename decides.
        for name in sorted(before, key=lambda name: name != "spec.json"):
            os.replace(path / name, aside / name)


def _put_back(path: pathlib.Path) -> None:
    """Move a sweep that was set aside back to where it was."""
    for aside in [folder for folder in _replaced(path) if (folder / "spec.json").exists()][:1]:
        for written in sorted(aside.iterdir(), key=lambda written: written.name == "spec.json"):
            if written.name in OWNED and not os.path.lexists(path / written.name):
                os.replace(written, path / written.name)
        with contextlib.suppress(OSError):
            aside.rmdir()


def forget_replaced(path: pathlib.Path) -> None:
    """Delete the sweep that another one has replaced, now that the other one has begun."""
    for aside in _replaced(path):
        with contextlib.suppress(OSError):  # the next run tries again
            # What is half deleted is nothing to be put back: that one rename decides.
            files.remove(aside.rename(files.temporary_beside(aside)))


def _clear(path: pathlib.Path) -> None:
    for name in sorted(OWNED, key=lambda name: name == "spec.json"):
        files.remove(path / name)


def _leave(path: pathlib.Path, made: list[pathlib.Path]) -> None:
    """Leave a folder that holds no sweep as it was found, and none that was made for one."""
    files.remove_temporary(path)
    if not (path / "spec.json").exists():
        (path / ".lock").unlink(missing_ok=True)
    for folder in made:
        with contextlib.suppress(OSError):  # there is something in it
            folder.rmdir()


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

    def rewrite_lines(self, columns: Sequence[str], lines: Sequence[str]) -> None:
        """Replace all rows at once by rows of numbers as they were written, under some of the columns."""
        if lines and list(columns) != self.columns:
            places = [columns.index(name) if name in columns else None for name in self.columns]
            split = (line.split(",") for line in lines)
            lines = [",".join("" if place is None else cells[place] for place in places) for cells in split]
        write_text(self.path, "".join(f"{line}\n" for line in (",".join(self.columns), *lines)))

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows at the end; a kill can cut the last one short, which `logged.read` forgives."""
        if hosts.is_first():
            text = io.StringIO()
            csv.DictWriter(text, self.columns, restval="", lineterminator="\n").writerows(rows)
            files.append(self.path, text.getvalue())

    def sync(self) -> None:
        """Wait until all rows are on disk."""
        if hosts.is_first():
            files.sync(self.path)


def read_table(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read a CSV file: numbers become int or float, empty cells None; a torn last row is left out.

    Raises:
        WorkdirError: it is missing.
    """
    try:
        text = files.read(path).decode("utf-8", "replace")
    except OSError as error:
        raise WorkdirError(f"{path} cannot be read ({error.strerror or error})") from None
    whole = text[: text.rfind("\n") + 1]
    return [
        {n: _value(v) for n, v in row.items()} for row in csv.DictReader(io.StringIO(whole)) if None not in row.values()
    ]


def _value(text: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text or None
