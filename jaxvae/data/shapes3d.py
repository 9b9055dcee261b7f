"""3D Shapes, from its official .h5 or through TFDS."""

import pathlib

import numpy as np

from jaxvae.data import npy, tfds
from jaxvae.data.errors import DataError, damage
from jaxvae.data.grid import Dataset, assemble
from jaxvae.data.lookup import DataDir, existing, how_to_obtain, raw_file

FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
DOWNLOAD = "download 3dshapes.h5 from https://storage.googleapis.com/3d-shapes/3dshapes.h5 into data_dir"
OBTAIN = how_to_obtain("shapes3d", DOWNLOAD)


def load_shapes3d(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return 3D Shapes: 480000 images uint8 64x64x3 (6 GB), the complete grid of its six factors, last one fastest.

    Source: Burgess, Kim 2018, https://github.com/deepmind/3d-shapes
    """
    root = existing("shapes3d", data_dir, how_to_obtain("shapes3d", DOWNLOAD, data_dir))
    path = raw_file("shapes3d", root, ("3dshapes.h5",))
    if path is None:
        images, classes = tfds.read("shapes3d", split, root, _example, download=DOWNLOAD, ordered=True)
    else:
        images, classes = _read(path)
    return assemble("shapes3d", images, classes, FACTORS, annotation="factors", unordered=("shape",))


def _example(record: dict) -> tuple[np.ndarray, list[int]]:
    return record["image"], [record[f"label_{name}"] for name in FACTORS]


def _read(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    import h5py

    with damage(path, DOWNLOAD), h5py.File(path, "r") as file:
        for key, shape in (("images", (64, 64, 3)), ("labels", (len(FACTORS),))):
            if file[key].shape[1:] != shape or len(file[key]) != len(file["images"]) or not len(file[key]):
                raise DataError(f"{path} holds {key} {file[key].shape} instead of (N, *{shape}): {DOWNLOAD}")
        if file["images"].dtype != np.uint8:
            raise DataError(f"{path} holds images {file['images'].dtype} instead of uint8: {DOWNLOAD}")
        # In one go: the file's chunks run across images, so slices would decompress them again and again.
        npy.check_memory("images", file["images"].nbytes)
        images, values = file["images"][()], file["labels"][()]
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise DataError(f"{path} holds labels that are no finite numbers: {DOWNLOAD}")
    # The file has the factors' values (hues 0 … 0.9, angles -30 … 30); a class is the rank of a value, as in TFDS.
    ranks = [np.unique(column, return_inverse=True)[1] for column in values.T]
    return images, np.stack(ranks, axis=1).astype(np.int32)
