"""A part of a data set set aside: which images, by which seed, and never a person on both sides."""

import numpy as np
import pytest

from jaxvae.data.grid import assemble
from jaxvae.data.splitting import in_any_order, split_off
from jaxvae.types import InputError
from tiny_data import grid, numbered, numbers


@pytest.fixture(scope="module")
def whole():
    factors = grid((5, 4, 3))
    return assemble("squares", numbered(60, height=16, width=16), factors, tuple("abc"), annotation="factors")


def people(identities):
    images = numbered(len(identities), height=16, width=16)
    return assemble("people", images, annotation="none", identities=np.asarray(identities))


def test_the_parts_share_no_image_and_are_the_whole(whole):
    kept, held_out = split_off(whole, 0.25, seed=3)
    assert (len(kept), len(held_out)) == (45, 15)
    left, right = (numbers(part.images(np.arange(len(part)))) for part in (kept, held_out))
    assert sorted([*left, *right]) == list(range(60))
    for part, images in ((kept, left), (held_out, right)):
        assert list(images) == sorted(images), "images stay in order"
        np.testing.assert_array_equal(part.factors, np.asarray(whole.factors)[images])
        assert whole.complete_grid and not part.complete_grid
        assert (part.factor_sizes, part.annotation, part.name) == ((5, 4, 3), "factors", "squares")
        with pytest.raises(ValueError, match="not a complete grid"):
            part.index(np.zeros((1, 3), np.int32))


def test_the_seed_says_which(whole):
    found = [numbers(split_off(whole, 0.5, seed)[1].images(np.arange(30))).tolist() for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    # Written down: sweeps that are opened again, elsewhere and later, must find the same images.
    assert in_any_order(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert in_any_order(8, 2**32 - 1).tolist() == [1, 0, 7, 2, 5, 6, 3, 4]


def test_no_person_is_in_both_parts():
    identities = np.random.default_rng(0).integers(0, 12, 200) * 3
    kept, held_out = split_off(people(identities), 0.3, seed=1)
    assert not set(np.asarray(kept.identities).tolist()) & set(np.asarray(held_out.identities).tolist())
    assert abs(len(held_out) / 200 - 0.3) < 0.06
    np.testing.assert_array_equal(identities[numbers(held_out.images(np.arange(len(held_out))))], held_out.identities)


@pytest.mark.parametrize("share", [1, 1.0, -0.1, 0, float("nan"), "0.1", True])
def test_a_share_is_a_share(whole, share):
    with pytest.raises(InputError, match=r"--validation must be a share .* in 0 … 1, 1 excluded, got"):
        split_off(whole, share)


def test_too_few_on_either_side_are_refused(whole):
    for share, words in ((0.02, "holds out 1 and leaves 59"), (0.97, "holds out 58 and leaves 2")):
        with pytest.raises(InputError, match=words):
            split_off(whole, share)
    with pytest.raises(InputError, match="whole persons of 1, holds out 0"):
        split_off(people(np.zeros(20, int)), 0.3)
