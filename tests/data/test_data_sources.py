"""Every source on tiny data in its true format: raw files, TFDS directories, a user's own; and the real MNIST."""

import ast
import shlex
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("tensorflow_datasets")

import tiny_data
from jaxvae.data import DATASETS, load
from jaxvae.data.celeb_a import ATTRIBUTES
from jaxvae.data.dsprites import FACTORS as DSPRITES_FACTORS
from jaxvae.data.lookup import prepare_command
from jaxvae.data.shapes3d import FACTORS as SHAPES3D_FACTORS


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A directory that holds all six TFDS data sets."""
    return tiny_data.prepare_all(tmp_path_factory.mktemp("tfds"), ATTRIBUTES)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep tests out of the user's cache and of each other's, and MPI3D, which has one size only, small."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("jaxvae.data.mpi3d.RELEASES", tiny_data.MPI3D_SIZES)


def write_folder(folder, count=6, **options):
    folder.mkdir(parents=True)
    for i, image in enumerate(tiny_data.numbered(count, height=20, width=30, **options)):
        (folder / f"{i:03d}.png").write_bytes(tiny_data.encoded(image).read())
    return folder


def write_npz(folder, **arrays):
    folder.mkdir(parents=True)
    np.savez(folder / "mine.npz", **arrays)
    return folder


def write_npz_grid(folder):
    factors = tiny_data.grid((2, 3))
    return write_npz(folder, images=tiny_data.numbered(6), factors=factors, factor_names=np.array(["a", "b"]))


# name and form of a source -> what makes it and returns its data_dir; every name of DATASETS is here
FORMS = {
    ("mini_sprites", "rendered"): lambda tmp, prepared: None,
    ("dsprites", "npz"): lambda tmp, prepared: tiny_data.write_dsprites_npz(tmp / "raw"),
    ("dsprites", "hdf5"): lambda tmp, prepared: tiny_data.write_dsprites_hdf5(tmp / "raw"),
    ("dsprites", "tfds"): lambda tmp, prepared: prepared,
    ("shapes3d", "h5"): lambda tmp, prepared: tiny_data.write_shapes3d(tmp / "raw"),
    ("shapes3d", "tfds"): lambda tmp, prepared: prepared,
    ("smallnorb", "mat"): lambda tmp, prepared: tiny_data.write_smallnorb(tmp / "raw"),
    ("smallnorb", "tfds"): lambda tmp, prepared: prepared,
    ("cars3d", "mat"): lambda tmp, prepared: tiny_data.write_cars3d(tmp / "raw"),
    ("mpi3d_toy", "npz"): lambda tmp, prepared: tiny_data.write_mpi3d(tmp / "raw"),
    ("mpi3d_realistic", "npz"): lambda tmp, prepared: tiny_data.write_mpi3d(tmp / "raw", "mpi3d_realistic.npz"),
    ("mpi3d_real", "npz"): lambda tmp, prepared: tiny_data.write_mpi3d(tmp / "raw", "mpi3d_real.npz"),
    ("mnist", "idx.gz"): lambda tmp, prepared: tiny_data.write_idx(tmp / "raw"),
    ("mnist", "idx"): lambda tmp, prepared: tiny_data.write_idx(tmp / "raw", zipped=False),
    ("mnist", "tfds"): lambda tmp, prepared: prepared,
    ("fashion_mnist", "idx.gz"): lambda tmp, prepared: tiny_data.write_idx(tmp / "raw"),
    ("fashion_mnist", "tfds"): lambda tmp, prepared: prepared,
    ("celeb_a", "folder"): lambda tmp, prepared: tiny_data.write_celeb_a(tmp / "raw", ATTRIBUTES),
    ("celeb_a", "tfds"): lambda tmp, prepared: prepared,
    ("celeb_a_whole", "folder"): lambda tmp, prepared: tiny_data.write_celeb_a(tmp / "raw", ATTRIBUTES),
    ("celeb_a_whole", "tfds"): lambda tmp, prepared: prepared,
    ("folder", "png"): lambda tmp, prepared: write_folder(tmp / "raw"),
    ("npz", "bare"): lambda tmp, prepared: write_npz(tmp / "raw", images=tiny_data.numbered(6)),
    ("npz", "factors"): lambda tmp, prepared: write_npz_grid(tmp / "raw"),
}
CASES = [(name, form, split) for name, form in FORMS for split in DATASETS[name].splits]
EXPECTED = {  # shape, annotation, whether a complete grid
    "mini_sprites": ((32, 32, 1), "factors", True),
    "dsprites": ((64, 64, 1), "factors", True),
    "shapes3d": ((64, 64, 3), "factors", True),
    "smallnorb": ((64, 64, 1), "factors", False),
    "cars3d": ((64, 64, 3), "factors", True),
    "mpi3d_toy": ((64, 64, 3), "factors", True),
    "mpi3d_realistic": ((64, 64, 3), "factors", True),
    "mpi3d_real": ((64, 64, 3), "factors", True),
    "mnist": ((28, 28, 1), "labels", False),
    "fashion_mnist": ((28, 28, 1), "labels", False),
    "celeb_a": ((64, 64, 3), "labels", False),
    "celeb_a_whole": ((64, 64, 3), "labels", False),
    "folder": ((20, 30, 1), "none", False),
}
MPI3D_UNORDERED = ("object_color", "object_shape", "background_color")
UNORDERED = {  # of the others every factor has an order, or nobody says
    "mini_sprites": ("shape",),
    "dsprites": ("shape",),
    "shapes3d": ("shape",),
    "smallnorb": ("category",),
    "cars3d": ("object",),
    "mpi3d_toy": MPI3D_UNORDERED,
    "mpi3d_realistic": MPI3D_UNORDERED,
    "mpi3d_real": MPI3D_UNORDERED,
    "mnist": ("digit",),
    "fashion_mnist": ("article",),
}


def test_every_data_set_is_tested_here():
    assert {name for name, _ in FORMS} == set(DATASETS) - {"sprites"}  # the same renderer as mini_sprites, and minutes


@pytest.mark.parametrize("name", DATASETS)
def test_a_source_says_what_it_is(name):
    source = DATASETS[name]
    assert source.evaluation_split in source.splits
    assert source.evaluation_split == ("test" if "test" in source.splits else "train")
    for text in (source.description, source.obtain):
        assert text and "\n" not in text


@pytest.mark.parametrize(("name", "form", "split"), CASES, ids=map("-".join, CASES))
def test_contract(name, form, split, tmp_path, prepared):
    data = load(name, split, FORMS[name, form](tmp_path, prepared))
    images, factors = np.asarray(data.images(np.arange(len(data)))), np.asarray(data.factors)
    assert data.name == name
    assert images.dtype == np.uint8 and images.shape == (len(data), *data.shape)
    assert images.max() > 1, "images are 0 … 255, whatever the source stores"
    assert factors.dtype == np.int32 and factors.shape == (len(data), len(data.factor_names))
    assert len(data.factor_sizes) == len(data.factor_names) == len(set(data.factor_names))
    assert (factors >= 0).all() and (factors < np.array(data.factor_sizes)).all()
    if name in EXPECTED:
        assert (data.shape, data.annotation, data.complete_grid) == EXPECTED[name]
    assert data.unordered == UNORDERED.get(name, ())
    if "sprites" in name:  # rendered or downloaded, the two are interchangeable
        assert data.factor_names == DSPRITES_FACTORS
    if data.complete_grid:
        np.testing.assert_array_equal(data.index(data.factors), np.arange(len(data)))


@pytest.mark.parametrize("form", ["npz", "hdf5", "tfds"])
def test_dsprites_gives_each_image_its_factors(form, tmp_path, prepared, monkeypatch):
    monkeypatch.setattr("jaxvae.data.dsprites._ROWS", 7)  # several blocks, the last one short
    data = load("dsprites", data_dir=FORMS["dsprites", form](tmp_path, prepared))
    assert data.factor_names == DSPRITES_FACTORS == ("shape", "scale", "orientation", "x_position", "y_position")
    assert data.factor_sizes == tiny_data.DSPRITES_SIZES
    assert data.binary and data.pixels.shape == (72, 512)
    np.testing.assert_array_equal(data.factors, tiny_data.grid(tiny_data.DSPRITES_SIZES))
    np.testing.assert_array_equal(data.images(np.arange(72)), tiny_data.numbered(72, on=255))


@pytest.mark.parametrize("form", ["h5", "tfds"])
def test_shapes3d_gives_each_image_its_factors(form, tmp_path, prepared):
    data = load("shapes3d", data_dir=FORMS["shapes3d", form](tmp_path, prepared))
    assert data.factor_names == SHAPES3D_FACTORS
    assert data.factor_sizes == tiny_data.SHAPES3D_SIZES and not data.binary
    np.testing.assert_array_equal(data.factors, tiny_data.grid(tiny_data.SHAPES3D_SIZES))
    np.testing.assert_array_equal(data.images(np.arange(96)), tiny_data.shapes3d_images(96))


def test_tfds_did_shuffle(prepared):
    """The two tests above prove nothing unless the order on disk differs from the grid's."""
    import tensorflow_datasets as tfds

    source = tfds.data_source("dsprites", split="train", data_dir=prepared, download=False)
    order = tiny_data.numbers(np.stack([record["image"] for record in source.__getitems__(list(range(72)))]))
    assert sorted(order) == list(range(72)) and list(order) != list(range(72))


