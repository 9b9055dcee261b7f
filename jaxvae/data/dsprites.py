"""dSprites, from its official .npz or .hdf5 or through TFDS; always as bits, never unpacked as a whole."""

import pathlib
import zipfile
from collections.abc import Iterator

import numpy as np

from jaxvae.data import npy, tfds
from jaxvae.data.errors import DataError, damage
from jaxvae.data.grid import Dataset, assemble, pack
from jaxvae.data.lookup import DataDir, existing, how_to_obtain, raw_file
from jaxvae.data.sprites import NAMES

FACTORS = ("shape", "scale", "orientation", "x_position", "y_position")
SHAPE = (64, 64, 1)
_STEM = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64"
DOWNLOAD = f"download {_STEM}.npz from https://github.com/deepmind/dsprites-dataset into data_dir"
OBTAIN = how_to_obtain("dsprites", DOWNLOAD)
_ROWS = 8192  # images unpacked at a time: the whole would be 3 GB, its bits are 378 MB


def load_dsprites(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return dSprites: 737280 binary images 64x64x1, the complete grid of its five factors, last one fastest.

    The original's colour column has one value and is left out: the data are interchangeable with "sprites".

    Source: Matthey, Higgins, Hassabis, Lerchner 2017, https://github.com/deepmind/dsprites-dataset
    """
    root = existing("dsprites", data_dir, how_to_obtain("dsprites", DOWNLOAD, data_dir))
    path = raw_file("dsprites", root, (f"{_STEM}.npz", f"{_STEM}.hdf5"))
    if path is None:
        bits, classes = tfds.read("dsprites", split, root, _example, download=DOWNLOAD, ordered=True, packed=True)
    else:
        bits, classes = _read_npz(path) if path.suffix == ".npz" else _read_hdf5(path)
    known = {"annotation": "factors", "factor_values": NAMES, "unordered": ("shape",)}
    return assemble("dsprites", bits, classes, FACTORS, packed_shape=SHAPE, **known)


def _example(record: dict) -> tuple[np.ndarray, list[int]]:
    return record["image"], [record[f"label_{name}"] for name in FACTORS]


def _read_npz(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    with damage(path, DOWNLOAD):
        classes = npy.read(path, ["latents_classes"])[0]["latents_classes"]
    return _checked(path, _npz_blocks(path), classes)


def _npz_blocks(path: pathlib.Path) -> Iterator[np.ndarray]:
    # By hand, because np.load can only give the member as a whole.
    with damage(path, DOWNLOAD), zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran_order, dtype = read_header[version](stream)
        if shape[1:] != SHAPE[:2] or dtype != np.uint8 or fortran_order:
            raise DataError(f"{path} holds imgs {dtype} {shape} instead of uint8 (N, 64, 64): {DOWNLOAD}")
        for start in range(0, shape[0], _ROWS):
            rows = min(_ROWS, shape[0] - start)
            yield np.frombuffer(stream.read(rows * 64 * 64), np.uint8).reshape(rows, 64, 64)
        # Only a read that meets the end makes zipfile compare the CRC.
        stream.read(1)


def _read_hdf5(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    import h5py

    with damage(path, DOWNLOAD), h5py.File(path, "r") as file:
        npy.check_memory("latents/classes", file["latents/classes"].nbytes)
        classes = file["latents/classes"][()]
    return _checked(path, _hdf5_blocks(path), classes)


def _hdf5_blocks(path: pathlib.Path) -> Iterator[np.ndarray]:
    import h5py

    with damage(path, DOWNLOAD), h5py.File(path, "r") as file:
        images = file["imgs"]
        if images.shape[1:] != SHAPE[:2] or images.dtype != np.uint8:
            raise DataError(f"{path} holds imgs {images.dtype} {images.shape} instead of uint8 (N, 64, 64): {DOWNLOAD}")
        # Whole chunks of the file, or each one would be decompressed several times.
        depth = images.chunks[0] if images.chunks else _ROWS
        rows = depth * max(1, _ROWS // depth)
        for start in range(0, len(images), rows):
            yield images[start : start + rows]


def _checked(path: pathlib.Path, blocks: Iterator[np.ndarray], classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    packed = []
    for block in blocks:
        if block.max() > 1:
            raise DataError(f"{path} holds pixels of {block.max()}, dSprites has 0 and 1: {DOWNLOAD}")
        packed.append(pack(block))
    count = sum(map(len, packed))
    integers = np.issubdtype(classes.dtype, np.integer)
    if not count or classes.shape != (count, 6) or not integers or classes.min() < 0 or classes[:, 0].any():
        raise DataError(
            f"{path} holds {count} images and classes {classes.dtype} {classes.shape}, "
            f"not one row (0, shape, scale, orientation, x, y) an image: {DOWNLOAD}"
        )
    return np.concatenate(packed), classes[:, 1:].astype(np.int32)
