"""Arrays out of an .npz of anybody's: nothing is unpickled, and nothing believed of its size. Knows no data set."""

import math
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read(path: pathlib.Path, wanted: Iterable[str] | None = None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return those of the wanted arrays (None: of all) that a file holds, by name, and the names of all that it holds.

    Raises:
        Exception: whatever zip, zlib and NumPy raise for a damaged file; ValueError where a member is no array, is of
            Python objects, claims another size than it has, or does not fit into the machine's memory.
    """
    held = np.load(path, allow_pickle=False)
    if not isinstance(held, np.lib.npyio.NpzFile):
        raise ValueError("it is a single array")
    with held as archive:
        arrays = {}
        for name in archive.files if wanted is None else wanted:
            if name in archive.files:
                _check_claim(archive.zip, name)
                arrays[name] = archive[name]
        return arrays, list(archive.files)


def check_memory(what: str, num_bytes: int) -> None:
    """Refuse what is larger than the machine's memory before it is asked for, where the system says how much that is.

    Systems that promise memory they do not have would kill the process instead.

    Raises:
        ValueError: it is.
    """
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    if num_bytes > there > 0:
        raise ValueError(f"{what} takes {num_bytes / 2**30:,.1f} GiB, and this machine has {there / 2**30:,.1f}")


def _check_claim(archive: Any, name: str) -> None:
    """Refuse an array whose header claims more, or less, than lies there, before memory is asked for it."""
    member = name if name in archive.namelist() else f"{name}.npy"
    held = archive.getinfo(member).file_size
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            return  # of names that are not Latin: structured arrays, which nobody takes
        shape, _, dtype = _HEADERS[version](stream)
        start = stream.tell()
    claimed = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and claimed != held - start:
        raise ValueError(f"{name} claims the shape {shape} of {dtype}, {claimed:,} bytes, and has {held - start:,}")
    check_memory(name, claimed)
