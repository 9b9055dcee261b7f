"""SmallNORB from its official files: the same as through TFDS, and what is said of files that are not right."""

import gzip
import itertools
import os

import numpy as np
import PIL.Image
import pytest

import tiny_data
from jaxvae.data import DataError, DataNotFoundError, load
from jaxvae.data.smallnorb import KINDS, STEMS

DAT, CAT, INFO = (f"{STEMS[0]}-{kind}.mat" for kind in KINDS)


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """Neither the user's cache nor the user's TFDS directory has a say."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))


@pytest.fixture
def toys(tmp_path):
    return tiny_data.write_smallnorb(tmp_path / "raw")


def assert_same(data, other):
    for a, b in ((data.pixels, other.pixels), (data.factors, other.factors)):
        np.testing.assert_array_equal(a, b)
    assert (data.factor_names, data.factor_sizes) == (other.factor_names, other.factor_sizes)


def test_left_cameras_of_both_splits_are_resized_and_sorted(toys):
    expected = {}
    for instances in tiny_data.SMALLNORB_SPLITS.values():
        dat, cat, info = tiny_data.smallnorb_arrays(instances)
        for cameras, category, (instance, elevation, azimuth, lighting) in zip(dat, cat, info, strict=True):
            left = PIL.Image.fromarray(cameras[0]).resize((64, 64), PIL.Image.Resampling.LANCZOS)
            expected[category, elevation, azimuth // 2, lighting, instance] = np.asarray(left)
    data = load("smallnorb", data_dir=toys)
    rows = sorted(expected)
    assert len(data) == len(rows) == 4 * 5 * 2 * 3 * 2 and set(data.factors[:, 2].tolist()) == {0, 3, 17}
    np.testing.assert_array_equal(data.factors, np.array(rows)[:, :4])
    np.testing.assert_array_equal(data.images(np.arange(len(rows)))[..., 0], [expected[row] for row in rows])


def test_raw_files_and_tfds_give_the_same(toys, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    splits = {}
    for split, instances in zip(("train", "test"), tiny_data.SMALLNORB_SPLITS.values(), strict=True):
        splits[split] = []
        for (left, right), category, info in zip(*tiny_data.smallnorb_arrays(instances), strict=True):
            instance, elevation, azimuth, lighting = info.tolist()
            labels = {"category": category, "elevation": elevation, "azimuth": azimuth // 2, "lighting": lighting}
            record = {"image": tiny_data.encoded(left[..., None]), "image2": tiny_data.encoded(right[..., None])}
            record |= {f"label_{name}": int(value) for name, value in labels.items()} | {"instance": instance}
            splits[split].append(record)
    prepared = tiny_data.prepare("smallnorb", tmp_path / "tfds", splits)
    assert_same(load("smallnorb", data_dir=toys), load("smallnorb", data_dir=prepared))


@pytest.mark.parametrize("unpacked", [False, True])
def test_files_may_be_zipped_whatever_their_names_say(unpacked, toys, tmp_path):
    zipped = tiny_data.write_smallnorb(tmp_path / "data" / "smallnorb", zipped=True)
    if unpacked:
        for path in zipped.iterdir():
            path.write_bytes(gzip.decompress(path.read_bytes()))
    assert_same(load("smallnorb", data_dir=tmp_path / "data"), load("smallnorb", data_dir=toys))


def test_the_terms_are_said(toys, caplog):
    from jaxvae.data.lookup import say_once

    say_once.cache_clear()
    caplog.set_level("INFO", logger="jaxvae.data")
    for _ in range(2):
        load("smallnorb", data_dir=toys)
    assert sum("research only" in record.getMessage() for record in caplog.records) == 1


def assert_refused(data_dir, *words, kind=DataError):
    with pytest.raises(DataError) as caught:
        load("smallnorb", data_dir=data_dir)
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert "\n" not in message
    for word in (*words, "download smallnorb-5x46789", "https://"):
        assert str(word) in message, message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(("stem", "kind"), [*itertools.product(STEMS, KINDS)])
def test_one_of_the_six_is_not_there(stem, kind, toys):
    (toys / f"{stem}-{kind}.mat").unlink()
    assert_refused(toys, f"{stem}-{kind}.mat is not beside {toys}", kind=DataNotFoundError)


def cut(at):
    """Return harm that keeps so many bytes, counted from the end where negative."""
    return lambda path: path.write_bytes(path.read_bytes()[:at])


def with_rows(change):
    """Return harm to cat or info that changes the int32 [N, ...] inside."""

    def harm(path):
        rows = np.frombuffer(path.read_bytes()[20:], "<i4").copy()
        path.write_bytes(tiny_data.norb_bytes(change(rows.reshape(120, -1) if "info" in path.name else rows)))

    return harm


def put(column, value):
    def change(rows):
        rows[5, column] = value
        return rows

    return with_rows(change)


HARMED = {
    "empty": (DAT, cut(0), "begins with nothing instead of 554c3d1e"),
    "a web page": (DAT, lambda path: path.write_text("<html>"), "begins with 3c68746d instead of 554c3d1e"),
    "integers for bytes": (
        DAT,
        lambda path: path.write_bytes((path.parent / CAT).read_bytes()),
        "begins with 544c3d1e",
    ),
    "bytes for integers": (
        CAT,
        lambda path: path.write_bytes((path.parent / DAT).read_bytes()),
        "begins with 554c3d1e",
    ),
    "info for cat": (CAT, lambda path: path.write_bytes((path.parent / INFO).read_bytes()), "2 axes [120]", "['N']"),
    "cat for info": (INFO, lambda path: path.write_bytes((path.parent / CAT).read_bytes()), "1 axes [120, 1]"),
    "head cut short": (DAT, cut(6), "announces 4 axes [] instead"),
    "shape cut short": (DAT, cut(16), "announces 4 axes [120, 2] instead of ['N', 2, 96, 96]"),
    "images cut short": (DAT, cut(-1), "announces 120 rows and holds 119, it is cut short"),
    "half of the images": (DAT, cut(24 + 60 * 2 * 96 * 96), "announces 120 rows and holds 60"),
    "too long": (DAT, lambda path: path.write_bytes(path.read_bytes() + b"\0"), "more than the 120 rows"),
    "categories cut short": (CAT, cut(-4), "announces 120 rows and holds 119"),
    "fewer categories": (CAT, with_rows(lambda rows: rows[:-1]), f"and {{}}/{CAT} 119 rows"),
    "fewer rows of info": (INFO, with_rows(lambda rows: rows[:-1]), f"and {{}}/{INFO} 119 rows"),
    "three columns": (INFO, with_rows(lambda rows: np.ascontiguousarray(rows[:, :3])), "[120, 3] instead of ['N', 4]"),
    "no rows": (CAT, with_rows(lambda rows: rows[:0]), "announces 1 axes [0]"),
    "another category": (CAT, with_rows(lambda rows: rows + 1), "holds category 5, legal are 0 … 4"),
    "another elevation": (INFO, put(1, 9), "holds elevation 9, legal are 0 … 8"),
    "an odd azimuth": (INFO, put(2, 3), "holds azimuth 3, legal are 0 … 34"),
    "no such lighting": (INFO, put(3, -1), "holds lighting -1, legal are 0 … 5"),
    "no such instance": (INFO, put(0, 10), "holds instance 10, legal are 0 … 9"),
}


@pytest.mark.parametrize("case", HARMED)
def test_harmed_files(case, toys):
    name, harm, *words = HARMED[case]
    harm(toys / name)
    assert_refused(toys, toys / name, *(word.format(toys) for word in words))


def test_zipped_file_cut_short(tmp_path):
    toys = tiny_data.write_smallnorb(tmp_path / "raw", zipped=True)
    path = toys / f"{DAT}.gz"
    os.truncate(path, path.stat().st_size // 2)
    assert_refused(toys, path, "cannot be read (EOFError")
