"""What goes wrong at the door: every error is a DataError on one line that names the file and says what to do."""

import gzip
import os
import shutil
import sys

import numpy as np
import PIL.Image
import pytest

import tiny_data
from jaxvae.data import DATASETS, DataError, DataNotFoundError, from_arrays, load
from jaxvae.types import InputError

STEM = tiny_data.DSPRITES_STEM
IMAGES = "train-images-idx3-ubyte.gz"


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """Neither the user's cache nor the user's TFDS directory has a say."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))


def assert_refused(name, *words, split="train", data_dir=None, kind=DataError):
    with pytest.raises(InputError) as caught:
        load(name, split, data_dir)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message
    # A reader's own error is neither shown as the cause nor as the context.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_errors_are_the_usual_kinds_too():
    assert issubclass(DataError, InputError) and issubclass(InputError, ValueError)
    assert issubclass(DataNotFoundError, DataError) and issubclass(DataNotFoundError, FileNotFoundError)


@pytest.mark.parametrize(("given", "meant"), [("mnits", "mnist"), ("dsprite", "dsprites"), ("3dshapes", "shapes3d")])
def test_unknown_name_lists_the_names_and_the_nearest(given, meant):
    assert_refused(given, repr(given), f"did you mean {meant!r}?", *DATASETS, kind=InputError)


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(InputError) as caught:
        load("zzzzzz")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("name", DATASETS)
def test_unknown_split_lists_the_splits(name):
    assert_refused(name, name, "'valid'", *DATASETS[name].splits, split="valid", kind=InputError)


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"sprites", "mini_sprites"}))
class TestNothingThere:
    """No directory, an empty one, one that does not exist: the message says how to obtain the data."""

    REMEDY = {  # noqa: RUF012
        "dsprites": (f"{STEM}.npz", "https://", "tfds.builder('dsprites'", "jaxvae[prepare]"),
        "shapes3d": ("3dshapes.h5", "https://", "tfds.builder('shapes3d'", "jaxvae[prepare]"),
        "mnist": (IMAGES, "t10k-labels-idx1-ubyte.gz", "https://", "tfds.builder('mnist'", "jaxvae[prepare]"),
        "fashion_mnist": (IMAGES, "http://", "tfds.builder('fashion_mnist'", "jaxvae[prepare]"),
        "smallnorb": ("training-dat.mat.gz", "https://", "tfds.builder('smallnorb'", "jaxvae[prepare]"),
        "celeb_a": ("list_attr_celeba.txt", "http://", "tfds.builder('celeb_a'", "jaxvae[prepare]"),
        "celeb_a_whole": ("list_attr_celeba.txt", "http://", "tfds.builder('celeb_a'", "jaxvae[prepare]"),
        "cars3d": ("car_*_mesh.mat", "http://", "nips2015-analogy-data.tar.gz", "unpack"),
        "mpi3d_toy": ("https://", "mpi3d_toy.npz"),
        "mpi3d_realistic": ("https://", "mpi3d_realistic.npz"),
        "mpi3d_real": ("https://", "mpi3d_real.npz"),
        "folder": (".png", "one size"),
        "npz": ("np.savez", "uint8"),
    }

    def test_no_data_dir(self, name, tmp_path):
        own = name in ("folder", "npz")
        in_tfds = any("tfds.builder" in word for word in self.REMEDY[name])
        where = (tmp_path / "default",) if in_tfds else ()
        kind = DataError if own else DataNotFoundError
        assert_refused(name, name, "data_dir", *where, *self.REMEDY[name], kind=kind)

    def test_it_does_not_exist(self, name, tmp_path):
        missing = tmp_path / "missing"
        assert_refused(name, name, missing, *self.REMEDY[name], data_dir=missing, kind=DataNotFoundError)

    def test_it_is_empty(self, name, tmp_path):
        empty = tmp_path / "empty"
        empty.mkdir()
        kind = DataError if name in ("folder", "npz") else DataNotFoundError
        assert_refused(name, name, empty, *self.REMEDY[name], data_dir=empty, kind=kind)


# --- idx files -------------------------------------------------------------------------------------------------------


def truncate(path, keep=0.6):
    os.truncate(path, int(path.stat().st_size * keep))


def flip(path):
    """Change bytes in the middle: neither the head nor the directory at the end of an archive."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(b ^ 0xFF for b in content[middle : middle + 64])
    path.write_bytes(content)


def rewrite(change):
    """Return harm that changes what is inside a .gz."""

    def harm(path):
        path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))

    return harm


