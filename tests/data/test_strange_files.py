"""Files of strangers: formats that start programs, sizes that are claimed, devices, names that are no words."""

import dataclasses
import gzip
import io
import os
import pathlib
import struct
import warnings
import zipfile
import zlib

import numpy as np
import PIL.EpsImagePlugin
import PIL.Image
import pytest

from jaxvae import data
from jaxvae.data import DataError, from_arrays, npy, rasters
from jaxvae.types import InputError

IMAGES = (np.arange(12 * 64) % 256).reshape(12, 8, 8).astype(np.uint8)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n"


def refused(*words, call):
    """Check that a call raises one line with these words, and warns of nothing beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError) as caught:
            call()
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words), str(caught.value)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height):
    """Return a few bytes that claim to be a picture of any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def test_no_picture_starts_a_program(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.EpsImagePlugin.EpsImageFile, "_open", lambda self: pytest.fail("was opened"))
    PIL.Image.init()  # as another library may have: every format is known
    for name in ("a.png", "a.jpg", "a.tif"):
        (tmp_path / name[2:]).mkdir()
        (tmp_path / name[2:] / name).write_bytes(EPS)
        refused(
            name,
            "cannot be read",
            "delete or replace it",
            call=lambda n=name: data.load("folder", "train", tmp_path / n[2:]),
        )
    (tmp_path / "psd").mkdir()
    (tmp_path / "psd" / "a.png").write_bytes(b"8BPS\0\1" + b"\0" * 40)
    refused("a.png", "cannot be read", call=lambda: data.load("folder", "train", tmp_path / "psd"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "MPO"])
def test_pictures_are_known_by_what_they_are(kind, tmp_path):
    for number, image in enumerate(IMAGES[:2]):
        more = {"save_all": True, "append_images": [PIL.Image.fromarray(image)]} if kind == "MPO" else {}
        PIL.Image.fromarray(image).save(tmp_path / f"{number}.png", "MPO" if kind == "MPO" else kind, **more)
    assert len(data.load("folder", "train", tmp_path)) == 2


def test_pictures_of_very_many_pixels_are_refused_without_a_warning(tmp_path):
    for side in (8500, 10_000, 100_000):  # below what Pillow warns of, above it, and above what it refuses
        (tmp_path / "a.png").write_bytes(png(side, side))
        refused("a.png has", "more than the 67,108,864", call=lambda: data.load("folder", "train", tmp_path))
        with rasters.quiet(), pytest.raises(DataError, match="more than"):
            rasters.opened(io.BytesIO(png(side, side)), "x", "leave it out").__enter__()


