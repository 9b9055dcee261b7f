"""Conditions on factors in words, and the combinations that they hold out."""

import dataclasses

import numpy as np
import pytest

import jaxvae
from jaxvae.data import from_arrays
from jaxvae.data.conditions import parse
from jaxvae.data.rules import held_out, listed, without
from jaxvae.navigate.attributes import attributes_of
from jaxvae.types import InputError

SIZES = (3, 4, 5)
FACTORS = np.stack(np.unravel_index(np.arange(60), SIZES), axis=1)
SHAPE, ANGLE, X = FACTORS.T
CALLED = (("square", "ellipse", "heart"), (0, 45, 90, 135), ())
IMAGES = np.arange(60 * 16, dtype=np.uint16).astype(np.uint8).reshape(60, 4, 4)


@pytest.fixture(scope="module")
def data():
    made = from_arrays(IMAGES, factors=FACTORS, factor_names=("shape", "angle", "x"))
    return dataclasses.replace(made, factor_values=CALLED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shape=heart", SHAPE == 2),
        ("shape = 2", SHAPE == 2),
        ("shape!=ellipse", SHAPE != 1),
        ("shape<=ellipse", SHAPE <= 1),
        ("shape>0", SHAPE > 0),
        ("angle=45", ANGLE == 1),
        ("angle>45", ANGLE > 1),
        ("angle>=46", ANGLE > 1),
        ("angle<90", ANGLE < 2),
        ("x<3", X < 3),
        ("x>=2.5", X > 2),
        ("x!=0", X != 0),
        ("x=7", X == 7),
    ],
)
def test_a_condition_is_true_of_what_it_says(data, text, expected):
    np.testing.assert_array_equal(parse(text, data).holds(data), expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shap=heart", r"--hold_out: factor of arrays 'shap'; did you mean 'shape'\? Known: shape, angle, x"),
        ("shape=hart", r"--hold_out: value of shape 'hart'; did you mean 'heart'\? Known: square, ellipse, heart"),
        ("shape=3", "value of shape '3'"),
        ("angle=steep", "values of angle are numbers, 0 to 135, not 'steep'"),
        ("shape", r"'shape' is no condition: expected NAME=VALUE, or != < <= > >=, as shape=square"),
        ("shape=", "'shape=' is no condition"),
        ("shape=heart,,x=1", "'' is no condition"),
        ("x>4", r"'x>4' matches no image of the 60 of arrays"),
        ("shape=heart,shape=square", "matches no image"),
        ("x>=0", "'x>=0' matches every image of arrays: nothing is left to train on"),
    ],
)
def test_what_cannot_be_held_out_is_refused(data, text, words):
    with pytest.raises(InputError, match=words) as caught:
        held_out(data, (text,))
    assert "\n" not in str(caught.value)


def test_rules_add_up_and_conditions_narrow(data):
    rules = listed(["shape=heart,x>2; angle=45 ", "x=0,"[:-1], " "])
    assert rules == ("shape=heart,x>2", "angle=45", "x=0") and listed("a=1;b=2") == ("a=1", "b=2") and listed(()) == ()
    expected = ((SHAPE == 2) & (X > 2)) | (ANGLE == 1) | (X == 0)
    np.testing.assert_array_equal(held_out(data, rules), expected)
    with pytest.raises(InputError, match="matches every image"):
        held_out(data, ("x>2", "x<3"))


def test_the_rest_is_numbered_as_before(data):
    kept = without(data, ("shape=heart",))
    assert len(kept) == 40 and not kept.complete_grid and kept.factor_sizes == SIZES and kept.factor_values == CALLED
    np.testing.assert_array_equal(kept.factors, FACTORS[SHAPE != 2])
    np.testing.assert_array_equal(kept.images(np.arange(40)), data.images(np.flatnonzero(SHAPE != 2)))
    assert without(data, ()) is data
    who = dataclasses.replace(data, identities=np.arange(60) // 2)
    np.testing.assert_array_equal(without(who, ("x!=0",)).identities, np.arange(60)[X == 0] // 2)
    with pytest.raises(InputError, match="arrays has neither factors nor labels"):
        without(from_arrays(IMAGES), ("x=1",))


def test_attributes_are_conditions_too(data):
    found = attributes_of(data, ["shape=heart", "angle>0", "shape=1", "x>3"])
    np.testing.assert_array_equal(found.values, np.stack([SHAPE == 2, ANGLE > 0, SHAPE == 1, X > 3], axis=1))
    for wanted in ("x>9", "angle=30", "x<2", "shape=hart"):
        with pytest.raises(InputError, match="unknown attribute"):
            attributes_of(data, [wanted])


def test_rules_are_checked_at_the_door(data):
    with pytest.raises(InputError, match="did you mean 'shape'"):
        jaxvae.train(data, hold_out="shapes=heart", architecture="mlp", batch_size=8, steps=1)
    with pytest.raises(InputError, match="--batch_size=30 is more than the 20 images"):
        jaxvae.train(data, hold_out=["shape=heart; shape=square"], architecture="mlp", batch_size=30, steps=1)
    with pytest.raises(InputError, match="sweep fraction instead"):
        jaxvae.train(data, hold_out="shape=1", sweep={"sparsity": [2]}, architecture="mlp", batch_size=8, steps=1)