HARMED_IDX = {
    "cut short": (truncate, "cannot be read (EOFError"),
    "damaged": (flip, "cannot be read ("),
    "empty": (lambda path: path.write_bytes(b""), "starts with nothing"),
    "a web page": (lambda path: path.write_text("<html>quota exceeded</html>"), "starts with 3c68746d"),
    "wrong magic": (rewrite(lambda content: b"\0\0\x0b" + content[3:]), "starts with 00000b03"),
    "labels in place of images": (rewrite(lambda content: tiny_data.idx_bytes(np.zeros(9, np.uint8))), "00000801"),
    "short inside": (rewrite(lambda content: content[:-1]), "cut short"),
    "long inside": (rewrite(lambda content: content + b"\0"), "damaged"),
    "no images": (rewrite(lambda content: tiny_data.idx_bytes(np.zeros((0, 28, 28), np.uint8))), "(0, 28, 28)"),
}


@pytest.mark.parametrize("harm", HARMED_IDX)
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_harmed_idx(name, harm, tmp_path):
    folder = tiny_data.write_idx(tmp_path / "raw")
    act, words = HARMED_IDX[harm]
    act(folder / IMAGES)
    assert_refused(name, folder / IMAGES, words, "download", "http", data_dir=folder)


def test_idx_with_half_of_the_pair(tmp_path):
    folder = tiny_data.write_idx(tmp_path / "raw")
    (folder / IMAGES).unlink()
    words = (IMAGES, folder / "train-labels-idx1-ubyte.gz", "download", "https://")
    assert_refused("mnist", *words, data_dir=folder, kind=DataNotFoundError)
    assert len(load("mnist", "test", folder)) == 20


def test_idx_of_different_splits(tmp_path):
    folder = tiny_data.write_idx(tmp_path / "raw")
    shutil.copy(folder / "t10k-labels-idx1-ubyte.gz", folder / "train-labels-idx1-ubyte.gz")
    assert_refused("mnist", folder / IMAGES, "30 images", "20 labels", data_dir=folder)


def test_idx_with_more_than_ten_classes(tmp_path):
    folder = tiny_data.write_idx(tmp_path / "raw")
    labels = folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(tiny_data.idx_bytes(np.full(30, 17, np.uint8))))
    assert_refused("mnist", labels, "label 17", "0 to 9", data_dir=folder)


# --- dSprites and 3D Shapes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 0.3, 0.9])
@pytest.mark.parametrize(
    ("name", "write", "file"),
    [
        ("dsprites", tiny_data.write_dsprites_npz, f"{STEM}.npz"),
        ("dsprites", tiny_data.write_dsprites_hdf5, f"{STEM}.hdf5"),
        ("shapes3d", tiny_data.write_shapes3d, "3dshapes.h5"),
    ],
)
def test_grid_file_cut_short(name, write, file, keep, tmp_path):
    folder = write(tmp_path / "raw")
    truncate(folder / file, keep)
    assert_refused(name, folder / file, "cannot be read (", "download", "https://", data_dir=folder)


def test_dsprites_npz_damaged_inside(tmp_path):
    folder = tiny_data.write_dsprites_npz(tmp_path / "raw")
    path = folder / f"{STEM}.npz"
    content = path.read_bytes()
    at = content.index(b"imgs.npy") + 600  # in the compressed images
    path.write_bytes(content[:at] + bytes(32) + content[at + 32 :])
    assert_refused("dsprites", path, "cannot be read (", "download", data_dir=folder)


def test_dsprites_npz_whose_checksum_is_wrong(tmp_path):
    """Stored without compression, so that only the checksum can tell."""
    folder = tiny_data.write_dsprites_npz(tmp_path / "raw")
    path = folder / f"{STEM}.npz"
    images, classes, values = tiny_data.dsprites_arrays()
    np.savez(path, imgs=images, latents_classes=classes, latents_values=values)
    content = bytearray(path.read_bytes())
    content[content.index(b"imgs.npy") + 1000] ^= 1
    path.write_bytes(content)
    assert_refused("dsprites", path, "CRC", "download", data_dir=folder)


DSPRITES, CLASSES, _ = tiny_data.dsprites_arrays()
WRONG_DSPRITES = {
    "grey": ({"imgs": DSPRITES * 100}, "pixels of 100"),
    "float": ({"imgs": DSPRITES.astype(np.float32)}, "float32"),
    "small": ({"imgs": DSPRITES[:, ::2, ::2].copy()}, "(72, 32, 32)"),
    "none": ({"imgs": DSPRITES[:0], "latents_classes": CLASSES[:0]}, "0 images"),
    "rows differ": ({"latents_classes": CLASSES[:-1]}, "(71, 6)"),
    "five columns": ({"latents_classes": CLASSES[:, 1:]}, "(72, 5)"),
    "coloured": ({"latents_classes": CLASSES + np.eye(6, dtype=int)[0]}, "not one row"),
    "values for classes": ({"latents_classes": CLASSES / 7}, "float64"),
    "pickled": ({"latents_classes": CLASSES.astype(object)}, "Object arrays"),
}


