"""SmallNORB through TFDS, the way the disentanglement literature uses it."""

import numpy as np
import PIL.Image

from jaxvae.data import tfds
from jaxvae.data.grid import Dataset, assemble
from jaxvae.data.lookup import DataDir, existing, how_to_obtain

FACTORS = ("category", "elevation", "azimuth", "lighting")
SIZES = (5, 9, 18, 6)
OBTAIN = how_to_obtain("smallnorb", "")


def load_smallnorb(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return smallNORB: 48600 images uint8 64x64x1, left camera, sorted by its factors and then by instance.

    As in disentanglement_lib: both splits are pooled, 96x96 is resized to 64x64 with Pillow's Lanczos filter, and the
    ten toys of a category (instance) are no factor but chance: ten images share each row of factors, so the grid is not
    a complete one.

    Sources: LeCun, Huang, Bottou 2004, https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/;
    disentanglement_lib, data/ground_truth/norb.py
    """
    root = existing("smallnorb", data_dir, how_to_obtain("smallnorb", "", data_dir))
    # `split` is "train", which here means everything.
    images, labels = tfds.read("smallnorb", "train+test", root, _example, ordered=True)
    return assemble("smallnorb", images, labels[:, :4], FACTORS, annotation="factors", factor_sizes=SIZES)


def _example(record: dict) -> tuple[np.ndarray, list[int]]:
    image = PIL.Image.fromarray(record["image"][..., 0]).resize((64, 64), PIL.Image.Resampling.LANCZOS)
    # TFDS has already halved the azimuth (0, 2 … 34 in the raw file). The instance only settles the order.
    labels = [record[f"label_{name}"] for name in FACTORS]
    return np.asarray(image)[..., None], [*labels, record["instance"]]
