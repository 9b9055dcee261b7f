"""Pictures that lie in a folder or in a .zip, decoded once into the cache. Knows no data set in particular."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import PIL.Image

from jaxvae.data import cache, rasters
from jaxvae.data.errors import DataError, damage
from jaxvae.data.lookup import check_file
from jaxvae.data.telling import LOGGER, progress

SUFFIXES = (".jpg", ".jpeg", ".png")
_CHUNK = 256  # pictures between two words about the progress
_STORED = 1  # raise it when the same files come to be stored as other arrays: it is part of the cache's key


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures of one place.

    Attributes:
        where: a folder, or a .zip.
        members: by name without folder and suffix, in its order: the name that each has in `where`.
        stamps: for each the same: what changes when it does, the size and the time or the checksum of its file.
    """

    where: pathlib.Path
    members: dict[str, str]
    stamps: dict[str, tuple[int, ...]]

    def path(self, name: str) -> pathlib.Path:
        """Return what an error calls a picture."""
        return self.where / self.members[name]


def find(where: pathlib.Path, remedy: str) -> Pictures:
    """Return the pictures directly in a folder, or at any depth in a .zip; hidden ones are passed over.

    Raises:
        DataError: it cannot be listed, or has two pictures of one name; `remedy` is what to do.
    """
    if not where.is_dir():
        check_file(where, remedy)
    with damage(where, remedy):
        listed = list(_in_zip(where) if where.suffix == ".zip" else _in_folder(where))
    members, stamps = {}, {}
    for member, *stamp in sorted(listed):
        path = pathlib.PurePosixPath(member)
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in members:
            raise DataError(f"{where} has both {members[path.stem]} and {member}: delete one of them")
        members[path.stem], stamps[path.stem] = member, tuple(stamp)
    return Pictures(where, dict(sorted(members.items())), stamps)


def _in_folder(where: pathlib.Path) -> Iterator[tuple[str, int, int]]:
    with os.scandir(where) as entries:
        for entry in entries:
            if entry.is_file():
                yield entry.name, entry.stat().st_size, entry.stat().st_mtime_ns


def _in_zip(where: pathlib.Path) -> Iterator[tuple[str, int, int]]:
    with zipfile.ZipFile(where) as archive:
        for entry in archive.infolist():
            if not entry.is_dir():
                yield entry.filename, entry.file_size, entry.CRC


def decode(
    pictures: Pictures,
    names: Sequence[str],
    key: str,
    frame: Callable[[PIL.Image.Image, pathlib.Path], PIL.Image.Image],
    size: tuple[int, int],
    remedy: str,
) -> np.ndarray:
    """Return pictures uint8[N, H, W, 3] from the cache, or decoded, which says how far it is.

    Args:
        pictures: where they are.
        names: those that are wanted, keys of pictures.members, one at least.
        key: what the cache calls them; what tells one state of the files from another is added here.
        frame: a picture as it was opened, not decoded yet, and what an error calls it -> an RGB picture of `size`.
        size: (H, W).
        remedy: what to do about a damaged file.

    Raises:
        DataError: one of them cannot be read, or `frame` refuses it.
    """
    stamps = repr([(pictures.members[name], pictures.stamps[name]) for name in names])
    key = f"{key}-{hashlib.sha256(stamps.encode()).hexdigest()[:16]}-{_STORED}"
    kept = cache.fetch(key, ("images",))
    if kept is not None:
        return kept["images"]

    count, where = f"{len(names):,}", pictures.where
    LOGGER.info("decoding %s pictures of %s, once: %s", count, where, cache.told())
    images = np.empty((len(names), *size, 3), np.uint8)  # whole: joining blocks would need twice the memory
    with (
        rasters.quiet(),
        _reader(pictures, remedy) as read,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
        progress(f"decoding {where}", len(names), "pictures") as tick,
    ):

        def one(row: int) -> None:
            path = pictures.path(names[row])
            if pictures.stamps[names[row]][0] > rasters.MOST_BYTES:
                raise DataError(f"{path} is a file of more than {rasters.MOST_BYTES:,} bytes: {remedy}")
            with (
                damage(path, remedy),
                rasters.opened(io.BytesIO(read(pictures.members[names[row]])), path, remedy) as picture,
            ):
                images[row] = np.asarray(frame(picture, path))

        for start in range(0, len(names), _CHUNK):
            done = min(start + _CHUNK, len(names))
            list(pool.map(one, range(start, done)))  # Pillow decodes outside of Python's lock
            tick(done - start)
    cache.store(key, {"images": images}, compress=False)
    return images


@contextlib.contextmanager
def _reader(pictures: Pictures, remedy: str) -> Iterator[Callable[[str], bytes]]:
    """Give a function from the name of a member to its bytes; several threads may call it."""
    if pictures.where.suffix != ".zip":
        yield lambda member: (pictures.where / member).read_bytes()
        return
    with damage(pictures.where, remedy):
        archive = zipfile.ZipFile(pictures.where)
    with archive:
        yield archive.read
