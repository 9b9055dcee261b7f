"""The cache of decoded data sets: it must never change what is loaded, nor stop anything from being loaded."""

import errno
import shutil

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")

import tiny_data
from jaxvae.data import DataError, cache, load


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return tiny_data.prepare("mnist", tmp_path_factory.mktemp("tfds"), {"train": tiny_data.digit_records(30)})


@pytest.fixture
def prepared(original, tmp_path, monkeypatch):
    """A copy of a prepared data set, to be broken, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(original, tmp_path / "tfds")
    return tmp_path / "tfds"


def arrays(data):
    return np.asarray(data.pixels), np.asarray(data.factors)


def break_source(prepared):
    for path in prepared.rglob("*.array_record*"):
        path.unlink()


def kept():
    return sorted(p.name for p in cache.directory().iterdir()) if cache.directory().exists() else []


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_second_load_comes_from_the_cache(prepared):
    first = arrays(load("mnist", data_dir=prepared))
    assert len(kept()) == 1 and kept()[0].startswith("mnist-train-") and kept()[0].endswith(".npz")
    break_source(prepared)
    assert_equal(arrays(load("mnist", data_dir=prepared)), first)


@pytest.mark.parametrize("harm", ["empty", "cut", "flipped", "other arrays", "pickled"])
def test_a_damaged_cache_is_made_again(prepared, harm):
    first = arrays(load("mnist", data_dir=prepared))
    path = cache.directory() / kept()[0]
    content = bytearray(path.read_bytes())
    if harm == "empty":
        path.write_bytes(b"")
    elif harm == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "flipped":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif harm == "other arrays":
        np.savez(path, images=first[0])
    else:
        np.savez(path, images=np.array([{}], dtype=object), labels=first[1])
    assert_equal(arrays(load("mnist", data_dir=prepared)), first)
    break_source(prepared)
    assert_equal(arrays(load("mnist", data_dir=prepared)), first)


def test_another_preparation_is_another_entry(prepared):
    load("mnist", data_dir=prepared)
    shutil.rmtree(prepared)
    tiny_data.prepare("mnist", prepared, {"train": tiny_data.digit_records(20)})
    assert len(load("mnist", data_dir=prepared)) == 20
    assert len(kept()) == 2


def test_a_directory_that_cannot_be_made_costs_nothing(prepared, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load("mnist", data_dir=prepared)) == 30


def test_a_full_disk_costs_nothing_and_leaves_nothing(prepared, monkeypatch):
    def fill(file, **arrays):
        file.write(b"x" * 1000)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fill)
    assert len(load("mnist", data_dir=prepared)) == 30
    assert kept() == []


def test_a_writer_that_is_stopped_leaves_nothing(prepared, monkeypatch):
    def stop(file, **arrays):
        file.write(b"x" * 1000)
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", stop)
    with pytest.raises(KeyboardInterrupt):
        load("mnist", data_dir=prepared)
    assert kept() == []


def test_the_directory_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.directory() == tmp_path / ".cache" / "jaxvae"


def test_a_cache_does_not_hide_that_the_data_set_is_gone(prepared):
    load("mnist", data_dir=prepared)
    shutil.rmtree(prepared / "mnist")
    with pytest.raises(DataError, match="no mnist in"):
        load("mnist", data_dir=prepared)
