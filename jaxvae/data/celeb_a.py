"""CelebA, from its official files or Kaggle's, or through TFDS; the face cut out, or the whole picture, at 64x64."""

import itertools
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image

from jaxvae.data import pictures, tfds
from jaxvae.data.errors import DataError, DataNotFoundError, damage
from jaxvae.data.grid import Dataset, assemble
from jaxvae.data.lookup import DataDir, existing, how_to_obtain, say_once

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
TERMS = "CelebA: for non-commercial research only"
DOWNLOAD = (
    "download img_align_celeba.zip, list_attr_celeba.txt, list_eval_partition.txt and, to know who is who, "
    "identity_CelebA.txt from http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html into data_dir"
)
OBTAIN = f"{how_to_obtain('celeb_a', DOWNLOAD)}; for non-commercial research only"
PARTITIONS = ("train", "validation", "test")
SPLITS = (*PARTITIONS, "all")

_WIDTH, _HEIGHT = 178, 218  # of an official picture
_BOX = (15, 35, 163, 183)  # left, upper, right, lower: the middle 148x148 of one
_SIZE = (64, 64)
_FOLDERS = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba", "Img/img_align_celeba_png")
_PLACES = (*_FOLDERS, "img_align_celeba.zip", "Img/img_align_celeba.zip")
_ATTRIBUTES, _PARTITION, _IDENTITY = "list_attr_celeba", "list_eval_partition", "identity_CelebA"

Framing = Callable[[PIL.Image.Image], PIL.Image.Image]
Values = dict[str, tuple[int, ...]]


