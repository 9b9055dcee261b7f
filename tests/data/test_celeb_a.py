"""CelebA from its official files: whose face it is, what is cut out, and what is said of files that are not right."""

import os
import shutil
import zipfile

import jax
import numpy as np
import PIL.Image
import pytest

import tiny_data
from jaxvae.data import DataError, DataNotFoundError, cache, load, lookup, pictures
from jaxvae.data.celeb_a import ATTRIBUTES, PARTITIONS
from jaxvae.data.grid import assemble
from jaxvae.parallel import live
from jaxvae.parallel.lanes import make_mesh, put_everywhere

SHOWN = np.arange(3, 15)  # the images that `write_celeb_a` writes; its lists name 1 … 20, the last one first
FRAMINGS = ("celeb_a", "celeb_a_whole")
PLACES = (
    "img_align_celeba",
    "img_align_celeba/img_align_celeba",
    "Img/img_align_celeba",
    "img_align_celeba.zip",
    "Img/img_align_celeba.zip",
)
LISTS = ("list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt")


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """Neither the user's cache nor the user's TFDS directory has a say, and what is said once is said again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))
    lookup.say_once.cache_clear()


@pytest.fixture
def faces(tmp_path):
    return tiny_data.write_celeb_a(tmp_path / "raw", ATTRIBUTES)


def framed(picture, name):
    """Return what is made of a picture, by Pillow alone and with the box written out for its two sizes."""
    if name == "celeb_a_whole":
        return np.asarray(picture.resize((64, 64), PIL.Image.Resampling.BICUBIC))
    box = {178: (15, 35, 163, 183), 89: (7.5, 17.5, 81.5, 91.5)}[picture.width]
    return np.asarray(picture.resize((64, 64), PIL.Image.Resampling.LANCZOS, box=box))


def as_jpeg(number, **options):
    picture = tiny_data.photograph(number, **options)
    return PIL.Image.open(tiny_data.encoded(np.asarray(picture), "jpeg"))


def images(data):
    return np.asarray(data.images(np.arange(len(data))))


def assert_refused(data_dir, *words, split="train", kind=DataError):
    with pytest.raises(DataError) as caught:
        load("celeb_a", split, data_dir)
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert "\n" not in message
    for word in (*words, "http://mmlab.ie.cuhk.edu.hk"):
        assert str(word) in message, message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FRAMINGS)
def test_all_are_framed_in_the_order_of_their_names(name, place, tmp_path):
    data = load(name, "all", tiny_data.write_celeb_a(tmp_path / "raw", ATTRIBUTES, place=place))
    np.testing.assert_array_equal(images(data), [framed(as_jpeg(number), name) for number in SHOWN])
    np.testing.assert_array_equal(data.factors, (SHOWN[:, None] + np.arange(40)) % 3 > 0)
    np.testing.assert_array_equal(data.identities, SHOWN % 5)
    assert data.identities.dtype == np.int32
    assert (data.name, data.annotation, data.factor_names, data.factor_sizes) == (name, "labels", ATTRIBUTES, (2,) * 40)


def test_splits_part_the_images_as_the_list_says(faces):
    whole = images(load("celeb_a", "all", faces))
    for part, split in enumerate(PARTITIONS):
        rows = np.flatnonzero(np.array((0, 0, 1, 2))[SHOWN % 4] == part)
        data = load("celeb_a", split, faces)
        np.testing.assert_array_equal(images(data), whole[rows])
        np.testing.assert_array_equal(data.factors, (SHOWN[rows, None] + np.arange(40)) % 3 > 0)
        np.testing.assert_array_equal(data.identities, SHOWN[rows] % 5)  # the same number in every split


@pytest.mark.parametrize("name", FRAMINGS)
@pytest.mark.parametrize("size", [(178, 218), (45, 55), (356, 436)])
def test_pictures_of_any_size_in_the_official_proportions_are_read(name, size, faces):
    """45x55 is a quarter of the official size, with halves of pixels rounded up."""
    for path in (faces / "img_align_celeba").iterdir():
        tiny_data.photograph(1, size).save(path)
    data = images(load(name, "test", faces))
    assert data.shape[1:] == (64, 64, 3)
    if size == (178, 218):
        np.testing.assert_array_equal(data[0], framed(as_jpeg(1, size=size), name))


def test_png_and_grey_pictures_are_read(tmp_path):
    folder = tiny_data.write_celeb_a(tmp_path / "raw", ATTRIBUTES, place="Img/img_align_celeba_png", kind="png")
    path = folder / "Img" / "img_align_celeba_png" / "000003.png"
    tiny_data.photograph(3).convert("L").save(path)
    data = images(load("celeb_a_whole", "all", folder))
    grey = tiny_data.photograph(3).convert("L").convert("RGB")
    np.testing.assert_array_equal(data[0], framed(grey, "celeb_a_whole"))
    np.testing.assert_array_equal(data[1], framed(tiny_data.photograph(4), "celeb_a_whole"))


def test_lists_may_lie_where_the_official_download_has_them(faces):
    for folder, names in (("Anno", (LISTS[0], LISTS[2])), ("Eval", (LISTS[1],))):
        (faces / folder).mkdir()
        for name in names:
            (faces / name).rename(faces / folder / name)
    assert len(load("celeb_a", "all", faces)) == 12 and load("celeb_a", "test", faces).identities is not None


def test_all_may_lie_in_a_folder_named_after_the_data_set(faces, tmp_path):
    faces.rename(tmp_path / "celeb_a")
    assert len(load("celeb_a_whole", "all", tmp_path)) == 12


@pytest.mark.parametrize("place", ["img_align_celeba", "img_align_celeba.zip"])
def test_data_dir_may_be_where_the_images_are(place, tmp_path):
    folder = tiny_data.write_celeb_a(tmp_path / "raw", ATTRIBUTES, place=place)
    assert len(load("celeb_a", "all", folder / place)) == 12


def test_the_zip_may_have_no_folder_and_what_macos_leaves_behind(faces):
    with zipfile.ZipFile(faces / "img_align_celeba.zip", "w") as archive:
        for path in (faces / "img_align_celeba").iterdir():
            archive.write(path, path.name)
        archive.writestr("__MACOSX/._000003.jpg", "no picture")
        archive.writestr("readme.txt", "no picture")
    first = images(load("celeb_a", "all", faces))
    shutil.rmtree(faces / "img_align_celeba")
    np.testing.assert_array_equal(images(load("celeb_a", "all", faces)), first)


def test_lists_of_kaggle_are_read(faces):
    """Commas, a line of titles in each, no count, and nobody is told apart."""
    first = load("celeb_a", "test", faces)
    lists = tiny_data.celeb_a_lists(range(1, 21), ATTRIBUTES)
    for stem, head, rows in (
        ("list_attr_celeba", ("image_id", *ATTRIBUTES), lists["list_attr_celeba"][2:]),
        ("list_eval_partition", ("image_id", "partition"), lists["list_eval_partition"]),
    ):
        (faces / f"{stem}.txt").unlink()
        (faces / f"{stem}.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in [head, *rows]))
    (faces / "identity_CelebA.txt").unlink()
    data = load("celeb_a", "test", faces)
    np.testing.assert_array_equal(data.factors, first.factors)
    np.testing.assert_array_equal(data.pixels, first.pixels)
    assert data.identities is None


def test_all_needs_no_partition(faces):
    (faces / "list_eval_partition.txt").unlink()
    assert len(load("celeb_a", "all", faces)) == 12


def test_what_is_said_is_said_once(faces, caplog):
    caplog.set_level("INFO", logger="jaxvae.data")
    for _ in range(2):
        load("celeb_a", "all", faces)
        load("celeb_a_whole", "test", faces)
    said = [record.getMessage() for record in caplog.records]
    assert sum("non-commercial research only" in line for line in said) == 1
    assert sum("12 of the 20 images" in line for line in said) == 1
    assert sum("decoding" in line for line in said) == 2


def test_a_long_decoding_says_how_long_it_takes(faces, caplog, monkeypatch):
    caplog.set_level("INFO", logger="jaxvae.data")
    monkeypatch.setattr(pictures, "_CHUNK", 4)
    monkeypatch.setattr(live, "PLAIN", 0)
    load("celeb_a", "all", faces)
    said = [record.getMessage() for record in caplog.records if "ETA" in record.getMessage()]
    assert [f"  {done}/12 pictures  " in line for done, line in zip((4, 8, 12), said, strict=True)] == [True] * 3


# --- what TFDS prepared ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    pytest.importorskip("tensorflow_datasets")
    return tiny_data.prepare_celeb_a(tmp_path_factory.mktemp("tfds"), ATTRIBUTES)


def test_framings_of_what_tfds_prepared_are_kept_apart(prepared):
    """White around the middle: a face that is cut out has none, a whole picture has."""
    for _ in range(2):  # decoded, then from the cache
        cut, whole = (images(load(name, "test", prepared)) for name in FRAMINGS)
        assert cut[:, 10].max() < 100 < whole[:, 2].min()
    assert len(list(cache.directory().iterdir())) == 2


def test_all_of_what_tfds_prepared_is_its_splits_one_after_the_other(prepared):
    parts = [load("celeb_a", split, prepared) for split in PARTITIONS]
    data = load("celeb_a", "all", prepared)
    np.testing.assert_array_equal(images(data), np.concatenate([images(part) for part in parts]))
    np.testing.assert_array_equal(data.identities, np.concatenate([part.identities for part in parts]))


def test_older_versions_of_tfds_name_nobody(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    folder = tiny_data.prepare_celeb_a(tmp_path, ATTRIBUTES, version="2.0.1", without=("identity",))
    data = load("celeb_a", "test", folder)
    assert len(data) == 4 and data.identities is None


# --- the cache -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["img_align_celeba", "img_align_celeba.zip"])
def test_pictures_are_decoded_once(place, tmp_path, monkeypatch):
    folder = tiny_data.write_celeb_a(tmp_path / "raw", ATTRIBUTES, place=place)
    first = {name: images(load(name, "test", folder)) for name in FRAMINGS}
    assert (first["celeb_a"] != first["celeb_a_whole"]).any()
    monkeypatch.setattr(PIL.Image, "open", None)
    for name in FRAMINGS:
        np.testing.assert_array_equal(images(load(name, "test", folder)), first[name])


@pytest.mark.parametrize("place", ["img_align_celeba", "img_align_celeba.zip"])
def test_another_picture_of_the_same_name_is_decoded(place, tmp_path):
    for number in (3, 77, 3):
        folder = tiny_data.write_celeb_a(tmp_path / "raw", ATTRIBUTES, place=place)
        content = tiny_data.encoded(np.asarray(tiny_data.photograph(number)), "jpeg").read()
        if place.endswith(".zip"):
            with zipfile.ZipFile(folder / place, "w") as archive:
                archive.writestr("000003.jpg", content)
        else:
            (folder / place / "000003.jpg").write_bytes(content)
        data = load("celeb_a_whole", "all", folder)
        np.testing.assert_array_equal(images(data)[0], framed(as_jpeg(number), "celeb_a_whole"))


def test_a_picture_of_the_same_size_in_bytes_is_told_apart_by_its_time(tmp_path):
    folder = tiny_data.write_celeb_a(tmp_path / "raw", ATTRIBUTES, shown=[])
    for number in (1, 2):
        path = folder / "img_align_celeba" / "000003.jpg"
        path.write_bytes(tiny_data.encoded(np.asarray(tiny_data.photograph(number)), "bmp").read())
        os.utime(path, ns=(number, number))
        data = load("celeb_a_whole", "all", folder)
        np.testing.assert_array_equal(images(data)[0], framed(tiny_data.photograph(number), "celeb_a_whole"))


def test_lists_that_change_are_read_again(faces):
    first = load("celeb_a", "test", faces)
    for name, old, new in (
        (LISTS[0], "000003.jpg  -1", "000003.jpg  1"),
        (LISTS[1], "000004.jpg  0", "000004.jpg  2"),
        (LISTS[2], "000003.jpg  4", "000003.jpg  9"),
    ):
        text = (faces / name).read_text()
        assert old in text
        (faces / name).write_text(text.replace(old, new))
    data = load("celeb_a", "test", faces)
    assert len(data) == len(first) + 1
    assert first.factors[0, 0] == 0 and data.factors[0, 0] == 1
    assert first.identities[0] == 3 and data.identities[0] == 8
    np.testing.assert_array_equal(images(data)[1], framed(as_jpeg(4), "celeb_a"))


# --- identities travel with the images -------------------------------------------------------------------------------


def test_identities_travel_as_a_leaf_and_others_have_none(faces):
    data, other = load("celeb_a", "all", faces), load("mini_sprites")
    assert len(jax.tree.leaves(data)) == 3 and len(jax.tree.leaves(other)) == 2 and other.identities is None
    placed = put_everywhere(data, make_mesh(2))
    np.testing.assert_array_equal(placed.identities, data.identities)


def test_identities_are_sorted_with_the_images_of_a_grid():
    order = np.random.default_rng(0).permutation(6)
    grid = {"factors": tiny_data.grid((2, 3))[order], "factor_names": ("a", "b"), "annotation": "factors"}
    data = assemble("grid", tiny_data.numbered(6)[order], **grid, identities=order)
    assert data.complete_grid and data.identities.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("identities", [np.arange(5), np.arange(6) - 1, np.zeros((6, 1), int), np.zeros(6)])
def test_identities_that_are_none_are_refused(identities):
    with pytest.raises(ValueError, match=r"identities must be integers \[6\] from 0"):
        assemble("grid", tiny_data.numbered(6), annotation="none", identities=identities)


# --- what is refused -------------------------------------------------------------------------------------------------


def rewrite(name, change):
    def harm(faces):
        (faces / name).write_text(change((faces / name).read_text()))
        return (faces / name,)

    return harm


def replace(name, old, new):
    def change(text):
        assert old in text
        return text.replace(old, new, 1)

    return rewrite(name, change)


def lose(name, image):
    """Return harm that takes the line of an image away, and the count with it."""

    def change(text):
        lines = text.splitlines(keepends=True)
        return "".join("19\n" if line.split() == ["20"] else line for line in lines if not line.startswith(image))

    return rewrite(name, change)


def garble(path):
    path.write_bytes(b"\x89PNG" + bytes(range(256)))
    return (path,)


def spoil(change):
    """Return harm to one picture."""

    def harm(faces):
        path = faces / "img_align_celeba" / "000009.jpg"
        change(path)
        return (path,)

    return harm


ATTR, PARTITION, IDENTITY = LISTS
HARMED = {
    "a value missing": (replace(ATTR, "000007.jpg  1", "000007.jpg"), "line 16 has 39 values of 000007.jpg, not 40"),
    "a value too many": (replace(ATTR, "000007.jpg  1", "000007.jpg 1 1"), "line 16 has 41 values of 000007.jpg"),
    "a value that is none": (replace(ATTR, "000007.jpg  1", "000007.jpg  0"), "line 16 says '0' of 000007.jpg, not -1"),
    "an image twice": (replace(ATTR, "000007.jpg", "000008.jpg"), "line 16 lists 000008.jpg a second time"),
    "attributes cut short": (
        rewrite(ATTR, lambda text: text[: text.index("000012")]),
        "announces 20 images and lists 8",
    ),
    "attributes without count": (rewrite(ATTR, lambda text: text.partition("\n")[2]), "does not begin with the number"),
    "attributes empty": (rewrite(ATTR, lambda text: ""), "does not begin with the number"),
    "attributes without titles": (rewrite(ATTR, lambda text: "0\n"), "attribute 1 nothing", "5_o_Clock_Shadow"),
    "another attribute": (replace(ATTR, "Attractive", "Beautiful"), "attribute 3 Beautiful", "there is Attractive"),
    "other order": (replace(ATTR, "Bald  Bangs", "Bangs  Bald"), "attribute 5 Bangs", "there is Bald"),
    "an attribute too many": (replace(ATTR, "Young", "Young  Wise"), "attribute 41 Wise", "there is nothing"),
    "no text": (lambda faces: garble(faces / ATTR), "cannot be read (UnicodeDecodeError"),
    "no row for an image": (lose(ATTR, "000009"), "000009.jpg is not listed in"),
    "no part for an image": (lose(PARTITION, "000009"), "000009.jpg is not listed in"),
    "nobody in an image": (lose(IDENTITY, "000009"), "000009.jpg is not listed in"),
    "another part": (
        replace(PARTITION, "000007.jpg  2", "000007.jpg  3"),
        "line 14 says '3' of 000007.jpg, not 0, 1 or 2",
    ),
    "person 0": (replace(IDENTITY, "000007.jpg  3", "000007.jpg  0"), "line 14 says '0' of 000007.jpg, not a number"),
    "person 2^40": (replace(IDENTITY, "000007.jpg  3", f"000007.jpg  {1 << 40}"), "of 000007.jpg, not a number from 1"),
    "no number": (replace(IDENTITY, "000007.jpg  3", "000007.jpg  x"), "line 14 says 'x' of 000007.jpg, not a number"),
    "a picture cut short": (spoil(lambda path: os.truncate(path, 800)), "cannot be read (OSError", "replace it"),
    "an empty picture": (spoil(lambda path: path.write_bytes(b"")), "cannot be read (UnidentifiedImageError"),
    "other proportions": (
        spoil(lambda path: tiny_data.photograph(1, (178, 178)).save(path)),
        "is 178x178 pixels, not of the proportions 178:218",
    ),
    "nearly the proportions": (spoil(lambda path: tiny_data.photograph(1, (90, 108)).save(path)), "is 90x108 pixels"),
}


@pytest.mark.parametrize("case", HARMED)
def test_harmed_files(case, faces):
    harm, *words = HARMED[case]
    assert_refused(faces, *harm(faces), *words)


@pytest.mark.parametrize("name", LISTS[:2])
def test_a_list_that_is_not_there(name, faces):
    (faces / name).unlink()
    assert_refused(faces, name, faces, kind=DataNotFoundError)


@pytest.mark.parametrize("empty", [False, True])
def test_lists_without_images(empty, faces):
    shutil.rmtree(faces / "img_align_celeba")
    if empty:
        (faces / "img_align_celeba").mkdir()
        (faces / "img_align_celeba" / "readme.txt").write_text("no picture")
    assert_refused(faces, faces, "no jpg or png images", "img_align_celeba.zip", kind=DataNotFoundError)


def test_a_split_of_which_no_image_is_there(faces):
    """The first 10,000 images, for one, are all of the official training split."""
    text = (faces / PARTITION).read_text()
    (faces / PARTITION).write_text(text.replace("jpg  2", "jpg  0"))
    with pytest.raises(DataError, match=r"none of the 12 images in .* into split test: add images") as caught:
        load("celeb_a", "test", faces)
    assert str(faces / PARTITION) in str(caught.value) and "\n" not in str(caught.value)
    assert len(load("celeb_a", "train", faces)) == 9


def test_two_pictures_of_one_name(faces):
    tiny_data.photograph(3).save(faces / "img_align_celeba" / "000003.png")
    with pytest.raises(DataError, match=r"has both 000003.jpg and 000003.png: delete one") as caught:
        load("celeb_a", "train", faces)
    assert "\n" not in str(caught.value)


def damage_zip(path):
    content = bytearray(path.read_bytes())
    content[600:664] = bytes(64)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: os.truncate(path, path.stat().st_size // 2), "img_align_celeba.zip cannot be read (BadZipFile"),
        (lambda path: path.write_bytes(b""), "img_align_celeba.zip cannot be read (BadZipFile"),
        (damage_zip, "img_align_celeba.zip/img_align_celeba/000014.jpg cannot be read (BadZipFile: Bad CRC-32"),
    ],
    ids=["cut short", "empty", "damaged"],
)
def test_harmed_zip(harm, words, tmp_path):
    folder = tiny_data.write_celeb_a(tmp_path / "raw", ATTRIBUTES, place="img_align_celeba.zip")
    harm(folder / "img_align_celeba.zip")
    assert_refused(folder, words, split="all")


# --- the real ones ---------------------------------------------------------------------------------------------------


def test_real_faces(test_data):
    folder = test_data("celeb_a/img_align_celeba.zip").parent
    data = load("celeb_a_whole", "test", folder)
    assert len(data) > 0 and data.identities.shape == (len(data),)
    rows = [line.split() for line in (folder / PARTITION).read_text().splitlines()]
    with zipfile.ZipFile(folder / "img_align_celeba.zip") as archive:
        there = {name.rpartition("/")[2]: name for name in archive.namelist()}
        names = sorted(name for name, part in rows if part == "2" and name in there)
        assert len(names) == len(data)
        for row in (0, len(data) // 2, len(data) - 1):
            picture = PIL.Image.open(archive.open(there[names[row]])).convert("RGB")
            np.testing.assert_array_equal(data.images([row])[0], framed(picture, "celeb_a_whole"))
    people = dict(line.split() for line in (folder / IDENTITY).read_text().splitlines())
    assert data.identities.tolist() == [int(people[name]) - 1 for name in names]
    shares = dict(zip(data.factor_names, np.asarray(data.factors).mean(0), strict=True))
    assert 0.3 < shares["Male"] < 0.55 and 0.4 < shares["Smiling"] < 0.6 and shares["Bald"] < 0.06


def test_forty_attributes_are_not_all_named_where_data_is_printed(faces):
    said = repr(load("celeb_a", "all", faces))
    assert "5_o_Clock_Shadow:2" in said and "… 40 in all" in said and len(said) < 160
