"""A user's own folder of images."""

import contextlib
import math
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import PIL.Image
import PIL.ImageOps

from jaxvae.data import npy, rasters
from jaxvae.data.errors import DataError, damage
from jaxvae.data.grid import Dataset, assemble
from jaxvae.data.lookup import DataDir, check_file, existing

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
OBTAIN = (
    f"point data_dir at a folder of images ({', '.join(SUFFIXES)}), all of one size, or at a folder of "
    "subfolders of images, whose names are then the labels"
)
_GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of one channel and transparency
_CLEAR = ("RGBA", "RGBa", "LA", "La", "PA")  # those with transparency in every pixel
_DEEP = ("I", "F")  # those of signed integers and of floats, of which nothing says what is white
_WIDTH, _HEIGHT, _BITS, _ORIENTATION = 256, 257, 258, 274  # tags of TIFF, the last one of EXIF too
_REPLACE = "delete or replace it"


def load_folder(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return a folder's images: uint8[N, H, W, C], sorted by file name.

    Images lie directly in the folder, and nothing is known of them; or all lie in its subfolders, and the name of the
    subfolder is the label of an image, numbered in sorted order. Hidden files and folders are passed over.

    An image is what a viewer shows on a white page: turned as its EXIF orientation says, transparent parts white. Grey
    of 16 bits is scaled to 8, CMYK and palettes become RGB, colour profiles are not applied. C is 1 when every image is
    grey, else all are made RGB.

    Raises:
        DataError: no data_dir, no images, images both in the folder and below it, one that cannot be decoded, has
            several pages or frames, or values without a known white, or sizes that differ.
    """
    root = existing("folder", data_dir, OBTAIN)
    if root is None:
        raise DataError(f"folder: no data_dir was given: {OBTAIN}")
    if not root.is_dir():
        raise DataError(f"folder: {root} is a file, not a folder: {OBTAIN}")
    classes = _classes(root)
    paths = [path for found in classes.values() for path in found]

    # Headers first: a size that differs is found in seconds, before anything is decoded.
    with rasters.quiet():
        headers = [_header(path) for path in paths]
    size = headers[0][0]
    for path, (other, _) in zip(paths, headers, strict=True):
        _check_size(path, other, paths[0], size)
    mode = "L" if all(grey for _, grey in headers) else "RGB"

    shape = (len(paths), size[1], size[0], len(mode))
    with damage(root, "make the images smaller, or leave some out"):
        npy.check_memory(f"{len(paths):,} images of {_say(size)}", math.prod(shape))
    images = np.empty(shape, np.uint8)
    for image, path in zip(images, paths, strict=True):
        with rasters.quiet(), damage(path, _REPLACE), _open(path) as picture:
            shown = _on_white(PIL.ImageOps.exif_transpose(picture)).convert(mode)
        _check_size(path, shown.size, paths[0], size)  # some formats keep their orientation behind the pixels
        image[:] = np.asarray(shown).reshape(image.shape)
    if "" in classes:
        return assemble("folder", images, annotation="none")
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in classes.values()])[:, None]
    called = (tuple(classes),)
    return assemble(
        "folder", images, labels, ("label",), annotation="labels", factor_values=called, unordered=("label",)
    )


def _classes(root: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Return the images of each subfolder by its name, sorted; those directly in the folder by the name ""."""
    with damage(root, OBTAIN):
        direct, folders = _images(root), _folders(root)
        below = {folder.name: _images(folder) for folder in folders}
        deeper = next((path for folder in folders for child in _folders(folder) for path in _anywhere(child)), None)
    below = {name: found for name, found in below.items() if found}
    nested = next((found[0] for found in below.values()), deeper)
    if direct and nested:
        raise DataError(
            f"folder: {root} has images both directly in it ({direct[0].name}) and below it "
            f"({nested.relative_to(root)}): move them to one place, or all into subfolders, which become labels"
        )
    if not direct and deeper:
        raise DataError(
            f"folder: {deeper} lies deeper than the subfolders of {root}, which become labels: move it up, or point "
            f"data_dir at {deeper.parent.parent}"
        )
    if not direct and not below:
        raise DataError(f"folder: no images directly in {root} or in its subfolders: {OBTAIN}")
    return {"": direct} if direct else below


def _images(folder: pathlib.Path) -> list[pathlib.Path]:
    found = (path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.is_dir())
    return [folder / name for name in sorted(found) if not name.startswith(".")]


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [folder / name for name in names]


def _anywhere(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return an image in a folder or at any depth below it, as a list of one or none."""
    for place, folders, _ in os.walk(folder):  # which follows no links, so it ends
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if found := _images(pathlib.Path(place)):
            return found[:1]
    return []


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator[PIL.Image.Image]:
    # By a file, not a path: what Pillow then does not map into memory it cannot map with its sides changed over, as
    # version 13 does with a TIFF that is turned and not compressed.
    check_file(path, _REPLACE)
    with path.open("rb") as file, rasters.opened(file, path, _REPLACE) as picture:
        yield picture


def _header(path: pathlib.Path) -> tuple[tuple[int, int], bool]:
    """Return width and height of an image as it is shown, and whether it is grey; nothing is decoded."""
    with damage(path, _REPLACE), _open(path) as picture:
        # A photograph may carry others for the camera's own use (MPO); the first is the one that viewers show.
        pages = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
        if pages > 1:
            raise DataError(f"folder: {path} has {pages} pages or frames: save each as an image of its own")
        tiff = picture.tag_v2 if picture.format == "TIFF" else {}
        bits = tiff.get(_BITS, (16,))[0] if picture.mode.startswith("I;16") else 16
        if (picture.mode in _DEEP and (picture.mode, picture.format) != ("I", "PNG")) or bits != 16:
            known = f"{bits} bits" if bits != 16 else f"mode {picture.mode}"
            raise DataError(
                f"folder: {path} has grey values of which nothing says what is white ({known}): make it 8 or 16 bits"
            )
        size, grey = picture.size, picture.mode in _GREY or picture.mode == "I"
        if tiff:  # Pillow turns it by itself, some of its versions not before it is decoded
            size = tiff[_WIDTH], tiff[_HEIGHT]
        # To look for EXIF behind a PNG's pixels, Pillow would decode them.
        known = picture.format != "PNG" or any("exif" in str(key) or "xmp" in str(key) for key in picture.info)
        turned = picture.getexif().get(_ORIENTATION) if known else None
        size = size[::-1] if turned in (5, 6, 7, 8) else size
        return size, grey


def _on_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Return a picture of 8 bits a channel without transparency."""
    clear = picture.info.get("transparency")
    if picture.mode.startswith("I"):  # 16 bits; 32 were refused
        values = np.asarray(picture).astype(np.uint32)
        eight = ((values + 128) // 257).astype(np.uint8)  # 257 k -> k
        return PIL.Image.fromarray(eight if clear is None else np.where(values == clear, np.uint8(255), eight))
    if picture.mode not in _CLEAR and clear is None:
        return picture
    layer = picture.convert("RGBA")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _check_size(path: pathlib.Path, size: tuple[int, int], first: pathlib.Path, wanted: tuple[int, int]) -> None:
    if size != wanted:
        raise DataError(
            f"folder: {path} is {_say(size)}, {first.name} is {_say(wanted)}: resize or crop all to one size"
        )


def _say(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} pixels"