def archive(path, shape, kind="|u1", name="images", content=b"\0" * 100):
    """Write an .npz whose one array claims a shape."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.npy", header.getvalue() + content)


@pytest.mark.parametrize("shape", [(10**6, 10**5, 10**3), (10**30,), (3, 8, 8), (-5, 8, 8)])
def test_a_shape_that_is_only_claimed_is_refused(shape, tmp_path):
    archive(tmp_path / "x.npz", shape)
    refused("x.npz cannot be read", "claims the shape", call=lambda: data.load("npz", "train", tmp_path / "x.npz"))


def test_damaged_members_and_objects_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", images=IMAGES)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[80] ^= 255
    content[100] ^= 255
    (tmp_path / "x.npz").write_bytes(content)
    refused("x.npz cannot be read", call=lambda: data.load("npz", "train", tmp_path / "x.npz"))
    np.savez(tmp_path / "x.npz", images=IMAGES, factor_names=np.array([{}], object))
    refused("allow_pickle=False", call=lambda: data.load("npz", "train", tmp_path / "x.npz"))


def test_more_than_the_machine_has_is_refused_before_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(npy.os, "sysconf", {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 512}.get)
    np.savez(tmp_path / "x.npz", images=IMAGES)
    refused("images takes", "and this machine has", call=lambda: data.load("npz", "train", tmp_path / "x.npz"))
    for number, image in enumerate(IMAGES):
        PIL.Image.fromarray(image).save(tmp_path / f"{number}.png")
    refused("12 images of 8x8 pixels takes", call=lambda: data.load("folder", "train", tmp_path))
    monkeypatch.delattr(npy.os, "sysconf")  # a system that does not say
    assert len(data.load("npz", "train", tmp_path / "x.npz")) == 12


def test_memory_that_runs_out_is_one_line(monkeypatch):
    known = data.DATASETS["sprites"]
    large = dataclasses.replace(known, load=lambda *_: np.empty(2**50))
    monkeypatch.setitem(data.DATASETS.data, "sprites", large)
    refused("sprites does not fit into memory", call=lambda: data.load("sprites"))


def test_an_idx_file_is_read_no_further_than_it_says(tmp_path):
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7])))
    for sides, words in (((2**31 - 1, 2**31 - 1, 28), "this machine has"), ((1, 28, 28), "announces an array")):
        bomb = gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">iii", *sides) + b"\0" * 2**20)
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb)
        refused(words, call=lambda: data.load("mnist", "train", tmp_path))


def test_devices_and_pipes_are_no_data(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in set(data.DATASETS) - {"sprites", "mini_sprites"}:
        for place in ("/dev/zero", tmp_path / "pipe"):
            refused("a device or a pipe", call=lambda n=name, p=place: data.load(n, data.DATASETS[n].splits[0], p))
    for number, where in enumerate((tmp_path / "pipe", pathlib.Path("/dev/zero"))):
        (tmp_path / str(number)).mkdir()
        for name in ("a.png", "a.npz"):
            (tmp_path / str(number) / name).symlink_to(where)
        for name in ("car_001_mesh.mat", "img_align_celeba.zip"):
            (tmp_path / str(number) / name).symlink_to(where)
        (tmp_path / str(number) / "list_eval_partition.txt").write_text("1.jpg 0\n")
        for name in ("folder", "npz", "cars3d"):
            refused("a pipe", call=lambda n=name, p=number: data.load(n, "train", tmp_path / str(p)))


@pytest.mark.parametrize("name", ["", "  ", "a" * 10_000, "a\nb", "\x1b[31m", "a\0b"])
def test_names_that_are_no_words_are_refused(name):
    call = lambda: from_arrays(IMAGES, labels=np.arange(12) % 3, factor_names=[name])  # noqa: E731
    refused("factor_names must be words of at most 200 signs", call=call)


@pytest.mark.parametrize("name", ["größe", "色", "<b>x</b>", "$\\frac$", "=1+1", "x position"])
def test_names_that_are_odd_words_are_kept(name):
    assert from_arrays(IMAGES, labels=np.arange(12) % 3, factor_names=[name]).factor_names == (name,)


def test_names_of_folders_are_printed_without_what_a_terminal_obeys(tmp_path):
    for name in ("a\x1b[31mb", "$x$"):
        (tmp_path / name).mkdir()
        PIL.Image.fromarray(IMAGES[0]).save(tmp_path / name / "1.png")
    assert str(data.load("folder", "train", tmp_path)).endswith("labels: label:2 ($x$ … a\\x1b[31mb))")


def test_labels_of_shapes3d_that_are_not_finite_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file["images"] = np.zeros((2, 64, 64, 3), np.uint8)
        file["labels"] = np.array([[0, 0, 0, 0, 0, 0], [np.nan, 0, 0, 0, 0, 0]])
    refused("labels that are no finite numbers", call=lambda: data.load("shapes3d", "train", tmp_path))


@pytest.mark.parametrize(
    "call",
    [
        lambda: data.load(None),
        lambda: data.load(["npz"]),
        lambda: data.load("npz", None),
        lambda: data.load("npz", data_dir=3),
        lambda: from_arrays(None),
        lambda: from_arrays([[1, 2], [3]]),
        lambda: from_arrays(IMAGES.astype(complex)),
        lambda: from_arrays(IMAGES, factors=[[1], [1, 2]]),
        lambda: from_arrays(IMAGES, labels=np.arange(12), factor_names=3),
        lambda: data.split_off(3, 0.5),
        lambda: data.split_off(from_arrays(IMAGES), 0.5, 2**70),
    ],
)
def test_what_is_no_argument_is_one_line(call):
    refused(call=call)