@pytest.mark.parametrize("case", WRONG_DSPRITES)
def test_dsprites_npz_of_other_arrays(case, tmp_path):
    replaced, words = WRONG_DSPRITES[case]
    folder = tiny_data.write_dsprites_npz(tmp_path / "raw", **replaced)
    assert_refused("dsprites", folder / f"{STEM}.npz", words, "download", data_dir=folder)


@pytest.mark.parametrize("key", ["imgs", "latents_classes"])
def test_dsprites_npz_without_an_array(key, tmp_path):
    folder = tiny_data.write_dsprites_npz(tmp_path / "raw")
    arrays = {"imgs": DSPRITES, "latents_classes": CLASSES}
    del arrays[key]
    np.savez(folder / f"{STEM}.npz", **arrays)
    assert_refused("dsprites", folder / f"{STEM}.npz", key, "download", data_dir=folder)


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"images": np.zeros((96, 64, 64), np.uint8)}, "(96, 64, 64)"),
        ({"images": np.zeros((96, 64, 64, 3), np.float32)}, "float32"),
        ({"labels": np.zeros((95, 6))}, "(95, 6)"),
        ({"labels": np.zeros((96, 5))}, "(96, 5)"),
        ({"images": np.zeros((0, 64, 64, 3), np.uint8), "labels": np.zeros((0, 6))}, "(0, 64, 64, 3)"),
    ],
    ids=["no channels", "float", "rows differ", "five columns", "none"],
)
def test_shapes3d_of_other_arrays(replaced, words, tmp_path):
    import h5py

    folder = tiny_data.write_shapes3d(tmp_path / "raw")
    with h5py.File(folder / "3dshapes.h5", "w") as file:
        arrays = {"images": np.zeros((96, 64, 64, 3), np.uint8), "labels": np.zeros((96, 6))} | replaced
        for key, array in arrays.items():
            file[key] = array
    assert_refused("shapes3d", folder / "3dshapes.h5", words, "download", data_dir=folder)


def test_shapes3d_without_labels(tmp_path):
    import h5py

    path = tmp_path / "3dshapes.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((2, 64, 64, 3), np.uint8)
    assert_refused("shapes3d", path, "labels", "download", data_dir=tmp_path)


def test_hdf5_with_a_damaged_chunk(tmp_path):
    folder = tiny_data.write_shapes3d(tmp_path / "raw")
    path = folder / "3dshapes.h5"
    flip(path)
    assert_refused("shapes3d", path, "cannot be read (", "download", data_dir=folder)


# --- TFDS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    pytest.importorskip("tensorflow_datasets")
    return tiny_data.prepare("mnist", tmp_path_factory.mktemp("tfds"), {"train": tiny_data.digit_records(30)})


@pytest.fixture
def prepared(original, tmp_path):
    """A copy of a prepared data set, to be broken."""
    return shutil.copytree(original, tmp_path / "tfds")


def shard(version):
    return next(version.glob("*array_record*"))


def to_tfrecord(version):
    info = version / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    shard(version).rename(str(shard(version)).replace("array_record", "tfrecord"))


HARMED_TFDS = {
    "no info": (lambda version: (version / "dataset_info.json").unlink(), "dataset_info.json cannot be read"),
    "garbled info": (lambda version: (version / "dataset_info.json").write_text("{"), "dataset_info.json cannot be"),
    "other info": (lambda version: (version / "dataset_info.json").write_text("{}"), "dataset_info.json cannot be"),
    "tfrecord": (to_tfrecord, "stored as tfrecord, which needs TensorFlow"),
    "no shard": (lambda version: shard(version).unlink(), "array_record-00000-of-00001"),
    "shard cut short": (lambda version: truncate(shard(version)), "cannot be read (RuntimeError"),
    "shard empty": (lambda version: truncate(shard(version), 0), "cannot be read (RuntimeError"),
    "shard damaged": (lambda version: shard(version).write_bytes(os.urandom(1 << 17)), "cannot be read (RuntimeError"),
}


