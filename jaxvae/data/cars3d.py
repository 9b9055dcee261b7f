"""Cars3D, from its official .mat files, the way the disentanglement literature uses it."""

import hashlib
import os
import pathlib
import re

import numpy as np
import PIL.Image

from jaxvae.data import cache
from jaxvae.data.errors import DataError, damage
from jaxvae.data.grid import Dataset, assemble, unravel
from jaxvae.data.lookup import DataDir, check_file, existing, nowhere, say_once
from jaxvae.data.telling import LOGGER, progress

FACTORS = ("elevation", "azimuth", "object")
ELEVATIONS, AZIMUTHS = 4, 24
SHAPE = (128, 128, 3, AZIMUTHS, ELEVATIONS)
TERMS = "Cars3D: for research, no licence is known"
DOWNLOAD = (
    "download nips2015-analogy-data.tar.gz from http://www.scottreed.info/files/nips2015-analogy-data.tar.gz, unpack "
    "it, and point data_dir at its folder data/cars of car_*_mesh.mat"
)
OBTAIN = f"{DOWNLOAD}; for research, no licence is known"

_PLACES = (".", "cars3d", "cars", "data/cars")  # below data_dir; the last is where the archive unpacks to
_FILE = re.compile(r"car_(\d+)_mesh.*\.mat")  # loose, so that a copy ("car_001_mesh (1).mat") is a second file
_STORED = 1  # raise it when the same files come to be stored as other arrays: it is part of the cache's key


def load_cars3d(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return Cars3D: N cars, 96 images uint8 64x64x3 each, the complete grid of its three factors, last one fastest.

    Of the official files there are 183, which are 17568 images; any number of them is taken, and `object` has as many
    values. It counts them in the order of the numbers in their names, never of the directory. (disentanglement_lib
    leaves it to the file system: its object k may be another car.) Elevations are 0, 6, 12 and 18 degrees, azimuths 0,
    15 … 345, in this order and as the files have it.

    As in disentanglement_lib, 128x128 is resized to 64x64 with Pillow's Lanczos filter, which it calls ANTIALIAS. It is
    done once: the result is kept in the cache.

    For research, no licence is known.
    Sources: Reed, Zhang, Zhang, Lee 2015, Deep Visual Analogy-Making; disentanglement_lib, data/ground_truth/cars3d.py
    """
    root = existing("cars3d", data_dir, DOWNLOAD)
    images = _images(_files(root))
    say_once(TERMS)
    sizes = (ELEVATIONS, AZIMUTHS, len(images) // (ELEVATIONS * AZIMUTHS))
    factors = np.asarray(unravel(np.arange(len(images)), sizes))
    return assemble("cars3d", images, factors, FACTORS, annotation="factors", factor_sizes=sizes, unordered=("object",))


def _files(root: pathlib.Path | None) -> list[pathlib.Path]:
    """Return the files of the cars, one each, sorted by their numbers."""
    for place in _PLACES if root is not None and os.path.isdir(root) else ():
        with damage(root / place, DOWNLOAD):
            names = sorted(os.listdir(root / place)) if os.path.isdir(root / place) else []
        cars = {}
        for name in names:
            if found := _FILE.fullmatch(name):
                path, first = root / place / name, cars.get(int(found[1]))
                if first is not None:
                    raise DataError(f"{first} and {path} are both car {int(found[1])}: delete one of them")
                cars[int(found[1])] = path
        if cars:
            return [cars[number] for number in sorted(cars)]
    raise nowhere("cars3d", root, "car_*_mesh.mat", DOWNLOAD)


def _images(paths: list[pathlib.Path]) -> np.ndarray:
    """Return the images uint8[4 * 24 * N, 64, 64, 3] of N cars, the car fastest, from the cache or decoded."""
    key = f"cars3d-{hashlib.sha256(repr(list(map(_stamp, paths))).encode()).hexdigest()[:16]}-{_STORED}"
    kept = cache.fetch(key, ("images",))
    if kept is not None:
        return kept["images"]
    where = paths[0].parent
    LOGGER.info("decoding %d cars of %s, once: %s", len(paths), where, cache.told())
    grid = np.empty((ELEVATIONS, AZIMUTHS, len(paths), 64, 64, 3), np.uint8)
    with progress(f"decoding {where}", len(paths), "cars") as tick:
        for column, path in enumerate(paths):
            grid[:, :, column] = _read(path)
            tick(1)
    images = grid.reshape(-1, 64, 64, 3)
    cache.store(key, {"images": images})
    return images


def _stamp(path: pathlib.Path) -> tuple[str, int, int]:
    """Return what changes when a file does."""
    check_file(path, DOWNLOAD)
    with damage(path, DOWNLOAD):
        return path.name, path.stat().st_size, path.stat().st_mtime_ns


def _read(path: pathlib.Path) -> np.ndarray:
    """Return the images uint8[4, 24, 64, 64, 3] of one car."""
    import scipy.io

    again = f"replace it: {DOWNLOAD}"
    with damage(path, again):
        pixels = scipy.io.loadmat(path, variable_names=["im"])["im"]
    if pixels.shape != SHAPE or pixels.dtype != np.uint8:
        raise DataError(f"{path} holds im {pixels.dtype} {pixels.shape} instead of uint8 {SHAPE}: {again}")
    views = np.ascontiguousarray(pixels.transpose(4, 3, 0, 1, 2)).reshape(-1, *SHAPE[:3])
    small = [PIL.Image.fromarray(view).resize((64, 64), PIL.Image.Resampling.LANCZOS) for view in views]
    return np.stack([np.asarray(view) for view in small]).reshape(ELEVATIONS, AZIMUTHS, 64, 64, 3)
