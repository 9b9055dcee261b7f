"""What can be asked of an image, and parts that share nobody."""

import numpy as np
import pytest

from jaxvae.data import from_arrays
from jaxvae.navigate.attributes import Attributes, attributes_of
from jaxvae.navigate.parts import FEWEST, check_enough, cut
from jaxvae.types import InputError

IMAGES = np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4)
ROWS = np.arange(12)


def labelled(**columns):
    return from_arrays(IMAGES, labels=np.stack(list(columns.values()), 1), factor_names=list(columns))


def factored(**columns):
    return from_arrays(IMAGES, factors=np.stack(list(columns.values()), 1), factor_names=list(columns))


def test_a_label_of_two_values_is_one_attribute_and_a_class_one_for_each():
    found = attributes_of(labelled(smiling=ROWS % 2, digit=ROWS % 3))
    assert found.names == ("smiling", "digit=0", "digit=1", "digit=2")
    assert found.values.dtype == bool and found.values.shape == (12, 4)
    np.testing.assert_array_equal(found.values[:, 0], ROWS % 2 == 1)
    for value in range(3):
        np.testing.assert_array_equal(found.values[:, 1 + value], value == ROWS % 3)


def test_an_ordered_factor_is_cut_in_the_middle_and_a_single_value_is_there_for_the_asking():
    data = factored(turn=ROWS % 4, shape=ROWS % 3, light=ROWS % 2)
    assert attributes_of(data).names == ("turn>1", "shape>1", "light")
    found = attributes_of(data, ["shape=1", "turn>1"])
    assert found.names == ("shape=1", "turn>1")
    np.testing.assert_array_equal(found.values, np.stack([ROWS % 3 == 1, ROWS % 4 > 1], 1))


def test_values_are_called_what_the_data_calls_them():
    assert attributes_of(factored(azimuth=ROWS % 4 * 45)).names == ("azimuth>45",)
    assert attributes_of(labelled(digit=np.array([3, 5, 9])[ROWS % 3])).names == ("digit=3", "digit=5", "digit=9")


def test_rows_keep_their_order():
    found = attributes_of(labelled(smiling=ROWS % 2, odd=ROWS % 3 == 0)).rows(np.array([3, 0, 5]))
    np.testing.assert_array_equal(found.values, [[True, True], [False, True], [True, False]])


def test_asked_for_twice_is_once():
    assert attributes_of(labelled(smiling=ROWS % 2), ["smiling", "smiling"]).names == ("smiling",)


def test_what_is_no_attribute_is_refused():
    data = labelled(Smiling=ROWS % 2, Hat=ROWS < 0, digit=ROWS % 3)
    assert attributes_of(data).names == ("Smiling", "digit=0", "digit=1", "digit=2")  # without what nobody has
    for wanted, words in (
        (["Smilin"], "unknown attribute 'Smilin'; did you mean 'Smiling'"),
        (["digit"], "unknown attribute 'digit'"),
        (["Smiling", "digit=7"], "unknown attribute 'digit=7'"),
    ):
        with pytest.raises(InputError, match=words):
            attributes_of(data, wanted)
    with pytest.raises(InputError, match="has no labels"):
        attributes_of(from_arrays(IMAGES))
    few = labelled(digit=ROWS % 3)
    rows = from_arrays(IMAGES[:3], labels=np.array([0, 0, 2]), factor_names=["digit"])
    assert attributes_of(few).names == ("digit=0", "digit=1", "digit=2") and len(rows) == 3
    same = from_arrays(IMAGES, labels=np.zeros(12, int), factor_names=["hat"])
    with pytest.raises(InputError, match="no attribute of arrays varies"):
        attributes_of(same)


def test_an_attribute_that_is_asked_for_and_does_not_vary_is_refused():
    data = from_arrays(IMAGES, labels=np.stack([ROWS % 2, np.append(np.ones(11, int), 0)], 1), factor_names=["a", "b"])
    some = from_arrays(IMAGES[:2], labels=np.array([[0, 1], [1, 1]]), factor_names=["a", "b"])
    assert attributes_of(data, ["b"]).names == ("b",)
    with pytest.raises(InputError, match="attribute 'b' is the same in all 2 images: leave it out"):
        attributes_of(some, ["a", "b"])


def test_parts_share_nobody_and_hold_their_shares():
    who = np.random.default_rng(0).integers(0, 150, 1000)
    parts = cut(1000, (0.6, 0.25, 0.15), who, seed=3)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1000))
    people = [set(who[part]) for part in parts]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    np.testing.assert_allclose([len(part) / 1000 for part in parts], (0.6, 0.25, 0.15), atol=0.02)
    assert all((np.diff(part) > 0).all() for part in parts)


def test_a_cut_is_decided_by_its_seed():
    one, same, other = (cut(200, (0.5, 0.5), None, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one[0], same[0])
    assert not np.array_equal(one[0], other[0])
    assert [len(part) for part in one] == [100, 100]
    assert [len(part) for part in cut(200, (0.0, 1.0, 0.0))] == [0, 200, 0]


def test_numbers_of_people_may_have_gaps():
    parts = cut(9, (0.5, 0.5), np.array([7, 7, 7, 900, 900, 900, 12, 12, 12]))
    assert sorted(map(len, parts)) == [3, 6]


def test_a_part_needs_some_of_either_kind():
    values = np.zeros((30, 2), bool)
    values[:FEWEST] = True
    check_enough(Attributes(("a", "b"), values), "that are held out")
    values[0, 1] = False
    with pytest.raises(InputError, match=r"30 images that are held out .* b \(4 with it\)"):
        check_enough(Attributes(("a", "b"), values), "that are held out")
    with pytest.raises(InputError, match=r"a \(25 with it\)|b \(26 with it\)"):
        check_enough(Attributes(("a", "b"), ~values), "that are held out")
