"""MPI3D, its three sets of simple shapes, each from its official .npz; read straight into one array."""

import functools
import math
import pathlib
import zipfile

import numpy as np

from jaxvae.data.errors import DataError, damage
from jaxvae.data.grid import Dataset, assemble, unravel
from jaxvae.data.lookup import DataDir, existing, nowhere, raw_file, say_once

FACTORS = (
    "object_color",
    "object_shape",
    "object_size",
    "camera_height",
    "background_color",
    "horizontal_axis",
    "vertical_axis",
)
UNORDERED = ("object_color", "object_shape", "background_color")
RELEASES = ((6, 6, 2, 3, 3, 40, 40), (4, 4, 2, 3, 3, 40, 40))
"""Sizes of the factors in the final files and in those of the challenge of 2019: as many images as their product."""

SHAPE = (64, 64, 3)
TERMS = "MPI3D: CC BY 4.0, Gondal et al. 2019"
_EARLIER = "sim_{}_64x_ordered_without_heldout_factors.npz"
FILES = {
    "mpi3d_toy": ("mpi3d_toy.npz", _EARLIER.format("toy")),
    "mpi3d_realistic": ("mpi3d_realistic.npz", _EARLIER.format("realistic")),
    "mpi3d_real": ("mpi3d_real.npz",),
}
DOWNLOAD = {
    name: f"download {files[0]} from https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/{files[0]} "
    "into data_dir"
    for name, files in FILES.items()
}
OBTAIN = DOWNLOAD
_ROWS = 4096  # images read at a time, 50 MB: beside the array itself this is all that is held


def load_mpi3d(name: str, split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return one of MPI3D's sets: images uint8 64x64x3, the complete grid of their seven factors, last one fastest.

    The final files, mpi3d_*.npz, have 1036800 images each (12.7 GB of pixels) of 6 colours (white, green, red, blue,
    brown, olive) and 6 shapes (cone, cube, cylinder, hexagonal, pyramid, sphere). Those of the challenge of 2019, which
    had the toy and the realistic set only and which disentanglement_lib downloads, are the 460800 without the colours
    and shapes that were held out: green, red, blue, brown; cone, cube, hexagonal, sphere. Which one it is, the number
    of images tells, whatever the file is called: scores of the two do not compare. The real set of complex shapes is
    another data set, of the smaller size, and has no name here.

    CC BY 4.0: whoever shows it names Gondal et al.
    Sources: Gondal et al. 2019, https://github.com/rr-learning/disentanglement_dataset; disentanglement_lib,
    data/ground_truth/mpi3d.py

    Args:
        name: a key of FILES.
        split: "train", there is no other.
        data_dir: the folder of the file, or the file.
    """
    root = existing(name, data_dir, DOWNLOAD[name])
    path = raw_file(name, root, FILES[name])
    if path is None:
        raise nowhere(name, root, FILES[name][0], DOWNLOAD[name])
    images, sizes = _read(path, DOWNLOAD[name])
    say_once(TERMS)
    factors = np.asarray(unravel(np.arange(len(images)), sizes))
    return assemble(name, images, factors, FACTORS, annotation="factors", factor_sizes=sizes, unordered=UNORDERED)


load_mpi3d_toy = functools.partial(load_mpi3d, "mpi3d_toy")
load_mpi3d_realistic = functools.partial(load_mpi3d, "mpi3d_realistic")
load_mpi3d_real = functools.partial(load_mpi3d, "mpi3d_real")


def _read(path: pathlib.Path, download: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the images of an .npz, whether stored or deflated, and the sizes of their factors."""
    # By hand, because what it holds is to be known before 12 GB of it are read.
    with damage(path, download), zipfile.ZipFile(path) as archive, archive.open("images.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran_order, dtype = read_header[version](stream)
        by_count = {math.prod(sizes): sizes for sizes in RELEASES}
        if shape[1:] != SHAPE or dtype != np.uint8 or fortran_order:
            raise DataError(f"{path} holds images {dtype} {shape} instead of uint8 (N, 64, 64, 3): {download}")
        if shape[0] not in by_count:
            legal = " or ".join(f"{count:,}" for count in by_count)
            raise DataError(f"{path} holds {shape[0]:,} images, MPI3D has {legal}: {download}")
        images = np.empty(shape, np.uint8)
        for start in range(0, len(images), _ROWS):
            block = images[start : start + _ROWS]
            block[:] = np.frombuffer(stream.read(block.nbytes), np.uint8).reshape(block.shape)
        # Only a read that meets the end makes zipfile compare the CRC.
        stream.read(1)
    return images, by_count[shape[0]]
