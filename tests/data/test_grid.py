"""A Dataset from arrays: which factors have no order is said, checked, and kept wherever a Dataset goes."""

import dataclasses

import jax
import numpy as np
import pytest

import tiny_data
from jaxvae.data.grid import assemble, join

GRID = tiny_data.grid((2, 3))


def assembled(**options):
    return assemble("grid", tiny_data.numbered(6), GRID, ("a", "b"), annotation="factors", **options)


def test_by_default_every_factor_may_have_an_order():
    assert assembled().unordered == ()


def test_what_has_no_order_is_static_and_kept():
    data = assembled(unordered=["b"])
    assert data.unordered == ("b",)
    assert jax.jit(lambda data: data)(data).unordered == ("b",)
    assert join(data, data).unordered == dataclasses.replace(data, name="other").unordered == ("b",)


def test_what_differs_in_its_order_is_not_joined():
    with pytest.raises(ValueError, match="they differ in unordered"):
        join(assembled(), assembled(unordered=("a",)))


def test_a_factor_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="'c', which is none of the factors"):
        assembled(unordered=("a", "c"))


def test_a_grid_in_any_order_keeps_it():
    order = np.random.default_rng(0).permutation(6)
    data = assemble(
        "grid", tiny_data.numbered(6)[order], GRID[order], ("a", "b"), annotation="factors", unordered=("b",)
    )
    assert data.complete_grid and data.unordered == ("b",)
