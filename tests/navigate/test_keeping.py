"""Parts of a study on disk: what is done is not done again, and nothing of others is touched."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxvae.navigate import StudyError, load
from jaxvae.navigate.keeping import Keep, digest, of_data, save
from tiny_navigation import Halves, halves_data, quick_study

ASKED = {"models": {"a": "1"}, "seed": 0, "steps": (1.0, 2.0)}


def maker(calls, value=1.0):
    def make():
        calls.append(value)
        return {"x": np.full(3, value, np.float32), "y": np.arange(2)}

    return make


def test_a_part_is_made_once(tmp_path):
    calls = []
    for _ in range(2):
        found = Keep(tmp_path / "s", ASKED).arrays("codes", maker(calls))
        np.testing.assert_array_equal(found["x"], np.ones(3, np.float32))
        assert found["x"].dtype == np.float32 and found["y"].dtype == np.arange(2).dtype
    assert len(calls) == 1
    assert sorted(path.name for path in (tmp_path / "s").rglob("*") if path.is_file()) == ["codes.npz", "study.json"]


def test_without_a_folder_nothing_is_kept():
    calls = []
    for _ in range(2):
        Keep(None, ASKED).arrays("codes", maker(calls))
    assert len(calls) == 2


def test_another_study_is_refused_until_it_may_be_overwritten(tmp_path):
    calls = []
    Keep(tmp_path, ASKED).arrays("codes", maker(calls))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StudyError, match=r"another study \(seed differ\)"):
        Keep(tmp_path, ASKED | {"seed": 1})
    Keep(tmp_path, ASKED, overwrite=True).arrays("codes", maker(calls))
    assert len(calls) == 1  # the same study goes on
    keep = Keep(tmp_path, ASKED | {"seed": 1}, overwrite=True)
    assert keep.arrays("codes", maker(calls, 2.0))["x"][0] == 2.0
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert json.loads((tmp_path / "study.json").read_text())["seed"] == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "bits", "text"])
def test_a_damaged_part_is_made_again(damage, tmp_path):
    calls = []
    Keep(tmp_path, ASKED).arrays("codes", maker(calls))
    file = tmp_path / "parts" / "codes.npz"
    content = file.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 3] ^= 255
    file.write_bytes({"cut": content[:-30], "empty": b"", "bits": bytes(changed), "text": b"hello"}[damage])
    found = Keep(tmp_path, ASKED).arrays("codes", maker(calls))
    assert len(calls) == 2 and found["x"].tolist() == [1, 1, 1]
    Keep(tmp_path, ASKED).arrays("codes", maker(calls))
    assert len(calls) == 2


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("words")
    for overwrite in (False, True):
        with pytest.raises(StudyError, match="holds no study"):
            Keep(tmp_path, ASKED, overwrite=overwrite)
    for content in ("[1, 2]", "{"):
        other = tmp_path / f"other{len(content)}"
        other.mkdir()
        (other / "study.json").write_text(content)
        with pytest.raises(StudyError):
            Keep(other, ASKED)
    with pytest.raises(StudyError, match="cannot be written"):
        Keep(tmp_path / "thesis.txt" / "inside", ASKED)
    assert (tmp_path / "thesis.txt").read_text() == "words"


def test_checksums_tell_what_differs():
    data = halves_data(20)
    assert digest({"a": np.arange(3), "b": "x"}) == digest({"a": np.arange(3), "b": "x"})
    assert digest(np.arange(3)) != digest(np.arange(1, 4)) and digest("x") != digest("y")
    assert of_data(data) == of_data(halves_data(20)) != of_data(halves_data(20, seed=1))
    named = dataclasses.replace(data, identities=np.arange(20, dtype=np.int32))
    assert of_data(named) != of_data(data)


def leaves(results):
    fields = {field.name: getattr(results, field.name) for field in dataclasses.fields(results)}
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(fields)}


def test_a_navigation_is_read_as_it_was_written_bit_for_bit(tmp_path):
    made = quick_study({"a": Halves(), "b": Halves("mixed", 0.4)}, halves_data())
    save(made, tmp_path / "kept")
    back = load(tmp_path / "kept")
    assert (back.models, back.attributes) == (("a", "b"), ("left", "right"))
    assert back.spec == made.spec and back.environment == made.environment
    one, other = leaves(made), leaves(back)
    assert one.keys() == other.keys() and len(one) > 60
    for name, value in one.items():
        if isinstance(value, np.ndarray):
            assert other[name].dtype == value.dtype, name
            np.testing.assert_array_equal(other[name], value, err_msg=name)
    np.testing.assert_array_equal(back.comparable, made.comparable)
    (tmp_path / "kept" / "results.npz").write_bytes(b"PK")
    with pytest.raises(StudyError, match="is damaged"):
        load(tmp_path / "kept")
    with pytest.raises(StudyError, match="no finished study"):
        load(tmp_path)
