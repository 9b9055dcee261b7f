"""Cars3D from its official files: a complete grid in the order of their numbers, resized once; and what is refused."""

import os
import shutil

import numpy as np
import PIL.Image
import pytest
import scipy.io

import tiny_data
from jaxvae.data import DataError, DataNotFoundError, load
from jaxvae.data.lookup import say_once


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def cars(tmp_path):
    return tiny_data.write_cars3d(tmp_path / "raw")


def resized(pixels, elevation, azimuth):
    """Return one view uint8[64, 64, 3] of im uint8[128, 128, 3, 24, 4]."""
    view = PIL.Image.fromarray(np.ascontiguousarray(pixels[..., azimuth, elevation]))
    return np.asarray(view.resize((64, 64), PIL.Image.Resampling.LANCZOS))


def test_every_view_stands_where_its_factors_say_cars_in_the_order_of_their_numbers(cars, monkeypatch):
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: sorted(listed(folder), reverse=True))
    data = load("cars3d", data_dir=cars)
    assert data.factor_names == ("elevation", "azimuth", "object") and data.factor_sizes == (4, 24, 3)
    assert data.complete_grid and not data.binary and data.unordered == ("object",)
    np.testing.assert_array_equal(data.factors, tiny_data.grid((4, 24, 3)))
    images = np.asarray(data.images(np.arange(288))).reshape(4, 24, 3, 64, 64, 3)
    for column, number in enumerate((2, 9, 10)):
        pixels = tiny_data.car(number)
        for elevation, azimuth in ((0, 0), (0, 23), (3, 0), (2, 7)):
            np.testing.assert_array_equal(images[elevation, azimuth, column], resized(pixels, elevation, azimuth))


def test_numbers_count_not_names(tmp_path):
    """car_2 comes before car_10, whatever the zeros before them."""
    cars = tiny_data.write_cars3d(tmp_path / "raw", (2, 10))
    zeros = np.asarray(load("cars3d", data_dir=cars).pixels)
    for number in (2, 10):
        (cars / f"car_{number:03d}_mesh.mat").rename(cars / f"car_{number}_mesh.mat")
    np.testing.assert_array_equal(load("cars3d", data_dir=cars).pixels, zeros)


@pytest.mark.parametrize("place", ["cars3d", "cars", "data/cars"])
def test_the_folder_may_lie_where_the_archive_unpacks(place, cars, tmp_path):
    expected = load("cars3d", data_dir=cars).pixels
    shutil.copytree(cars, tmp_path / "there" / place)
    (tmp_path / "there" / place / "list.txt").write_text("car_002_mesh\n")  # upstream's, and not needed
    (tmp_path / "there" / place / "._car_002_mesh.mat").write_text("what macOS leaves behind")
    np.testing.assert_array_equal(load("cars3d", data_dir=tmp_path / "there").pixels, expected)


def test_files_are_decoded_once_until_one_changes(cars, tmp_path, monkeypatch):
    first = load("cars3d", data_dir=cars)
    reads, original = [], scipy.io.loadmat
    monkeypatch.setattr(scipy.io, "loadmat", lambda path, **options: reads.append(path) or original(path, **options))
    np.testing.assert_array_equal(load("cars3d", data_dir=cars).pixels, first.pixels)
    assert not reads
    os.utime(cars / "car_002_mesh.mat", (1, 1))
    assert len(load("cars3d", data_dir=cars)) == 288 and len(reads) == 3
    (cars / "car_010_mesh.mat").unlink()
    assert load("cars3d", data_dir=cars).factor_sizes == (4, 24, 2)


def test_the_terms_are_said_once(cars, caplog):
    say_once.cache_clear()
    caplog.set_level("INFO", logger="jaxvae.data")
    for _ in range(2):
        load("cars3d", data_dir=cars)
    assert sum("for research" in record.getMessage() for record in caplog.records) == 1


def assert_refused(data_dir, *words, kind=DataError):
    with pytest.raises(DataError) as caught:
        load("cars3d", data_dir=data_dir)
    message = str(caught.value)
    assert type(caught.value) is kind and "\n" not in message
    for word in words:
        assert str(word) in message, message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_folder_without_cars_or_a_file_is_nothing(cars, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "shapes48.mat").write_bytes(b"another file of the archive")
    for data_dir in (tmp_path / "empty", cars / "car_002_mesh.mat"):
        words = (f"no car_*_mesh.mat in {data_dir}", "http://", "unpack")
        assert_refused(data_dir, *words, kind=DataNotFoundError)


