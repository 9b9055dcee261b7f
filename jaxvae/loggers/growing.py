"""Files that grow record by record, steps ascending, and are cut back to an earlier step. Knows no format."""

import os
import pathlib
from collections.abc import Callable, Iterator

from jaxvae import files


def cut_back(path: pathlib.Path, records: Callable[[bytes], Iterator[tuple[int, int]]], step: int) -> int:
    """Leave only what was told up to a step, and return the last one that is left; 0 for none.

    Args:
        path: the file; it need not exist.
        records: gives (step, where it ends) of the whole records that a content begins with.
        step: the last to keep; those of step 0 are kept in any case.
    """
    try:
        content = files.read(path)
    except FileNotFoundError:
        return 0
    last, end = 0, 0
    for told, stop in records(content):
        if told > step:
            break
        last, end = told, stop
    if end < len(content):
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        try:
            os.ftruncate(handle, end)
        finally:
            os.close(handle)
    return last


def append(path: pathlib.Path, content: bytes) -> None:
    """Add to the end of a file, which is no link. It is not held open: a sweep may have more lanes than there may be.

    Raises:
        OSError: it cannot be written.
    """
    with open(path, "ab", opener=files.open_no_link) as file:
        file.write(content)
