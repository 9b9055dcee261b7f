"""A user's own folder of images."""

import pathlib

import numpy as np
import PIL.Image

from jaxvae.data.errors import DataError, damage
from jaxvae.data.grid import Dataset, assemble
from jaxvae.data.lookup import DataDir, existing

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
OBTAIN = f"point data_dir at a folder of images ({', '.join(SUFFIXES)}), all of one size"
_GREY = ("1", "L")  # Pillow's modes that hold one channel of at most 8 bits
_DEEP = ("I", "F")  # beginnings of its modes that hold more than 8 bits


def load_folder(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return the images that lie directly in a folder, sorted by file name: uint8[N, H, W, C], nothing known of them.

    C is 1 when every image is grey, else all are made RGB (transparency is dropped). Hidden files are passed over.

    Raises:
        DataError: no data_dir, no images, one that cannot be decoded or has more than 8 bits, or sizes that differ.
    """
    root = existing("folder", data_dir, OBTAIN)
    if root is None:
        raise DataError(f"folder: no data_dir was given: {OBTAIN}")
    if not root.is_dir():
        raise DataError(f"folder: {root} is a file, not a folder: {OBTAIN}")
    with damage(root, OBTAIN):
        names = sorted(p.name for p in root.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    paths = [root / name for name in names]
    if not paths:
        raise DataError(f"folder: no images directly in {root}: {OBTAIN}")

    # Headers first: a size that differs is found in seconds, before anything is decoded.
    headers = [_header(path) for path in paths]
    size = headers[0][0]
    for path, (other, mode) in zip(paths, headers, strict=True):
        if other != size:
            raise DataError(
                f"folder: {path} is {_say(other)}, {paths[0].name} is {_say(size)}: resize or crop all to one size"
            )
        if mode.startswith(_DEEP):
            raise DataError(f"folder: {path} has more than 8 bits a channel ({mode}): convert it to 8 bits")
    mode = "L" if all(mode in _GREY for _, mode in headers) else "RGB"

    images = np.empty((len(paths), size[1], size[0], len(mode)), np.uint8)
    for image, path in zip(images, paths, strict=True):
        with damage(path, "delete or replace it"), PIL.Image.open(path) as picture:
            image[:] = np.asarray(picture.convert(mode)).reshape(image.shape)
    return assemble("folder", images, annotation="none")


def _header(path: pathlib.Path) -> tuple[tuple[int, int], str]:
    with damage(path, "delete or replace it"), PIL.Image.open(path) as picture:
        return picture.size, picture.mode


def _say(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} pixels"
