"""The parts of a study on disk, so that one that was cut off goes on from the last that was finished.

OUT/study.json       what was asked for, and of what; its presence makes a folder a study
    classifier/      the judge (see classifier.load_classifier)
    parts/NAME.npz   codes, responses, …: arrays
    results.npz, results.json    the finished Navigation
"""

import dataclasses
import json
import os
import pathlib
import typing
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxvae import files
from jaxvae.arguments import as_path
from jaxvae.data import npy
from jaxvae.data.grid import Dataset
from jaxvae.navigate.results import Navigation
from jaxvae.navigate.scores import Interval
from jaxvae.types import InputError
from jaxvae.workdir import tables

OWNED = ("study.json", "results.json", "results.npz", "table.csv", "faces.html")
FOLDERS = ("classifier", "parts", "figures")


class StudyError(InputError):
    """A folder cannot be used as asked; the message says why and what to change."""


def digest(*things: Any) -> str:
    """Return a checksum of pytrees of arrays, numbers and strings."""
    total = 0
    for leaf in jax.tree.leaves(things):
        array = np.ascontiguousarray(leaf)
        if array.dtype.kind in "OU":
            array = np.frombuffer(str(leaf).encode(), np.uint8)
        total = zlib.crc32(array.tobytes(), total)
    return f"{total:08x}"


def of_data(data: Dataset) -> str:
    """Return a checksum of a data set."""
    return digest(data.pixels, data.factors, () if data.identities is None else data.identities, data.factor_names)


class Keep:
    """Where parts of a study are kept; nowhere, where there is no folder."""

    def __init__(self, path: str | os.PathLike[str] | None, asked: dict[str, Any], *, overwrite: bool = False):
        """Take up a folder.

        Args:
            path: the folder, or None.
            asked: what the study depends on, JSON types.
            overwrite: delete another study that is there.

        Raises:
            StudyError: the folder holds something else, or another study.
        """
        self.path = None if path is None else as_path("out", path)
        if self.path is None:
            return
        asked = json.loads(json.dumps(asked))
        note = self.path / "study.json"
        if note.exists():
            known = _read_json(note)
            if not isinstance(known, dict):
                raise StudyError(f"{note} is not what a study writes: choose an empty or a new folder")
            if known != asked and not overwrite:
                changed = [name for name in asked if known.get(name) != asked[name]]
                raise StudyError(
                    f"{self.path} holds another study ({', '.join(changed) or 'of another version'} differ): choose "
                    "another folder, or say that it may be overwritten"
                )
            if known != asked:
                self._clear()
        elif self.path.exists() and any(self.path.iterdir()):
            raise StudyError(f"{self.path} is there and holds no study of attributes: choose an empty or a new folder")
        try:
            files.make_folder(self.path / "parts")
            files.remove_temporary(self.path / "parts")
            files.remove_temporary(self.path / "figures")
            tables.write_json(note, asked)
        except OSError as error:
            raise StudyError(f"{self.path} cannot be written ({error.strerror or error})") from None

    def arrays(self, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Return the arrays of a part, made now and kept, or read where they are there already."""
        if self.path is None:
            return make()
        file = self.path / "parts" / f"{name}.npz"
        if file.exists():
            try:
                return npy.read(file)[0]
            except Exception:  # whatever zip, zlib or NumPy say of it
                pass  # it is made again
        made = make()
        write_arrays(file, made)
        return made

    def seconds(self, spent: dict[str, float]) -> dict[str, float]:
        """Return how long each part took when it was made: now, or before this call, where that was longer."""
        if self.path is None:
            return spent
        note = self.path / "parts" / "seconds.json"
        known = _read_json(note) if note.exists() else {}
        longest = {name: max(value, known.get(name, 0.0)) for name, value in spent.items()}
        tables.write_json(note, longest)
        return longest

    def _clear(self) -> None:
        for name in (*FOLDERS, *OWNED):
            files.remove(self.path / name)


def save(results: Navigation, path: str | os.PathLike[str]) -> None:
    """Write a finished study into a folder: results.npz, its arrays by path, and results.json, the rest."""
    arrays: dict[str, np.ndarray] = {}
    said: dict[str, Any] = {}
    for field in dataclasses.fields(Navigation):
        value = getattr(results, field.name)
        if isinstance(value, np.ndarray) or hasattr(value, "_fields"):
            _flatten(field.name, value, arrays)
        elif field.name == "means":
            for name, interval in value.items():
                _flatten(f"means/{name}", interval, arrays)
        else:
            said[field.name] = value
    folder = as_path("the folder of a study", path, StudyError)
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(folder / "results.npz", arrays)
    tables.write_json(folder / "results.json", said)


def load(path: str | os.PathLike[str]) -> Navigation:
    """Open a finished study, on any machine; no model and no data are needed.

    Raises:
        StudyError: the folder holds none, or it is damaged.
    """
    folder = as_path("the folder of a study", path, StudyError)
    if not (folder / "results.json").exists():
        raise StudyError(f"{folder} holds no finished study of attributes (no results.json)")
    said = _read_json(folder / "results.json")
    try:
        arrays = npy.read(folder / "results.npz")[0]
        kinds = typing.get_type_hints(Navigation)
        fields = {}
        for field in dataclasses.fields(Navigation):
            if field.name in said:
                value = said[field.name]
                fields[field.name] = tuple(value) if isinstance(value, list) else value
            elif field.name == "means":
                names = dict.fromkeys(n.split("/")[1] for n in arrays if n.startswith("means/"))
                fields["means"] = {name: _gather(f"means/{name}", Interval, arrays) for name in names}
            else:
                fields[field.name] = _gather(field.name, kinds[field.name], arrays)
        return Navigation(**fields)
    except (OSError, KeyError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise StudyError(f"{folder / 'results.npz'} is damaged ({' '.join(str(error).split())[:200]})") from None


def _flatten(name: str, value: Any, arrays: dict[str, np.ndarray]) -> None:
    if hasattr(value, "_fields"):
        for part in value._fields:
            _flatten(f"{name}/{part}", getattr(value, part), arrays)
    else:
        arrays[name] = np.asarray(value)


def _gather(name: str, kind: Any, arrays: dict[str, np.ndarray]) -> Any:
    if hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        return kind(**{part: _gather(f"{name}/{part}", hints[part], arrays) for part in kind._fields})
    return arrays[name]


def write_arrays(file: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz whole or not at all."""
    try:
        with files.replacing(file) as opened:
            np.savez(opened, **arrays)
    except OSError as error:
        raise StudyError(f"{file} cannot be written ({error.strerror or error})") from None


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(files.read(path))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read ({error}); delete its folder, or choose another") from None
