"""One network in a folder of its own, weights as safetensors: opened without what it is from. Knows no module."""

import contextlib
import json
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from jaxvae import files
from jaxvae.arguments import as_path
from jaxvae.types import InputError, Networks, Program
from jaxvae.version import __version__

FORMAT = 1
"""Of the folder; raised when what an earlier version wrote can no longer be read as it is."""


class Files(NamedTuple):
    """What lies in the folder of one kind of network."""

    weights: str  # float32 arrays by path
    about: str  # JSON
    kind: str  # as an error calls it, "a model"


MODEL = Files("model.safetensors", "model.json", "a model")


class ModelError(InputError):
    """A folder does not hold a model that can be read, or cannot be written to; the message says why."""


def write_folder(
    path: str | os.PathLike[str], weights: dict[str, Any], said: dict[str, Any], named: Files, *, overwrite: bool
) -> pathlib.Path:
    """Write weights, nested dictionaries of arrays, and what is said of them, JSON types, as a folder.

    The folder appears whole or not at all.

    Raises:
        ModelError: something is there already, or the folder cannot be written.
    """
    path = as_path("the folder to write to", path, ModelError)
    if os.path.lexists(path):
        is_one = files.is_folder(path) and {p.name for p in path.iterdir()} == {named.weights, named.about}
        if not (overwrite and is_one):
            remedy = "overwrite=True replaces it" if is_one else f"it is not {named.kind}, and is left alone"
            raise ModelError(f"{path} is there already; choose another folder ({remedy})")
    flat = traverse_util.flatten_dict(weights, sep="/")
    arrays = {name: np.ascontiguousarray(np.asarray(leaf, np.float32)) for name, leaf in flat.items()}
    said = {"format": FORMAT, "jaxvae": __version__} | said
    temporary = files.temporary_beside(path)
    try:
        temporary.mkdir(parents=True)
        safetensors.numpy.save_file(arrays, temporary / named.weights)
        files.replace(temporary / named.about, json.dumps(said, indent=2) + "\n")
        files.sync(temporary / named.weights)
        before = files.temporary_beside(path)
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, before)  # a kill from here on leaves one of the two whole
        os.replace(temporary, path)
        files.sync(path.parent)
        files.remove(before)
    except OSError as error:
        raise ModelError(f"{path} cannot be written ({error.strerror or error})") from None
    finally:
        with contextlib.suppress(OSError):
            files.remove(temporary)
    return path


def read_folder(path: str | os.PathLike[str], named: Files) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights and what is said of them, as `write_folder` was given them.

    Raises:
        ModelError: the folder holds no such network, its files are damaged, or a newer version wrote it.
    """
    path = as_path("the folder of a model", path, ModelError)
    said, arrays = _read_about(path / named.about, named), _read_arrays(path / named.weights)
    return traverse_util.unflatten_dict(arrays, sep="/"), said


def write(
    path: str | os.PathLike[str], program: Program, networks: Networks, about: dict[str, Any], *, overwrite: bool
) -> pathlib.Path:
    """Write a model as a folder: float32 arrays by path in model.safetensors, what it is in model.json.

    The folder appears whole or not at all.

    Raises:
        ModelError: something is there already, or the folder cannot be written.
    """
    weights = {"variables": networks.variables, "extra": networks.extra}
    return write_folder(path, weights, {"program": program.to_json(), "about": about}, MODEL, overwrite=overwrite)


def read(path: str | os.PathLike[str]) -> tuple[Program, Networks, dict[str, Any]]:
    """Return what `write` wrote.

    Raises:
        ModelError: the folder holds no model, its files are damaged, or a newer version wrote it.
    """
    weights, said = read_folder(path, MODEL)
    networks = Networks(weights.get("variables", {}), weights.get("extra", {}))
    try:
        return Program.from_json(said["program"]), networks, said["about"]
    except (TypeError, KeyError) as error:
        raise _damaged(pathlib.Path(path) / MODEL.about, error) from None


def _damaged(path: pathlib.Path, error: Exception) -> ModelError:
    return ModelError(f"{path} is damaged ({type(error).__name__}: {error}); save the model again")


def _read_about(path: pathlib.Path, named: Files) -> dict[str, Any]:
    try:
        said = json.loads(files.read(path))
        known = said["format"]
    except OSError:
        raise ModelError(f"{path.parent} does not hold {named.kind} (no {path.name})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path, error) from None
    if known != FORMAT:
        raise ModelError(f"{path} is of format {known}, this version of jaxvae reads format {FORMAT}; update jaxvae")
    return said


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        if not path.is_file():
            raise OSError(0, "it is no file")
        return safetensors.numpy.load_file(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error})") from None
    except (safetensors.SafetensorError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({' '.join(str(error).split())[:200]}); save the model again") from None