@pytest.mark.parametrize("harm", HARMED_TFDS)
def test_harmed_tfds(harm, prepared):
    version = prepared / "mnist" / "3.0.1"
    act, words = HARMED_TFDS[harm]
    act(version)
    remedy = (f"delete {version}", "tfds.builder('mnist'", "file_format='array_record'")
    assert_refused("mnist", version, words, *remedy, data_dir=prepared)


def test_tfds_without_the_split(prepared):
    assert_refused("mnist", prepared / "mnist" / "3.0.1", "test", "delete", split="test", data_dir=prepared)


def test_tfds_of_other_records(prepared):
    """A directory of MNIST that calls itself dSprites."""
    version = shutil.move(prepared / "mnist", prepared / "dsprites") / "3.0.1"
    for path in list(version.iterdir()):
        path.rename(version / path.name.replace("mnist", "dsprites"))
    info = version / "dataset_info.json"
    info.write_text(info.read_text().replace('"mnist"', '"dsprites"'))
    assert_refused("dsprites", version, "does not hold the records of dsprites", "label_shape", data_dir=prepared)


def test_tfds_that_is_not_installed(prepared, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert_refused("mnist", prepared, "pip install tensorflow-datasets", IMAGES, data_dir=prepared)


# --- a folder of images ----------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        PIL.Image.new("L", (12, 10), i).save(folder / f"{i}.png")
    return folder


def test_folder_names_the_first_image_of_another_size(pictures):
    PIL.Image.new("L", (10, 12)).save(pictures / "1.png")
    PIL.Image.new("L", (3, 3)).save(pictures / "2.png")
    assert_refused("folder", pictures / "1.png", "10x12", "0.png", "12x10", "resize", data_dir=pictures)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_folder_refuses_values_of_which_nothing_says_what_is_white(mode, pictures):
    PIL.Image.new(mode, (12, 10), 40000).save(pictures / "1.tif")
    assert_refused("folder", pictures / "1.tif", f"mode {mode}", "8 or 16 bits", data_dir=pictures)


@pytest.mark.parametrize(
    "harm",
    [lambda path: path.write_bytes(b""), lambda path: path.write_text("no image"), truncate],
    ids=["empty", "text", "cut short"],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_folder_with_a_bad_image(suffix, harm, pictures):
    path = pictures / f"x.{suffix}"
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 12), np.uint8)).save(path)
    harm(path)
    assert_refused("folder", path, "cannot be read (", "delete or replace", data_dir=pictures)


def test_folder_that_is_a_file(pictures):
    assert_refused("folder", pictures / "0.png", "is a file", data_dir=pictures / "0.png")


def test_folder_without_images_anywhere(pictures):
    for i in range(3):
        (pictures / f"{i}.png").rename(pictures / f".{i}.png")
    assert_refused("folder", "no images directly in", pictures.parent, "subfolders", data_dir=pictures.parent)


# --- a user's own npz ------------------------------------------------------------------------------------------------

