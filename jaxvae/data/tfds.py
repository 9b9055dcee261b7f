"""Read what tensorflow-datasets prepared as array_record, without TensorFlow. Knows no data set in particular."""

import hashlib
import math
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from jaxvae.data import cache
from jaxvae.data.errors import DataError, damage, reason
from jaxvae.data.grid import pack
from jaxvae.data.lookup import how_to_obtain, not_found, tfds_version
from jaxvae.data.telling import LOGGER, progress

_CHUNK = 1024  # records per bulk read
_STORED = 1  # raise it when the same TFDS directory comes to be stored as other arrays: it is part of the cache's key

Example = Callable[[dict], tuple[np.ndarray, Sequence[int]]]


def read(
    name: str,
    split: str,
    data_dir: pathlib.Path | None,
    example: Example,
    *,
    download: str = "",
    ordered: bool = False,
    packed: bool = False,
    form: str = "",
) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8[N, H, W, C], or their bits uint8[N, ceil(H*W*C/8)] when packed, and labels i32[N, K].

    Decoding takes 0.2 to 1 ms an image (two minutes for dSprites), so the result is kept in the cache.

    Args:
        name: TFDS's name of the data set.
        split: TFDS's name of the split; "train+test" joins two, one after the other.
        data_dir: the directory that holds `name`/; None is TFDS's default.
        example: a record as TFDS decodes it -> (image uint8[H, W, C], K class indices).
        download: how to get raw files instead, for the error that says there is nothing.
        ordered: sort by labels, first label slowest. TFDS shuffles as it writes, so an index there means nothing.
        packed: store bits, 1 where a pixel is not zero.
        form: what `example` makes of a record, in a word, where it is not the one thing that is made of `name`.

    Raises:
        DataNotFoundError: nothing is prepared there.
        DataError: what is there is damaged, or TFDS is not installed.
    """
    version = tfds_version(name, data_dir)
    if version is None:
        raise not_found(name, data_dir, download)
    fingerprint = hashlib.sha256((version / "dataset_info.json").read_bytes()).hexdigest()[:16]
    key = "-".join([name, *([form] if form else []), *split.split("+"), fingerprint, str(_STORED)])
    kept = cache.fetch(key, ("images", "labels"))
    if kept is None:
        images, labels = _decode(name, version, split, example, packed, how_to_obtain(name, download, data_dir))
        if ordered:
            images, labels = _sort(images, labels)
        kept = {"images": images, "labels": labels}
        cache.store(key, kept)
    return kept["images"], kept["labels"]


def _decode(
    name: str, version: pathlib.Path, split: str, example: Example, packed: bool, obtain: str
) -> tuple[np.ndarray, np.ndarray]:
    try:
        import tensorflow_datasets as tfds  # here and nowhere else: many accelerator machines lack it
    except ImportError as error:
        raise DataError(
            f"{version} needs tensorflow-datasets to be read ({reason(error)}): "
            f"pip install tensorflow-datasets importlib_resources; or else {obtain}"
        ) from None

    again = f"delete {version} and {obtain}"
    with damage(version, again):
        # The version is spelled out so that TFDS reads the directory as it is, whatever its own code is at.
        source = tfds.data_source(
            f"{name}:{version.name}", split=split, data_dir=str(version.parent.parent), download=False
        )
        count = len(source)
    if not count:
        raise DataError(f"{version} has no images in split {split}: {again}")

    LOGGER.info("decoding %d images of %s, once: %s", count, version, cache.told())
    images = labels = None
    with progress(f"decoding {name}", count, "images") as tick:
        for start in range(0, count, _CHUNK):
            rows = range(start, min(start + _CHUNK, count))
            with damage(version, again):
                records = source.__getitems__(list(rows))
            try:
                pairs = [example(record) for record in records]
                block = np.stack([image for image, _ in pairs])
                targets = np.array([label for _, label in pairs], np.int32)
            except (KeyError, ValueError, TypeError) as error:
                raise DataError(f"{version} does not hold the records of {name} ({reason(error)}): {again}") from None
            block = pack(block) if packed else block
            if images is None:
                # Allocated whole: joining a list of blocks at the end would need twice the memory.
                images = np.empty((count, *block.shape[1:]), np.uint8)
                labels = np.empty((count, targets.shape[1]), np.int32)
            images[rows.start : rows.stop] = block
            labels[rows.start : rows.stop] = targets
            tick(len(rows))
    return images, labels


def _sort(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort by the label tuple, in slabs along the second axis: 3D Shapes has 6 GB, and one gather would double it."""
    order = np.lexsort(labels.T[::-1])  # lexsort's last key is the slowest
    step = math.ceil(images.shape[1] / 8)
    for start in range(0, images.shape[1], step):
        images[:, start : start + step] = images[order, start : start + step]
    return images, labels[order]