def test_smallnorb_pools_the_splits_and_leaves_the_instance_to_chance(prepared):
    data = load("smallnorb", data_dir=prepared)
    assert data.factor_names == ("category", "elevation", "azimuth", "lighting") and data.factor_sizes == (5, 9, 18, 6)
    factors, images = np.asarray(data.factors), np.asarray(data.images(np.arange(len(data))))
    assert len(data) == 4 * 5 * 2 * 3 * 2
    rows, counts = np.unique(factors, axis=0, return_counts=True)
    assert (counts == 4).all(), "one image of each instance of both splits"
    np.testing.assert_array_equal(factors, np.repeat(rows, 4, axis=0))
    assert set(rows[:, 2]) == {0, 3, 17}, "TFDS has halved the azimuth already"
    # The left camera, the right label, instances in order: flat images of 20 * instance + category.
    instances = np.tile([0, 1, 4, 6], len(rows))
    assert (images == (20 * instances + factors[:, 0])[:, None, None, None]).all()


def test_celeb_a_is_cropped_to_the_face_and_keeps_its_attributes(prepared):
    data = load("celeb_a", "validation", data_dir=prepared)
    assert data.factor_names == ATTRIBUTES and len(ATTRIBUTES) == 40 and data.factor_sizes == (2,) * 40
    faces = np.asarray(data.images(np.arange(3))).astype(int)
    which = np.round(faces.mean((1, 2, 3)) / 10).astype(int)
    assert sorted(which) == [0, 1, 2]
    # Nothing of the white around the middle 148x148 but what JPEG smears over the border.
    assert np.abs(faces[:, 4:-4, 4:-4] - 10 * which[:, None, None, None]).max() <= 3
    np.testing.assert_array_equal(data.factors, np.arange(40)[None] >> which[:, None] & 1)
    np.testing.assert_array_equal(data.identities, which)