SIX = tiny_data.numbered(6)
WRONG_NPZ = {
    "floats": ({"images": SIX * 255.0}, ("float64 from 0", "[0, 1]", "uint8")),
    "floats below 0": ({"images": SIX / 255 - 0.5}, ("float64 from -0.5", "[0, 1]")),
    "floats that are none": ({"images": SIX * np.nan}, ("float64 from nan", "[0, 1]")),
    "int64": ({"images": SIX.astype(int)}, ("int64", "uint8 0..255")),
    "objects": ({"images": SIX.astype(object)}, ("Object arrays", "np.savez")),
    "no images": ({"image": SIX, "y": np.zeros(6)}, ("no array 'images'", "image, y")),
    "nothing": ({}, ("no array 'images'", "nothing")),
    "empty": ({"images": SIX[:0]}, ("not empty", "(0, 64, 64, 1)")),
    "one image": ({"images": SIX[0, :, :, 0]}, ("[N, H, W]", "(64, 64)")),
    "channel first": ({"images": np.zeros((6, 3, 64, 64), np.uint8)}, ("channel-first", "transpose(0, 2, 3, 1)")),
    "factors of fewer rows": ({"images": SIX, "factors": np.zeros((5, 2), int)}, ("factors", "[6, K]", "(5, 2)")),
    "factors of one axis": ({"images": SIX, "factors": np.zeros(6, int)}, ("factors", "[6, K]", "(6,)")),
    "no factors": ({"images": SIX, "factors": np.zeros((6, 0), int)}, ("factors", "(6, 0)")),
    "float factors": ({"images": SIX, "factors": np.ones((6, 2))}, ("factors", "float64", "np.unique")),
    "negative factors": ({"images": SIX, "factors": -np.ones((6, 2), int)}, ("factors", "-1", "np.unique")),
    "label": ({"images": SIX, "label": np.zeros(6, int)}, ("'label', which nobody reads", "'labels'")),
    "Factors": ({"images": SIX, "Factors": np.zeros((6, 2), int)}, ("'Factors', which nobody reads", "'factors'")),
    "lables": ({"images": SIX, "lables": np.zeros(6, int)}, ("'lables', which nobody reads", "'labels'")),
    "factorNames": (
        {"images": SIX, "factors": np.zeros((6, 2), int), "factorNames": np.array(["a", "b"])},
        ("'factorNames', which nobody reads", "'factor_names'"),
    ),
    "image beside images": ({"images": SIX, "image": SIX}, ("'image', which nobody reads", "'images'")),
    "names of nothing": ({"images": SIX, "factor_names": np.array(["a"])}, ("factor_names", "without factors")),
    "fewer names": (
        {"images": SIX, "factors": np.zeros((6, 2), int), "factor_names": np.array(["a"])},
        ("factor_names", "2 different strings", "['a']"),
    ),
    "names that are numbers": (
        {"images": SIX, "factors": np.zeros((6, 2), int), "factor_names": np.arange(2)},
        ("factor_names", "2 different strings", "[0, 1]"),
    ),
    "one name twice": (
        {"images": SIX, "factors": np.zeros((6, 2), int), "factor_names": np.array(["a", "a"])},
        ("factor_names", "2 different strings", "['a', 'a']"),
    ),
    "labels of fewer rows": ({"images": SIX, "labels": np.zeros(5, int)}, ("labels", "[6]", "(5,)")),
    "labels of three axes": ({"images": SIX, "labels": np.zeros((6, 1, 1), int)}, ("labels", "[6]", "(6, 1, 1)")),
    "label that is one number": ({"images": SIX, "labels": np.array(3)}, ("labels", "[6]", "()")),
    "labels that are words": ({"images": SIX, "labels": np.array(list("abcdef"))}, ("labels", "<U1", "np.unique")),
    "factors and labels": (
        {"images": SIX, "factors": np.zeros((6, 2), int), "labels": np.zeros(6, int)},
        ("both 'factors' and 'labels'", "leave one out"),
    ),
}


@pytest.mark.parametrize("case", WRONG_NPZ)
def test_npz_of_wrong_arrays(case, tmp_path):
    arrays, words = WRONG_NPZ[case]
    np.savez(tmp_path / "mine.npz", **arrays)
    assert_refused("npz", tmp_path / "mine.npz", *words, data_dir=tmp_path)


@pytest.mark.parametrize(
    "shape", [(2, 64, 64), (4, 64, 64), (12, 64, 64), (64, 8, 8), (3, 48, 64), (2, 64, 48), (1, 28, 28), (3, 4, 4)]
)
def test_channels_that_come_first_are_recognised_whatever_their_number(shape):
    with pytest.raises(DataError, match="channel-first") as caught:
        from_arrays(np.zeros((6, *shape), np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "shape", [(64, 64, 4), (64, 64, 13), (48, 64, 2), (8, 8, 8), (3, 3, 3), (1, 28, 1), (3, 64, 3), (30, 20, 5)]
)
def test_channels_that_come_last_are_taken_whatever_their_number(shape):
    assert from_arrays(np.zeros((6, *shape), np.uint8)).shape == shape


@pytest.mark.parametrize("harm", ["empty", "text", "npy", "pickle", "cut short", "damaged"])
def test_harmed_npz(harm, tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, images=SIX)
    if harm == "empty":
        path.write_bytes(b"")
    elif harm == "text":
        path.write_text("no archive")
    elif harm == "npy":
        with path.open("wb") as file:
            np.save(file, SIX)
    elif harm == "pickle":
        path.write_bytes(b"\x80\x04N.")
    elif harm == "cut short":
        truncate(path)
    else:
        flip(path)
    assert_refused("npz", path, "np.savez", data_dir=path)


def test_npz_keys_like_no_other_are_passed_over(tmp_path):
    others = {"y": np.zeros(6), "latents_values": np.zeros((6, 2)), "label_names": np.array(["a"]), "ids": np.arange(6)}
    np.savez(tmp_path / "mine.npz", images=SIX, labels=np.zeros(6, int), lables=np.zeros(6, int), **others)
    assert load("npz", data_dir=tmp_path).factor_names == ("label",)


def test_npz_folder_with_several(tmp_path):
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, images=SIX)
    assert_refused("npz", tmp_path, "exactly one", "a.npz, b.npz", data_dir=tmp_path)
