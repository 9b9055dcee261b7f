"""The folder a sweep lives in: what lies where, and who may write. Knows no device.

Of several processes only the first writes here; in the others a write does nothing.

WORKDIR/spec.json        the resolved spec; its presence makes a folder a workdir
        run.json         how it has run so far: lane modes, waves, seconds, environment
        checkpoints/     one folder a wave of lanes
        history.csv      a row a lane and step at which it was logged or scored
        results.csv      a row a lane: hypers, status, scores
        figures/ report.html
        logs/            what loggers keep of the sweep, a folder each (--log_to)
"""

import contextlib
import dataclasses
import errno
import fcntl
import os
import pathlib
import re
import secrets
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from jaxvae import files
from jaxvae.asked import extending
from jaxvae.asked.spec import Spec, differences
from jaxvae.parallel.stopping import Interrupted
from jaxvae.workdir import mended, tables
from jaxvae.workdir.records import WorkdirError, read_spec

OWNED = ("checkpoints", "figures", "logs", "spec.json", "run.json", "history.csv", "results.csv", "report.html")
"""All that a sweep writes into its folder besides the lock; nothing else is ever touched."""


REPLACED = re.compile(r"\.jaxvae-[0-9a-f]{16}\.old")
"""Names of the folder into which a sweep is moved that is being replaced; where there is no spec.json beside it, a kill
came in between."""


@contextlib.contextmanager
def claim(
    path: pathlib.Path,
    spec: Spec,
    *,
    resume: bool | None,
    overwrite: bool,
    extend: bool = False,
    say: Callable[[str], None] = print,
) -> Iterator[bool]:
    """Hold a folder for one sweep: create it, continue it, with `extend` add to it, with `overwrite` replace it.

    Its spec.json then is that of the sweep, with what the sweep extends: one rename turns the old sweep into the new
    one, of which not all has been trained.

    Args:
        path: the folder; created with its parents when missing.
        spec: the sweep to run there.
        resume: True: there must be something to continue; False: there must not; None: continue if there is.
        overwrite: replace the sweep that is there (only files that a sweep writes). It is set aside, and deleted by
            `forget_replaced`, at the latest when the block ends.
        extend: take up a sweep that the one to run has all lanes of.
        say: prints a line.

    Yields:
        Whether an earlier run is being continued. Where the block fails before anything has been saved, the folder is
        left as it was found; also one whose sweep was to be extended.

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
            there = _inspect(path, spec, resume=resume, overwrite=overwrite, extend=extend)
        except WorkdirError:
            _leave(path, made)
            raise
        files.remove_temporary(path)
        if there:
            files.remove_temporary(path / "figures")
        else:
            _set_aside(path)
        before = read_spec(path) if there else None
        spec = extending.extended(before, spec) if before else dataclasses.replace(spec, extends=())
        found = _found(path) if before and extending.grows(before, spec) else None
        if before != spec.to_json():
            tables.write_json(path / "spec.json", spec.to_json())  # also how it is run or scored from now on
        try:
            yield there
        except Interrupted:  # the same command goes on from there
            raise
        except BaseException as error:
            if found and isinstance(error, Exception) and _found(path).checkpoints == found.checkpoints:
                _restore(path, found)
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


def _inspect(path: pathlib.Path, spec: Spec, *, resume: bool | None, overwrite: bool, extend: bool) -> bool:
    """Return whether there is a run to continue; raise when the folder must not be used."""
    if extend and (overwrite or resume is False):
        other = "--overwrite deletes it" if overwrite else "--noresume starts anew"
        raise WorkdirError(f"--extend keeps the sweep that is there, and {other}; give one of them")
    if not (path / "spec.json").exists():
        foreign = sorted(p.name for p in path.iterdir() if p.name != ".lock" and not p.name.endswith(".tmp"))
        if foreign:
            raise WorkdirError(
                f"--workdir={path} holds files but no sweep (such as {foreign[0]!r}); choose a new or empty folder"
            )
        if resume:
            raise WorkdirError(f"--resume was given, but --workdir={path} holds no sweep to continue")
        if extend:
            raise WorkdirError(f"--extend was given, but --workdir={path} holds no sweep to extend; name its folder")
        return False
    if overwrite:
        return False
    if resume is False:
        raise WorkdirError(
            f"--workdir={path} already holds a sweep and --noresume was given; add --overwrite to replace it"
        )
    saved = read_spec(path)
    # Of one that was extended, other words for the same lanes will do: those that came later were merged into its own.
    differing = differences(saved, extending.extended(saved, spec) if saved.get("extends") else spec)
    if extend and (refusals := extending.refusals(saved, spec)):
        raise WorkdirError(
            f"--extend: lanes of the sweep in --workdir={path} would change or go ({'; '.join(refusals)}); "
            "ask for all that is there and more, or choose another folder"
        )
    if differing and not extend:
        if not resume and not _holds_anything(path):
            return False
        more = "add --extend to train only what it lacks, " * extending.is_extension(saved, spec)
        raise WorkdirError(
            f"--workdir={path} holds another sweep ({'; '.join(differing)}); "
            f"{more}choose another folder, or add --overwrite to replace it"
        )
    deep = (found for depth in ("*", "*/*", "*/*/*") for found in (path / "checkpoints").glob(depth))
    for written in (*(path / name for name in OWNED), *deep):
        if written.is_symlink():
            raise WorkdirError(
                f"{written} is a link, and a sweep writes and deletes only in its own folder; put there what it leads "
                "to, or make the whole workdir a link"
            )
    return True


class _Found(NamedTuple):
    """What of a sweep an extension changes before it trains anything, and what has been trained."""

    texts: dict[str, bytes]
    checkpoints: set[pathlib.Path]


def _found(path: pathlib.Path) -> _Found:
    texts = {name: files.read(path / name) for name in ("spec.json", "run.json") if (path / name).exists()}
    return _Found(texts, {step for step in (path / "checkpoints").glob("*/*/*") if step.name.isdigit()})


def _restore(path: pathlib.Path, found: _Found) -> None:
    """Make a sweep what it was before it was to be extended; a kill at any moment leaves one or the other."""
    if "run.json" in found.texts:
        files.replace(path / "run.json", found.texts["run.json"])
    else:
        files.remove(path / "run.json")
    files.replace(path / "spec.json", found.texts["spec.json"])


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