def load_celeb_a(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return CelebA: 162770 train, 19867 validation or 19962 test images uint8 64x64x3, 40 attributes 0/1, identities.

    The aligned 178x218 images are cropped to their middle 148x148 and resized with Pillow's Lanczos filter. Others
    squash the whole picture (celeb_a_whole) or crop lower down: reconstruction losses do not compare across crops.

    data_dir holds img_align_celeba.zip or the folder img_align_celeba (jpg or png), and the lists list_attr_celeba,
    list_eval_partition and, where people are to be told apart, identity_CelebA: .txt as they are official, also in
    Anno/ and Eval/, or .csv as Kaggle has them. Images may be fewer than the lists name, and smaller or larger than the
    official ones, in their proportions. The split "all" is every image and needs no partition.

    Images are sorted by file name; what TFDS prepared has an order of its own. An identity is the official number less
    1, the same in every split.

    For non-commercial research only.
    Source: Liu, Luo, Wang, Tang 2015, http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
    """
    return _load("celeb_a", "middle", _middle, split, data_dir)


def load_celeb_a_whole(split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return CelebA as `load_celeb_a` does, but the whole picture, squashed to 64x64 with Pillow's bicubic filter.

    So were the pictures that the published networks of disentangling-vae were trained on.

    For non-commercial research only.
    Source: https://github.com/YannDubs/disentangling-vae, utils/datasets.py
    """
    return _load("celeb_a_whole", "whole", _whole, split, data_dir)


def _middle(picture: PIL.Image.Image) -> PIL.Image.Image:
    across, down = picture.width / _WIDTH, picture.height / _HEIGHT
    left, upper, right, lower = _BOX
    box = (left * across, upper * down, right * across, lower * down)
    return picture.resize(_SIZE, PIL.Image.Resampling.LANCZOS, box=box)


def _whole(picture: PIL.Image.Image) -> PIL.Image.Image:
    return picture.resize(_SIZE, PIL.Image.Resampling.BICUBIC)


def _load(name: str, form: str, framing: Framing, split: str, data_dir: DataDir) -> Dataset:
    root = existing(name, data_dir, how_to_obtain("celeb_a", DOWNLOAD, data_dir))
    base = _base(root)
    if base is None:
        images, attributes, identities = _prepared(root, form, framing, split)
    else:
        images, attributes, identities = _raw(base, form, framing, split)
    say_once(TERMS)
    sizes = (2,) * len(ATTRIBUTES)
    return assemble(
        name, images, attributes, ATTRIBUTES, annotation="labels", factor_sizes=sizes, identities=identities
    )


# --- through TFDS ----------------------------------------------------------------------------------------------------


def _prepared(
    root: pathlib.Path | None, form: str, framing: Framing, split: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    def example(record: dict) -> tuple[np.ndarray, list[int]]:
        image = framing(PIL.Image.fromarray(record["image"]))
        person = record["identity"]["Identity_No"] - 1 if "identity" in record else -1  # versions before 2.1 have none
        return np.asarray(image), [*(record["attributes"][name] for name in ATTRIBUTES), person]

    parts = "+".join(PARTITIONS) if split == "all" else split
    images, labels = tfds.read("celeb_a", parts, root, example, download=DOWNLOAD, form=form)
    return images, labels[:, :-1], labels[:, -1] if (labels[:, -1] >= 0).all() else None


# --- from raw files --------------------------------------------------------------------------------------------------


def _base(root: pathlib.Path | None) -> pathlib.Path | None:
    """Return the folder that pictures or lists are in, or None: data_dir, celeb_a/ in it, or what it is itself in."""
    if root is None:
        return None
    inside = root.name in ("img_align_celeba", "img_align_celeba.zip")
    for base in (root, root / "celeb_a", *([root.parent] if inside else [])):
        lists = (_list_file(base, stem) for stem in (_ATTRIBUTES, _PARTITION, _IDENTITY))
        if any(os.path.exists(base / place) for place in _PLACES) or any(lists):
            return base
    return None


def _list_file(base: pathlib.Path, stem: str) -> pathlib.Path | None:
    places = ((folder, suffix) for folder in ("", "Anno", "Eval") for suffix in (".txt", ".csv"))
    paths = (base / folder / f"{stem}{suffix}" for folder, suffix in places)
    return next((path for path in paths if os.path.isfile(path)), None)


def _raw(
    base: pathlib.Path, form: str, framing: Framing, split: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    found = _find(base)
    path = _needed(base, _ATTRIBUTES)
    attributes = _read_list(path, {"-1": 0, "1": 1}.__getitem__, "-1 or 1", ATTRIBUTES)
    _check_listed(found, attributes, path)
    if len(found.members) < len(attributes):
        there = f"{len(found.members):,} of the {len(attributes):,} images that {path} lists"
        say_once(f"CelebA: {there} are in {found.where}")

    names = list(found.members)
    if split != "all":
        path = _needed(base, _PARTITION)
        partition = _read_list(path, {"0": 0, "1": 1, "2": 2}.__getitem__, "0, 1 or 2")
        _check_listed(found, partition, path)
        names = [name for name in names if partition[name][0] == PARTITIONS.index(split)]
        if not names:
            raise DataError(
                f"{path} puts none of the {len(found.members):,} images in {found.where} into split {split}: add "
                "images of that split, or part those that are there another way"
            )

    path, identities = _list_file(base, _IDENTITY), None
    if path is not None:
        people = _read_list(path, _person, "a number from 1")
        _check_listed(found, people, path)
        identities = np.array([people[name][0] for name in names], np.int32)

    def frame(picture: PIL.Image.Image, path: pathlib.Path) -> PIL.Image.Image:
        # Sides are whole pixels: the width may be off by less than one.
        if abs(picture.width - picture.height * _WIDTH / _HEIGHT) >= 1:
            raise DataError(
                f"{path} is {picture.width}x{picture.height} pixels, not of the proportions {_WIDTH}:{_HEIGHT} of the "
                f"aligned pictures: {DOWNLOAD}"
            )
        return framing(picture.convert("RGB"))

    again = f"replace it, or {DOWNLOAD}"
    images = pictures.decode(found, names, f"celeb_a-{form}-{split}", frame, _SIZE, again)
    return images, np.array([attributes[name] for name in names], np.int32), identities


def _find(base: pathlib.Path) -> pictures.Pictures:
    for place in _PLACES:
        if os.path.exists(base / place):
            found = pictures.find(base / place, DOWNLOAD)
            if found.members:
                return found
    raise DataNotFoundError(
        f"celeb_a: no jpg or png images in {base}, neither in a folder img_align_celeba nor in img_align_celeba.zip: "
        f"{DOWNLOAD}"
    )


def _needed(base: pathlib.Path, stem: str) -> pathlib.Path:
    path = _list_file(base, stem)
    if path is None:
        raise DataNotFoundError(f"celeb_a: {stem}.txt is not in {base}, nor in Anno/ or Eval/ there: {DOWNLOAD}")
    return path


def _read_list(
    path: pathlib.Path, value: Callable[[str], int], legal: str, titles: Sequence[str] | None = None
) -> Values:
    """Return what a list says of each image, by the image's name without its suffix.

    A line is the name of an image and its values, apart by spaces, or in a .csv by commas. A .csv begins with a line of
    titles; a .txt that has titles begins with the number of its images on a line of its own, and then has them.

    Args:
        path: the file.
        value: what a word stands for; a KeyError of the word for none.
        legal: what words there are.
        titles: what the values must be called; None for a single value, whatever it is called.

    Raises:
        DataError: it is anything else.
    """
    with damage(path, DOWNLOAD):
        text = path.read_text(encoding="utf-8-sig")
    is_csv = path.suffix == ".csv"
    lines = (text.replace(",", " ") if is_csv else text).splitlines()
    count, head = None, 1 if is_csv else 0
    if titles is not None:
        if not is_csv:
            count, head = lines[0].strip() if lines else "", 2
            if not count.isdecimal():
                raise DataError(f"{path} does not begin with the number of its images: {DOWNLOAD}")
        _check_titles(path, "".join(lines[head - 1 : head]).split()[is_csv:], titles)

    width, values = len(titles or ("value",)), {}
    for number, line in enumerate(lines[head:], head + 1):
        image, *words = line.split() or ("",)
        if not image:
            continue
        name = image.rpartition(".")[0] or image
        if len(words) != width:
            raise DataError(f"{path} line {number} has {len(words)} values of {image}, not {width}: {DOWNLOAD}")
        if name in values:
            raise DataError(f"{path} line {number} lists {image} a second time: {DOWNLOAD}")
        try:
            values[name] = tuple(map(value, words))
        except KeyError as wrong:
            raise DataError(f"{path} line {number} says {wrong} of {image}, not {legal}: {DOWNLOAD}") from None
    if count is not None and int(count) != len(values):
        raise DataError(f"{path} announces {count} images and lists {len(values)}, it is cut short: {DOWNLOAD}")
    return values


def _check_titles(path: pathlib.Path, given: Sequence[str], titles: Sequence[str]) -> None:
    for column, (name, title) in enumerate(itertools.zip_longest(given, titles, fillvalue="nothing"), 1):
        if name != title:
            raise DataError(
                f"{path} calls attribute {column} {name}, where officially there is {title}: only the official "
                f"{len(titles)} are read, in their order; {DOWNLOAD}"
            )


def _check_listed(found: pictures.Pictures, listed: Values, path: pathlib.Path) -> None:
    extra = next((name for name in found.members if name not in listed), None)
    if extra is not None:
        raise DataError(f"{found.path(extra)} is not listed in {path}: move the image away, or {DOWNLOAD}")


def _person(word: str) -> int:
    if not (word.isdecimal() and 0 < int(word) < 1 << 31):
        raise KeyError(word)
    return int(word) - 1
