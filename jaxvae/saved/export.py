"""One model in a folder of its own, weights as safetensors: opened without the sweep it is from. Knows no module."""

import json
import os
import pathlib
import shutil
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from jaxvae.types import InputError, Networks, Program
from jaxvae.version import __version__

WEIGHTS, ABOUT = "model.safetensors", "model.json"
FORMAT = 1
"""Of the folder; raised when what an earlier version wrote can no longer be read as it is."""


class ModelError(InputError):
    """A folder does not hold a model that can be read, or cannot be written to; the message says why."""


def write(
    path: str | os.PathLike[str], program: Program, networks: Networks, about: dict[str, Any], *, overwrite: bool
) -> pathlib.Path:
    """Write a model as a folder: float32 arrays by path in model.safetensors, what it is in model.json.

    The folder appears whole or not at all.

    Raises:
        ModelError: something is there already, or the folder cannot be written.
    """
    path = pathlib.Path(path).expanduser()
    if path.exists():
        is_model = path.is_dir() and {p.name for p in path.iterdir()} == {WEIGHTS, ABOUT}
        if not (overwrite and is_model):
            remedy = "overwrite=True replaces it" if is_model else "it is not a model, and is left alone"
            raise ModelError(f"{path} is there already; choose another folder ({remedy})")
    flat = traverse_util.flatten_dict({"variables": networks.variables, "extra": networks.extra}, sep="/")
    arrays = {name: np.ascontiguousarray(np.asarray(leaf, np.float32)) for name, leaf in flat.items()}
    said = {"format": FORMAT, "jaxvae": __version__, "program": program.to_json(), "about": about}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        safetensors.numpy.save_file(arrays, temporary / WEIGHTS)
        (temporary / ABOUT).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def read(path: str | os.PathLike[str]) -> tuple[Program, Networks, dict[str, Any]]:
    """Return what `write` wrote.

    Raises:
        ModelError: the folder holds no model, its files are damaged, or a newer version wrote it.
    """
    path = pathlib.Path(path).expanduser()
    about, arrays = _read_about(path / ABOUT), _read_arrays(path / WEIGHTS)
    nested = traverse_util.unflatten_dict(arrays, sep="/")
    networks = Networks(nested.get("variables", {}), nested.get("extra", {}))
    return Program.from_json(about["program"]), networks, about["about"]


def _read_about(path: pathlib.Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        known, _ = about["format"], (about["program"], about["about"])
    except OSError:
        raise ModelError(f"{path.parent} does not hold a model (no {path.name})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}: {error}); save the model again") from None
    if known != FORMAT:
        raise ModelError(f"{path} is of format {known}, this version of jaxvae reads format {FORMAT}; update jaxvae")
    return about


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error})") from None
    except (safetensors.SafetensorError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({' '.join(str(error).split())[:200]}); save the model again") from None
