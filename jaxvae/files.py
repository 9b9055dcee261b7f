"""Files that appear whole or not at all, in folders where strangers may write. Knows nothing of what is in them.

A temporary file has a name that nobody can foresee and is created, never opened; nothing is written, deleted or renamed
through a link.
"""

import contextlib
import os
import pathlib
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import BinaryIO

from jaxvae.types import InputError

TEMPORARY = re.compile(r"\.jaxvae-[0-9a-f]{16}\.tmp")
"""Names of files and folders that are not whole yet: what a kill leaves of them means nothing to anybody."""

_ATTEMPTS = 3


def temporary_beside(path: pathlib.Path) -> pathlib.Path:
    """Return a name in the folder of a path that nobody can foresee, as TEMPORARY says; nothing is there yet."""
    return path.with_name(f".jaxvae-{secrets.token_hex(8)}.tmp")


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Give a new file to write to, on disk and in the place of `path` when the block ends; untouched where it fails.

    What a link at `path` leads to is left alone: the link is replaced.

    Raises:
        OSError: it cannot be written.
    """
    temporary = temporary_beside(path)
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # the error that brought us here says more
            temporary.unlink(missing_ok=True)
    sync(path.parent)


def replace(path: pathlib.Path, content: bytes | str) -> None:
    """Replace a file so that a reader sees the old or the new content, whatever happens in between; text is UTF-8.

    Raises:
        OSError: it cannot be written.
    """
    content = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    for attempt in range(_ATTEMPTS):
        try:
            with replacing(path) as file:
                file.write(content)
            return
        except FileNotFoundError:  # somebody took the temporary file for one that a kill had left
            if attempt == _ATTEMPTS - 1 or not path.parent.is_dir():
                raise


def append(path: pathlib.Path, text: str) -> None:
    """Add text to the end of a file, which is no link.

    Raises:
        OSError: it cannot be written.
    """
    with open(path, "ab", opener=open_no_link) as file:
        file.write(text.encode("utf-8"))


def open_no_link(path: str, flags: int) -> int:
    """Open a file as `open` does, but through no link, and without waiting where it is a pipe."""
    return os.open(path, flags | _NO_LINK | os.O_NONBLOCK, 0o666)


def sync(path: pathlib.Path) -> None:
    """Wait until what was written to a file, or what a folder lists, is on disk, where the file system can say so."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | _NO_LINK)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read(path: pathlib.Path) -> bytes:
    """Read a file.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device, which might never end.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no ordinary file")
        return file.read()


def is_folder(path: pathlib.Path) -> bool:
    """Return whether a folder is there itself, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def make_folder(path: pathlib.Path) -> None:
    """Make a folder to write into, and those that it lies in.

    Raises:
        InputError: it is a link: what would be written lies elsewhere.
        OSError: it cannot be made.
    """
    if path.is_symlink():
        raise InputError(f"{path} is a link, and nothing is written through it; put a folder in its place")
    path.mkdir(parents=True, exist_ok=True)


def remove(path: pathlib.Path) -> None:
    """Delete a file, a folder with all that is in it, or a link and not what it leads to; nothing where there is none.

    Raises:
        OSError: something cannot be deleted.
    """
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_temporary(folder: pathlib.Path) -> None:
    """Delete what kills have left of files and folders that were being written to a folder."""
    if not is_folder(folder):
        return
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError):
                remove(path)


_NO_LINK = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
