"""Where data may lie: raw files in data_dir first, then what TFDS prepared; and the words for when it is nowhere.

Knows names of files and directories only; opens nothing but the small JSON that says how TFDS stored a data set.
"""

import functools
import json
import os
import pathlib
import re

from jaxvae.arguments import as_path
from jaxvae.data.errors import DataError, DataNotFoundError, damage
from jaxvae.data.telling import LOGGER

DataDir = str | os.PathLike | None


def existing(name: str, data_dir: DataDir, obtain: str) -> pathlib.Path | None:
    """Return data_dir as a path that exists, or None when none was given.

    Raises:
        DataNotFoundError: it does not exist.
        DataError: it is neither a file nor a folder.
    """
    if not data_dir:
        return None
    # os.path rather than pathlib here: it answers no, and raises nothing, where permissions forbid to look.
    path = as_path(f"{name}: data_dir", data_dir, DataError)
    if not os.path.exists(path):
        raise DataNotFoundError(f"{name}: data_dir {path} does not exist: {obtain}")
    if not os.path.isdir(path) and not os.path.isfile(path):  # /dev/zero never ends, and a pipe can only be read once
        raise DataError(f"{name}: data_dir {path} is a device or a pipe, neither a file nor a folder: {obtain}")
    return path


def check_file(path: pathlib.Path, remedy: str) -> None:
    """Refuse what would be read for ever, or wait for a writer: a device, a pipe. What is not there is left to readers.

    Raises:
        DataError: it is there, and no file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise DataError(f"{path} is no file but a device, a pipe or a folder: {remedy}")


def raw_file(name: str, data_dir: pathlib.Path | None, file_names: tuple[str, ...]) -> pathlib.Path | None:
    """Return the first of file_names found in data_dir or in data_dir/name; data_dir may also be such a file itself."""
    if data_dir is None:
        return None
    if os.path.isfile(data_dir):
        return data_dir if data_dir.name in file_names else None
    candidates = (folder / file_name for folder in (data_dir, data_dir / name) for file_name in file_names)
    return next((path for path in candidates if os.path.isfile(path)), None)


@functools.cache
def say_once(line: str) -> None:
    """Log a line the first time that this process comes by: terms of use, or how much of a data set is there."""
    LOGGER.info("%s", line)


def prepare_command(name: str, data_dir: DataDir = None) -> str:
    """Return the shell command that prepares a TFDS data set in the one format that is read without TensorFlow."""
    where = f"data_dir={str(data_dir)!r}, " if data_dir else ""
    code = f"tfds.builder({name!r}, {where}file_format='array_record').download_and_prepare()"
    return f'python -c "import tensorflow_datasets as tfds; {code}"'


def how_to_obtain(name: str, download: str, data_dir: DataDir = None) -> str:
    """Return one line: download the raw files (when they are read here), or prepare with TFDS."""
    prepare = f"prepare it with {prepare_command(name, data_dir)} (needs pip install 'jaxvae[prepare]')"
    return f"{download}, or {prepare}" if download else prepare


def not_found(name: str, data_dir: pathlib.Path | None, download: str) -> DataNotFoundError:
    """Return the error for a data set that is neither raw in data_dir nor prepared by TFDS."""
    root = tfds_root(data_dir)
    looked = f"no {name} in {root}" if data_dir else f"{name}: no data_dir was given and TFDS has none in {root}"
    obtain = how_to_obtain(name, download, data_dir)
    return DataNotFoundError(
        f"{looked}: {obtain}, or point data_dir at where it is (for TFDS: the directory that holds {name}/)"
    )


def nowhere(name: str, data_dir: pathlib.Path | None, what: str, download: str) -> DataNotFoundError:
    """Return the error for a data set that TFDS does not have and whose own files, `what`, are not in data_dir."""
    looked = f"no {what} in {data_dir}" if data_dir else "no data_dir was given"
    return DataNotFoundError(f"{name}: {looked}: {download}, or point data_dir at where it is")


def tfds_root(data_dir: pathlib.Path | None) -> pathlib.Path:
    """Return data_dir, or the directory that TFDS uses by default (found without importing TFDS)."""
    default = os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    return data_dir or pathlib.Path(os.path.expanduser(default))  # where that is nowhere, nothing is there


def tfds_version(name: str, data_dir: pathlib.Path | None) -> pathlib.Path | None:
    """Return the directory root/name/version of the latest prepared version, or None when there is none.

    Raises:
        DataError: it is damaged, or is in a format that needs TensorFlow to be read.
    """
    folder = tfds_root(data_dir) / name
    numbers = [p for p in folder.glob("*") if re.fullmatch(r"\d+\.\d+\.\d+", p.name)] if os.path.isdir(folder) else []
    if not numbers:
        return None
    version = max(numbers, key=lambda path: tuple(map(int, path.name.split("."))))
    again = f"delete {version} and {how_to_obtain(name, '', data_dir)}"
    info = version / "dataset_info.json"
    with damage(info, again):
        record = json.loads(info.read_text(encoding="utf-8"))
        formats = {record["fileFormat"], *record.get("alternativeFileFormats", ())}
    if "array_record" not in formats:
        raise DataError(
            f"{version} is stored as {'/'.join(sorted(formats))}, which needs TensorFlow to be read: {again}"
        )
    return version
