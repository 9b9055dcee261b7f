"""MNIST and Fashion-MNIST, from their official idx files or through TFDS."""

import gzip
import math
import pathlib

import numpy as np

from jaxvae.data import npy, tfds
from jaxvae.data.errors import DataError, DataNotFoundError, damage
from jaxvae.data.grid import Dataset, assemble
from jaxvae.data.lookup import DataDir, existing, how_to_obtain, raw_file

_STEMS = {"train": "train", "test": "t10k"}
_ALL = "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
MNIST_FILES = f"download {_ALL} from https://storage.googleapis.com/cvdf-datasets/mnist/ into data_dir"
FASHION_MNIST_FILES = f"download {_ALL} from http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/ into data_dir"
OBTAIN_MNIST = how_to_obtain("mnist", MNIST_FILES)
OBTAIN_FASHION = how_to_obtain("fashion_mnist", FASHION_MNIST_FILES)


def load_mnist(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return MNIST: 60000 train or 10000 test images uint8 28x28x1, grey, not binarised; label "digit" 0 … 9.

    Source: LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist/
    """
    return _load("mnist", "digit", split, data_dir, MNIST_FILES)


def load_fashion_mnist(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return Fashion-MNIST: 60000 train or 10000 test images uint8 28x28x1, grey; label "article" 0 … 9.

    Its files bear the same names as MNIST's: keep the two in different directories.
    Source: Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747
    """
    return _load("fashion_mnist", "article", split, data_dir, FASHION_MNIST_FILES)


def _load(name: str, label: str, split: str, data_dir: DataDir, download: str) -> Dataset:
    root = existing(name, data_dir, how_to_obtain(name, download, data_dir))
    stems = (f"{_STEMS[split]}-images-idx3-ubyte", f"{_STEMS[split]}-labels-idx1-ubyte")
    found = [raw_file(name, root, (f"{stem}.gz", stem)) for stem in stems]
    if all(found):
        images = read_idx(found[0], 3, download)[..., None]
        labels = read_idx(found[1], 1, download)
        if len(images) != len(labels):
            raise DataError(
                f"{found[0]} holds {len(images)} images and {found[1]} {len(labels)} labels: "
                f"they belong to different splits or data sets; {download}"
            )
        if labels.max() > 9:
            raise DataError(f"{found[1]} holds label {labels.max()}, {name} has 0 to 9: {download}")
        labels = labels[:, None]
    elif any(found):
        missing = stems[found.index(None)]
        raise DataNotFoundError(f"{name}: {missing}.gz is not beside {next(filter(None, found))}; {download}")
    else:
        images, labels = tfds.read(
            name, split, root, lambda record: (record["image"], [record["label"]]), download=download
        )
    classes = labels.astype(np.int32)
    return assemble(name, images, classes, (label,), annotation="labels", factor_sizes=(10,), unordered=(label,))


def read_idx(path: pathlib.Path, num_axes: int, download: str) -> np.ndarray:
    """Return the uint8 array of num_axes axes in an idx file, gzipped or not (browsers unpack but keep the name).

    Format: bytes 0, 0, 8 (unsigned byte), number of axes; then one big-endian int32 per axis; then the values.

    Raises:
        DataError: the file is anything else, or cut short; `download` is how to get it again.
    """
    start = 4 + 4 * num_axes
    with damage(path, download), path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if zipped else raw as file:
            content = file.read(start)
            is_idx = len(content) == start and content[:4] == bytes([0, 0, 8, num_axes])
            claimed = max(0, math.prod(np.frombuffer(content[4:], ">i4").tolist())) if is_idx else 0
            npy.check_memory("its array", claimed)
            content += file.read(claimed + 1)  # one more byte tells of a file that goes on, maybe without an end
    if len(content) < start or content[:4] != bytes([0, 0, 8, num_axes]):
        raise DataError(
            f"{path} is not an idx file of unsigned bytes with {num_axes} axes "
            f"(it starts with {content[:4].hex() or 'nothing'}): {download}"
        )
    shape = tuple(np.frombuffer(content, ">i4", num_axes, offset=4).tolist())
    if min(shape) < 1 or math.prod(shape) != len(content) - start:
        raise DataError(
            f"{path} announces an array {shape} and holds {len(content) - start} bytes, "
            f"it is cut short or damaged: {download}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