@pytest.mark.parametrize("second", ["car_0002_mesh.mat", "car_002_mesh (1).mat", "car_002_mesh_copy.mat"])
def test_two_files_of_one_car(second, cars):
    shutil.copy(cars / "car_002_mesh.mat", cars / second)
    assert_refused(cars, cars / "car_002_mesh.mat", cars / second, "are both car 2: delete one of them")


def cut(path):
    os.truncate(path, path.stat().st_size * 6 // 10)


def flip(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    path.write_bytes(content)


def holding(**arrays):
    return lambda path: scipy.io.savemat(path, arrays)


HARMED = {
    "empty": (lambda path: path.write_bytes(b""), "cannot be read ("),
    "text": (lambda path: path.write_text("no MATLAB file, but long enough to have a head " * 9), "cannot be read ("),
    "cut short": (cut, "cannot be read ("),
    "damaged": (flip, "cannot be read ("),
    "without im": (holding(mask=np.zeros(3)), "cannot be read (KeyError"),
    "floats": (holding(im=np.zeros((8, 8, 3, 24, 4))), "holds im float64 (8, 8, 3, 24, 4) instead of uint8 (128, 128"),
    "a dangling link": (lambda path: (path.unlink(), path.symlink_to("nowhere")), "cannot be read (FileNotFoundError"),
    "another size": (holding(im=np.zeros((64, 64, 3, 24, 4), np.uint8)), "holds im uint8 (64, 64, 3, 24, 4) instead"),
    "an elevation short": (holding(im=np.zeros((128, 128, 3, 24, 3), np.uint8)), "(128, 128, 3, 24, 3) instead"),
}


@pytest.mark.parametrize("harm", HARMED)
def test_harmed_files_are_named(harm, cars):
    change, words = HARMED[harm]
    path = cars / "car_009_mesh.mat"
    change(path)
    assert_refused(cars, path, words, "nips2015-analogy-data.tar.gz", "http://")


# --- the real ones ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(test_data):
    return test_data("cars3d/car_001_mesh.mat").parent


def test_real_cars(real):
    files = sorted(real.glob("car_*_mesh.mat"))
    data = load("cars3d", data_dir=real)
    assert data.shape == (64, 64, 3) and data.factor_sizes == (4, 24, len(files)) and data.complete_grid
    assert len(data) == 96 * len(files)
    images = np.asarray(data.images(np.arange(len(data)))).reshape(*data.factor_sizes, 64, 64, 3)
    for column in (0, len(files) - 1):
        pixels = scipy.io.loadmat(files[column])["im"]
        for elevation, azimuth in ((0, 0), (1, 5), (3, 23)):
            np.testing.assert_array_equal(images[elevation, azimuth, column], resized(pixels, elevation, azimuth))

    # Along the grid's axes pictures change little by little: seen round a circle, and from ever higher up.
    pictures = images[:, :, ::3].astype(np.float32)
    flat = pictures.reshape(-1, 64, 64, 3)
    one, other = flat[np.random.default_rng(0).integers(0, len(flat), (2, 400))]
    apart = np.abs(one - other).mean()
    azimuths = np.abs(pictures[0] - np.roll(pictures[0], 1, axis=0)).mean(axis=(1, 2, 3, 4))
    elevations = np.abs(np.diff(pictures, axis=0)).mean()
    assert azimuths.max() < 0.8 * apart and azimuths.mean() < 0.6 * apart and elevations < 0.6 * apart, (
        azimuths.tolist(),
        elevations,
        apart,
    )
    # The same car from all sides keeps its colour better than cars at one angle share it.
    colours = np.stack([(255 - pictures[..., c]).mean((-2, -1)) for c in range(3)], -1)
    colours /= np.linalg.norm(colours, axis=-1, keepdims=True)
    assert colours.std(axis=(0, 1)).mean() < 0.5 * colours.std(axis=2).mean()
