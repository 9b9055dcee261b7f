"""Orbax, mended where it does not hold on every machine: clocks that jump, folders named like patterns. Knows no state.

It measures its deadlines, and dates checkpoints, by the system's clock: where that is set forward by an hour, while a
laptop wakes or a container is moved, every save that is under way has timed out. And it looks for the files of each
process by a pattern that the whole path is part of: in a folder "runs[1]" it finds none, puts nothing together, and
what it says that it saved cannot be read.
"""

import glob
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from etils import epath  # which Orbax stands on


class _Clock:
    """The module `time` as Orbax sees it: the system's time when this was made, and from then on what has passed."""

    def __init__(self):
        self._then, self._start = time.time_ns(), time.monotonic_ns()

    def time_ns(self) -> int:
        return self._then + time.monotonic_ns() - self._start

    def time(self) -> float:
        return self.time_ns() / 1e9

    def __getattr__(self, name: str):
        return getattr(time, name)


_CLOCK = _Clock()
_Path: Any = type(epath.Path("/"))
_glob_as_found = _Path.glob


def _glob(self: Any, pattern: str) -> Iterator[Any]:
    """Yield what matches a pattern below a local path, whose own name is none."""
    if "://" in str(self):
        yield from _glob_as_found(self, pattern)
        return
    for found in glob.iglob(pattern, root_dir=str(self)):
        yield self / found


def misread(folder: pathlib.Path) -> str:
    """Return why TensorStore, which Orbax writes with, would write elsewhere; "" where it would not."""
    if "\\" in str(folder.absolute()):
        return f"{folder.absolute()} has a backslash in it, which TensorStore takes for a slash; name it otherwise"
    return ""


def mend() -> None:
    """Mend the parts of Orbax that are there by now."""
    _Path.glob = _glob
    for name, module in list(sys.modules.items()):
        if name.startswith("orbax.") and getattr(module, "time", None) is time:
            module.time = _CLOCK
