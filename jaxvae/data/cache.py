"""Decoded data sets kept as .npz in the user's cache directory. Knows no source; losing it costs time only."""

import os
import pathlib
import tempfile

import numpy as np

from jaxvae.arguments import as_path
from jaxvae.data.telling import LOGGER
from jaxvae.types import InputError

Arrays = dict[str, np.ndarray]


def directory() -> pathlib.Path | None:
    """Return $XDG_CACHE_HOME/jaxvae, by default ~/.cache/jaxvae; it need not exist. None where there is no home."""
    try:
        return as_path("the cache folder", os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")) / "jaxvae"
    except InputError:
        return None


def told() -> str:
    """Return what to say of a decoding: that its result is kept, and where."""
    return f"the result is kept in {directory()}" if directory() else "there is no home folder to keep the result in"


def fetch(key: str, names: tuple[str, ...]) -> Arrays | None:
    """Return the arrays stored under a key, or None when they are absent, damaged or not exactly `names`."""
    if directory() is None:
        return None
    path = directory() / f"{key}.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:  # the zip's CRC vouches for every byte
            if sorted(archive.files) != sorted(names):
                raise ValueError(f"holds {archive.files} instead of {list(names)}")
            return {name: archive[name] for name in names}
    except FileNotFoundError:
        return None
    except MemoryError:
        raise
    except Exception as error:  # a cache that cannot be read is no cache, whatever zip, zlib or NumPy say of it
        LOGGER.warning("%s is damaged and is made again (%s)", path, error)
        return None


def store(key: str, arrays: Arrays, *, compress: bool = True) -> None:
    """Keep arrays under a key. Atomic: a reader or a killed writer never leaves half a file under the final name.

    A directory that cannot be written, or a full disk, costs a warning: the caller has the arrays already.

    Args:
        key: the name to `fetch` them by.
        arrays: by name.
        compress: photographs lose a tenth of their size by it, and take several times as long to fetch.
    """
    if directory() is None:
        return
    path = directory() / f"{key}.npz"
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{key}.", suffix=".partial", delete=False) as file:
            partial = pathlib.Path(file.name)
            (np.savez_compressed if compress else np.savez)(file, **arrays)
        os.replace(partial, path)
    except OSError as error:
        LOGGER.warning("%s could not be kept, the next start decodes again (%s)", path, error)
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