@pytest.mark.parametrize("form", ["idx.gz", "idx", "tfds"])
@pytest.mark.parametrize(("split", "count"), [("train", 30), ("test", 20)])
def test_mnist_gives_each_digit_its_label(form, split, count, tmp_path, prepared):
    data = load("mnist", split, FORMS["mnist", form](tmp_path, prepared))
    images, labels = tiny_data.digits(count)
    assert data.factor_names == ("digit",) and data.factor_sizes == (10,)
    expected = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    rows = zip(np.asarray(data.pixels), np.asarray(data.factors)[:, 0], strict=True)
    got = {image.tobytes(): label for image, label in rows}
    assert got == expected
    if form != "tfds":
        np.testing.assert_array_equal(data.factors[:, 0], labels)


@pytest.mark.parametrize("split", ["train", "test"])
def test_real_mnist(test_data, split):
    data = load("mnist", split, test_data("mnist/train-images-idx3-ubyte.gz").parent)
    assert len(data) == {"train": 60000, "test": 10000}[split] and data.shape == (28, 28, 1) and not data.binary
    assert data.factors[:5, 0].tolist() == {"train": [5, 0, 4, 1, 9], "test": [7, 2, 1, 0, 4]}[split]
    if split == "train":  # the usual statement of MNIST's mean is 0.1307
        assert abs(np.asarray(data.pixels).mean() / 255 - 0.1307) < 1e-4


def test_raw_files_may_lie_in_a_folder_named_after_the_data_set_or_be_data_dir(tmp_path):
    tiny_data.write_idx(tmp_path / "mnist")
    tiny_data.write_idx(tmp_path / "fashion_mnist", counts=(("train", 11), ("t10k", 9)))
    assert len(load("mnist", data_dir=tmp_path)) == 30
    fashion = load("fashion_mnist", data_dir=str(tmp_path))
    assert len(fashion) == 11 and fashion.factor_names == ("article",)
    file = next(tiny_data.write_dsprites_npz(tmp_path / "d").iterdir())
    assert len(load("dsprites", data_dir=file)) == 72


