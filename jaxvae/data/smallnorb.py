"""SmallNORB, from its official files or through TFDS, the way the disentanglement literature uses it."""

import gzip
import math
import pathlib
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import PIL.Image

from jaxvae.data import tfds
from jaxvae.data.errors import DataError, DataNotFoundError, damage
from jaxvae.data.grid import Dataset, assemble
from jaxvae.data.lookup import DataDir, existing, how_to_obtain, raw_file, say_once

FACTORS = ("category", "elevation", "azimuth", "lighting")
SIZES = (5, 9, 18, 6)
TERMS = "smallNORB: for research only, not to be sold"
STEMS = ("smallnorb-5x46789x9x18x6x2x96x96-training", "smallnorb-5x01235x9x18x6x2x96x96-testing")
KINDS = ("dat", "cat", "info")
DOWNLOAD = (
    f"download {STEMS[0]}-dat.mat.gz, -cat.mat.gz and -info.mat.gz and {STEMS[1]}-dat.mat.gz, -cat.mat.gz and "
    "-info.mat.gz from https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/ into data_dir"
)
OBTAIN = f"{how_to_obtain('smallnorb', DOWNLOAD)}; for research only, not to be sold"

_MAGIC = {"u1": bytes.fromhex("554c3d1e"), "<i4": bytes.fromhex("544c3d1e")}  # the first bytes, by the type of values


def load_smallnorb(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return smallNORB: 48600 images uint8 64x64x1, left camera, sorted by its factors and then by instance.

    As in disentanglement_lib: both splits are pooled, 96x96 is resized to 64x64 with Pillow's Lanczos filter, and the
    ten toys of a category (instance) are no factor but chance: ten images share each row of factors, so the grid is not
    a complete one.

    For research only, not to be sold.
    Sources: LeCun, Huang, Bottou 2004, https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/;
    disentanglement_lib, data/ground_truth/norb.py
    """
    root = existing("smallnorb", data_dir, how_to_obtain("smallnorb", DOWNLOAD, data_dir))
    # `split` is "train", which here means everything.
    names = [f"{stem}-{kind}.mat" for stem in STEMS for kind in KINDS]
    found = [raw_file("smallnorb", root, (name, f"{name}.gz")) for name in names]
    if all(found):
        images, labels = _read(found)
    elif any(found):
        missing = names[found.index(None)]
        raise DataNotFoundError(f"smallnorb: {missing} is not beside {next(filter(None, found))}: {DOWNLOAD}")
    else:
        images, labels = tfds.read("smallnorb", "train+test", root, _example, download=DOWNLOAD, ordered=True)
    say_once(TERMS)
    return assemble(
        "smallnorb", images, labels[:, :4], FACTORS, annotation="factors", factor_sizes=SIZES, unordered=("category",)
    )


def _example(record: dict) -> tuple[np.ndarray, list[int]]:
    # TFDS has already halved the azimuth (0, 2 … 34 in the raw file). The instance only settles the order.
    labels = [record[f"label_{name}"] for name in FACTORS]
    return _resized(record["image"][..., 0])[..., None], [*labels, record["instance"]]


def _resized(picture: np.ndarray) -> np.ndarray:
    return np.asarray(PIL.Image.fromarray(picture).resize((64, 64), PIL.Image.Resampling.LANCZOS))


def _read(paths: list[pathlib.Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8[N, 64, 64, 1] and their factors and instance i32[N, 5], by which they are sorted.

    Args:
        paths: dat, cat and info of one split, then those of the other.
    """
    parts = [_read_split(*paths[:3]), _read_split(*paths[3:])]
    images, labels = (np.concatenate(both) for both in zip(*parts, strict=True))
    order = np.lexsort(labels.T[::-1])  # lexsort's last key is the slowest
    return images[order], labels[order]


def _read_split(dat: pathlib.Path, cat: pathlib.Path, info: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    category, known = _matrix(cat, "<i4", ()), _matrix(info, "<i4", (4,))
    instance, elevation, azimuth, lighting = known.T
    for path, what, values, legal in (
        (cat, "category", category, range(SIZES[0])),
        (info, "instance", instance, range(10)),
        (info, "elevation", elevation, range(SIZES[1])),
        (info, "azimuth", azimuth, range(0, 2 * SIZES[2], 2)),  # in steps of 10 degrees, of which every other is there
        (info, "lighting", lighting, range(SIZES[3])),
    ):
        wrong = np.setdiff1d(values, legal)
        if wrong.size:
            raise DataError(f"{path} holds {what} {wrong[0]}, legal are {legal[0]} … {legal[-1]}: {DOWNLOAD}")

    images = _matrix(dat, "u1", (2, 96, 96), lambda cameras: _resized(cameras[0]))
    for path, rows in ((cat, category), (info, known)):
        if len(rows) != len(images):
            raise DataError(
                f"{dat} holds {len(images)} images and {path} {len(rows)} rows, they are of different splits: "
                f"{DOWNLOAD}"
            )
    labels = np.stack([category, elevation, azimuth // 2, lighting, instance], axis=1)
    return images[..., None], labels.astype(np.int32)


def _matrix(
    path: pathlib.Path, kind: str, row: tuple[int, ...], keep: Callable[[np.ndarray], np.ndarray] = np.asarray
) -> np.ndarray:
    """Return the rows of a file in NORB's binary format, gzipped or not, or what is to be kept of each.

    Format, all little-endian: an int32 that says what the values are, one that says how many axes there are, one for
    each axis, but three at least; then the values.

    Args:
        path: the file.
        kind: a key of _MAGIC, what the values must be.
        row: the shape that a row must have.
        keep: what is to be kept of a row: the whole would be 450 MB of pictures.

    Raises:
        DataError: the file is anything else, cut short, or too long.
    """
    with damage(path, DOWNLOAD), _open(path) as stream:
        magic = stream.read(4)
        if magic != _MAGIC[kind]:
            raise DataError(
                f"{path} begins with {magic.hex() or 'nothing'} instead of {_MAGIC[kind].hex()}: {DOWNLOAD}"
            )
        axes = int.from_bytes(stream.read(4), "little")
        shape = np.frombuffer(stream.read(4 * max(3, 1 + len(row))), "<i4").tolist()[: 1 + len(row)]
        if axes != 1 + len(row) or tuple(shape[1:]) != row or shape[0] < 1:
            raise DataError(f"{path} announces {axes} axes {shape} instead of {['N', *row]}: {DOWNLOAD}")
        size, kept = np.dtype(kind).itemsize * math.prod(row), []
        for number in range(shape[0]):
            content = stream.read(size)
            if len(content) < size:
                raise DataError(f"{path} announces {shape[0]} rows and holds {number}, it is cut short: {DOWNLOAD}")
            kept.append(keep(np.frombuffer(content, kind).reshape(row)))
        if stream.read(1):
            raise DataError(f"{path} holds more than the {shape[0]} rows that it announces: {DOWNLOAD}")
    return np.stack(kept)


def _open(path: pathlib.Path) -> BinaryIO:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"  # browsers unpack but keep the name
    return gzip.open(path) if zipped else path.open("rb")
