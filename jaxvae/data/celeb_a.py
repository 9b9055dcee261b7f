"""CelebA through TFDS, cropped to the face and resized to 64x64."""

import numpy as np
import PIL.Image

from jaxvae.data import tfds
from jaxvae.data.grid import Dataset, assemble
from jaxvae.data.lookup import DataDir, existing, how_to_obtain

# fmt: off
ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)
# fmt: on
OBTAIN = how_to_obtain("celeb_a", "")
_BOX = (15, 35, 163, 183)  # left, upper, right, lower: the middle 148x148 of 178x218


def load_celeb_a(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return CelebA: 162770 train, 19867 validation or 19962 test images uint8 64x64x3 and 40 attributes 0/1.

    The aligned 178x218 images are cropped to their middle 148x148 and resized with Pillow's Lanczos filter. Others
    squash the whole picture (disentangling-vae) or crop lower down: reconstruction losses do not compare across crops.

    Source: Liu, Luo, Wang, Tang 2015, http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
    """
    root = existing("celeb_a", data_dir, how_to_obtain("celeb_a", "", data_dir))
    images, labels = tfds.read("celeb_a", split, root, _example)
    sizes = (2,) * len(ATTRIBUTES)
    return assemble("celeb_a", images, labels, ATTRIBUTES, annotation="labels", factor_sizes=sizes)


def _example(record: dict) -> tuple[np.ndarray, list[int]]:
    image = PIL.Image.fromarray(record["image"]).resize((64, 64), PIL.Image.Resampling.LANCZOS, box=_BOX)
    return np.asarray(image), [record["attributes"][name] for name in ATTRIBUTES]
