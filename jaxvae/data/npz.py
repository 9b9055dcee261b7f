"""A user's own .npz of images, with factors, with labels, or bare."""

import pathlib
import zipfile

import numpy as np

from jaxvae.data.errors import DataError, damage
from jaxvae.data.grid import Dataset, from_arrays
from jaxvae.data.lookup import DataDir, existing

OBTAIN = (
    "point data_dir at a file made by np.savez(FILE, images=uint8 [N, H, W] or [N, H, W, C], and if known "
    "factors=integers [N, K] with factor_names=K strings, or labels=integers [N])"
)


def load_npz(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return a user's arrays; data_dir is the .npz, or a folder that holds exactly one.

    images uint8[N, H, W] or [N, H, W, C] in 0 … 255 (or 0/1). Optionally factors, integers [N, K] from 0, with
    factor_names (by default factor_0, …): independent generative factors, annotation "factors". Or else labels,
    integers [N] from 0: a class, annotation "labels".

    Raises:
        DataError: no such file, a damaged one, or arrays that are not as above. Pickled objects are never loaded.
    """
    path = _path(data_dir)
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not an .npz archive, or is cut short: {OBTAIN}")
    with damage(path, OBTAIN), np.load(path, allow_pickle=False) as archive:
        known = [key for key in ("images", "factors", "factor_names", "labels") if key in archive.files]
        arrays = {key: archive[key] for key in known}
        found = ", ".join(archive.files) or "nothing"
    if "images" not in arrays:
        raise DataError(f"{path} has no array 'images', it holds {found}: {OBTAIN}")
    if "labels" in arrays and "factors" in arrays:
        raise DataError(f"{path} has both 'factors' and 'labels': leave one out ({OBTAIN})")
    images = _images(path, arrays["images"])

    if "factors" in arrays:
        factors = _indices(path, "factors", arrays["factors"], len(images), "K")
        width = factors.shape[1]
        names = arrays.get("factor_names", np.array([f"factor_{k}" for k in range(width)]))
        if names.dtype.kind not in "US" or names.shape != (width,) or len(set(names.tolist())) < width:
            raise DataError(f"{path}: factor_names must be {width} different strings, got {names.tolist()}")
        names = tuple(name.decode() if isinstance(name, bytes) else name for name in names.tolist())
        return from_arrays("npz", images, factors, names, annotation="factors")
    if "labels" in arrays:
        labels = _indices(path, "labels", arrays["labels"], len(images))
        return from_arrays("npz", images, labels[:, None], ("label",), annotation="labels")
    return from_arrays("npz", images, annotation="none")


def _path(data_dir: DataDir) -> pathlib.Path:
    path = existing("npz", data_dir, OBTAIN)
    if path is None:
        raise DataError(f"npz: no data_dir was given: {OBTAIN}")
    if path.is_dir():
        found = sorted(path.glob("*.npz"))
        if len(found) != 1:
            names = ", ".join(p.name for p in found[:5]) or "none"
            raise DataError(f"npz: {path} must hold exactly one .npz, it holds {len(found)} ({names}): {OBTAIN}")
        return found[0]
    return path


def _images(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8:
        raise DataError(
            f"{path}: images are {images.dtype}, they must be uint8 0..255: "
            "np.round(255 * images).astype(np.uint8) converts floats in [0, 1]"
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise DataError(f"{path}: images must be [N, H, W] or [N, H, W, C] and not empty, got shape {images.shape}")
    if images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        raise DataError(
            f"{path}: images of shape {images.shape} look channel-first: images.transpose(0, 2, 3, 1) is wanted"
        )
    return images


def _indices(path: pathlib.Path, key: str, values: np.ndarray, count: int, *more: str) -> np.ndarray:
    """Return values as i32[count, ...] class indices, with as many further axes as `more` has names."""
    if values.ndim != 1 + len(more) or len(values) != count or 0 in values.shape:
        expected = f"[{', '.join((str(count), *more))}]"
        raise DataError(f"{path}: {key} must be integers {expected}, one row an image, got shape {values.shape}")
    integers = np.issubdtype(values.dtype, np.integer)
    if not integers or values.min() < 0 or values.max() > np.iinfo(np.int32).max:
        reach = f", {values.min()} to {values.max()}" if integers else ""
        raise DataError(
            f"{path}: {key} must be class indices, integers from 0, got {values.dtype}{reach}: "
            "np.unique(column, return_inverse=True)[1] turns a column of values into indices"
        )
    return values.astype(np.int32)