def test_raw_files_come_before_tfds(tmp_path, prepared, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert load("dsprites", data_dir=tiny_data.write_dsprites_npz(tmp_path / "raw")).complete_grid


def test_without_data_dir_tfds_own_directory_is_read(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert len(load("mnist", "test")) == 20
    assert len(load("mnist", "test", "")) == 20  # an empty flag


def test_the_latest_prepared_version_is_read(tmp_path, prepared):
    versions = tmp_path / "mnist"
    versions.mkdir()
    (versions / "3.0.1").symlink_to(prepared / "mnist" / "3.0.1")
    (versions / "2.10.0").mkdir()  # older, and not even complete
    (versions / "incomplete.ABC_3.0.2").mkdir()
    assert len(load("mnist", data_dir=tmp_path)) == 30


def test_folder_is_sorted_and_stays_grey(tmp_path):
    folder = write_folder(tmp_path / "raw", count=12)
    (folder / "notes.txt").write_text("no image")
    (folder / "._000.png").write_text("what macOS leaves behind")
    (folder / "003.png").rename(folder / "zzz.PNG")
    data = load("folder", data_dir=folder)
    assert tiny_data.numbers(data.images(np.arange(12))).tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 3]
    assert data.factor_names == () and data.factors.shape == (12, 0)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tiff", "gif"])
def test_folder_reads_the_usual_formats(tmp_path, suffix):
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 200
    PIL.Image.fromarray(image).save(tmp_path / f"a.{suffix}")
    data = load("folder", data_dir=tmp_path)
    assert data.shape == (8, 8, 3)
    np.testing.assert_allclose(np.asarray(data.images([0]))[0].astype(int), image, atol=8)


def test_folder_makes_everything_rgb_when_anything_is_coloured(tmp_path):
    for name, mode in [("a", "L"), ("b", "RGB"), ("c", "RGBA"), ("d", "P"), ("e", "LA"), ("f", "1")]:
        PIL.Image.new(mode, (5, 7), 1).save(tmp_path / f"{name}.png")
    data = load("folder", data_dir=tmp_path)
    assert data.shape == (7, 5, 3) and len(data) == 6


def test_npz_takes_factors_labels_or_neither(tmp_path):
    data = load("npz", data_dir=write_npz_grid(tmp_path / "a"))
    assert (data.annotation, data.factor_names, data.factor_sizes) == ("factors", ("a", "b"), (2, 3))
    factors = tiny_data.grid((2, 3)).astype(np.uint8)
    data = load("npz", data_dir=write_npz(tmp_path / "b", images=tiny_data.numbered(6), factors=factors) / "mine.npz")
    assert data.factor_names == ("factor_0", "factor_1")
    bytes_names = np.array([b"a", b"b"])
    folder = write_npz(tmp_path / "c", images=tiny_data.numbered(6), factors=factors, factor_names=bytes_names)
    assert load("npz", data_dir=folder).factor_names == ("a", "b")
    labels = np.array([0, 1, 4, 1, 3, 2])
    data = load("npz", data_dir=write_npz(tmp_path / "d", images=tiny_data.numbered(6), labels=labels))
    assert (data.annotation, data.factor_names, data.factor_sizes) == ("labels", ("label",), (5,))
    np.testing.assert_array_equal(data.factors[:, 0], labels)


def test_npz_takes_images_without_channels_and_in_any_memory_order(tmp_path):
    images = np.asfortranarray(np.random.default_rng(0).integers(0, 256, (4, 10, 12), np.uint8))
    data = load("npz", data_dir=write_npz(tmp_path / "a", images=images))
    np.testing.assert_array_equal(data.images(np.arange(4)), images[..., None])


def test_npz_grid_in_any_order_is_sorted(tmp_path):
    order = np.random.default_rng(0).permutation(6)
    arrays = {"images": tiny_data.numbered(6)[order], "factors": tiny_data.grid((2, 3))[order]}
    data = load("npz", data_dir=write_npz(tmp_path / "a", **arrays))
    assert data.complete_grid
    np.testing.assert_array_equal(tiny_data.numbers(data.images(np.arange(6))), np.arange(6))


def test_the_prepare_command_is_one_that_runs(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    asked = []
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", lambda self: asked.append(self))
    python, flag, code = shlex.split(prepare_command("mnist", tmp_path))
    assert (python, flag) == ("python", "-c")
    exec(compile(ast.parse(code), "command", "exec"), {})
    (builder,) = asked
    assert (builder.name, builder.info.file_format.value) == ("mnist", "array_record")
    assert str(builder.data_dir).startswith(str(tmp_path))


def test_importing_the_room_imports_no_reader():
    code = "import sys, jaxvae.data; print(*{'tensorflow_datasets', 'tensorflow', 'h5py'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
