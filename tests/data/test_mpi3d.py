"""MPI3D in small, from its official .npz: which release it is, that it is read once, and what is refused."""

import math
import os
import zipfile

import numpy as np
import pytest

import tiny_data
from jaxvae.data import DATASETS, DataError, DataNotFoundError, load, mpi3d

FULL, EARLIER = tiny_data.MPI3D_SIZES


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(mpi3d, "RELEASES", tiny_data.MPI3D_SIZES)
    monkeypatch.setattr(mpi3d, "_ROWS", 7)  # several blocks, the last one short


def test_the_true_sizes(monkeypatch):
    monkeypatch.undo()
    assert [math.prod(sizes) for sizes in mpi3d.RELEASES] == [1_036_800, 460_800]
    assert {len(sizes) for sizes in mpi3d.RELEASES} == {len(mpi3d.FACTORS)} and set(mpi3d.FILES) <= set(DATASETS)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(("release", "sizes"), [*enumerate(tiny_data.MPI3D_SIZES)])
@pytest.mark.parametrize("name", mpi3d.FILES)
def test_the_number_of_images_tells_the_factors(name, release, sizes, save, tmp_path):
    data = load(name, data_dir=tiny_data.write_mpi3d(tmp_path, f"{name}.npz", release=release, save=save))
    assert data.factor_names == mpi3d.FACTORS and data.factor_sizes == sizes and data.complete_grid
    assert data.unordered == ("object_color", "object_shape", "background_color")
    np.testing.assert_array_equal(data.factors, tiny_data.grid(sizes))
    np.testing.assert_array_equal(data.images(np.arange(len(data))), tiny_data.shapes3d_images(len(data)))


@pytest.mark.parametrize("name", ["mpi3d_toy", "mpi3d_realistic"])
def test_the_files_of_the_challenge_go_by_their_own_names(name, tmp_path):
    kind = name.removeprefix("mpi3d_")
    file_name = f"sim_{kind}_64x_ordered_without_heldout_factors.npz"
    tiny_data.write_mpi3d(tmp_path / name, file_name, release=1)
    assert load(name, data_dir=tmp_path).factor_sizes == EARLIER
    assert load(name, data_dir=tmp_path / name / file_name).factor_sizes == EARLIER


def assert_refused(data_dir, *words, kind=DataError):
    with pytest.raises(DataError) as caught:
        load("mpi3d_toy", data_dir=data_dir)
    message = str(caught.value)
    assert type(caught.value) is kind and "\n" not in message
    for word in (*words, "download mpi3d_toy.npz from https://"):
        assert str(word) in message, message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_another_of_the_three_is_not_taken_for_it(tmp_path):
    tiny_data.write_mpi3d(tmp_path, "mpi3d_real.npz")
    assert_refused(tmp_path, f"no mpi3d_toy.npz in {tmp_path}", kind=DataNotFoundError)


def flip(path):
    """Change a byte of the pixels: the checksum of the archive has to tell."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def announcing(shape):
    """Return harm that makes the header promise what the file does not hold."""

    def harm(path):
        with zipfile.ZipFile(path, "w") as archive, archive.open("images.npy", "w") as stream:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.write(bytes(64 * 64 * 3))

    return harm


def saving(**arrays):
    return lambda path: np.savez(path, **arrays)


IMAGES = tiny_data.shapes3d_images(math.prod(FULL))
HARMED = {
    "empty": (lambda path: path.write_bytes(b""), "cannot be read ("),
    "cut short": (lambda path: os.truncate(path, path.stat().st_size * 6 // 10), "cannot be read ("),
    "damaged": (flip, "cannot be read (BadZipFile"),
    "fewer rows than announced": (announcing((math.prod(FULL), 64, 64, 3)), "cannot be read ("),
    "more than memory": (announcing((1 << 50, 64, 64, 3)), "images, MPI3D has 72 or 48"),
    "another array": (saving(imgs=IMAGES), "cannot be read (KeyError"),
    "floats": (saving(images=IMAGES.astype(np.float32)), "holds images float32 (72, 64, 64, 3) instead of uint8"),
    "another size": (saving(images=IMAGES[:, ::2, ::2]), "holds images uint8 (72, 32, 32, 3) instead of uint8"),
    "another order": (saving(images=np.asfortranarray(IMAGES)), "instead of uint8 (N, 64, 64, 3)"),
    "some images": (saving(images=IMAGES[:-1]), "holds 71 images, MPI3D has 72 or 48"),
    "objects": (saving(images=np.full(3, None)), "holds images object (3,) instead of uint8"),
}


@pytest.mark.parametrize("harm", HARMED)
def test_harmed_files_are_named(harm, tmp_path):
    change, words = HARMED[harm]
    path = tiny_data.write_mpi3d(tmp_path, save=np.savez) / "mpi3d_toy.npz"
    change(path)
    assert_refused(tmp_path, path, words)
