"""A user's own .npz of images, with factors, with labels, or bare."""

import difflib
import pathlib
import zipfile

from jaxvae.data import npy
from jaxvae.data.arrays import from_arrays
from jaxvae.data.errors import DataError, damage
from jaxvae.data.grid import Dataset
from jaxvae.data.lookup import DataDir, existing

KEYS = ("images", "factors", "factor_names", "labels")
OBTAIN = (
    "point data_dir at a file made by np.savez(FILE, images=[N, H, W] or [N, H, W, C], uint8 or floats in [0, 1], and "
    "if known factors=integers [N, K] with factor_names=K strings, or labels=integers [N] or [N, K])"
)


def load_npz(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return a user's arrays; data_dir is the .npz, or a folder that holds exactly one.

    What arrays it may hold is what `arrays.from_arrays` takes: images, and factors or labels, and factor_names. Others
    are passed over, but for those whose names are nearly one of these: nobody would read them.

    Raises:
        DataError: no such file, a damaged one, or arrays that are not as above. Pickled objects are never loaded.
    """
    path = _path(data_dir)
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not an .npz archive, or is cut short: {OBTAIN}")
    with damage(path, OBTAIN):
        arrays, files = npy.read(path, KEYS)
    if "images" not in arrays:
        raise DataError(f"{path} has no array 'images', it holds {', '.join(files) or 'nothing'}: {OBTAIN}")
    for key in files:
        meant = None if key in KEYS else _meant(key, files)
        if meant:
            raise DataError(
                f"{path} has an array {key!r}, which nobody reads; did you mean {meant!r}? Rename it or leave it out"
            )
    if "labels" in arrays and "factors" in arrays:
        raise DataError(f"{path} has both 'factors' and 'labels': leave one out ({OBTAIN})")
    return from_arrays(**arrays, name="npz", where=str(path))


def _meant(key: str, files: list[str]) -> str | None:
    """Return the legal key that another one is but for case, plural and _, or but for a slip where that is absent."""

    def plain(name):
        return name.lower().replace("_", "").replace("-", "").replace(" ", "").rstrip("s")

    legal = {plain(name): name for name in KEYS}
    if plain(key) in legal:
        return legal[plain(key)]
    absent = [name for name in legal if legal[name] not in files]
    return next((legal[name] for name in difflib.get_close_matches(plain(key), absent, n=1, cutoff=0.8)), None)


def _path(data_dir: DataDir) -> pathlib.Path:
    path = existing("npz", data_dir, OBTAIN)
    if path is None:
        raise DataError(f"npz: no data_dir was given: {OBTAIN}")
    if path.is_dir():
        found = sorted(path.glob("*.npz"))
        if len(found) != 1:
            names = ", ".join(p.name for p in found[:5]) or "none"
            raise DataError(f"npz: {path} must hold exactly one .npz, it holds {len(found)} ({names}): {OBTAIN}")
        return existing("npz", found[0], OBTAIN)
    return path
