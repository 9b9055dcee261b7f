"""Which rows have which value of a factor, and how many. Knows no code."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.types import Factors, RowGroups


def count_values(values: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Return i32[V], in how many rows each value of each factor occurs, the values of factor 0 first."""
    offsets = np.cumsum((0, *sizes[:-1]), dtype=np.int32)
    return jnp.zeros(sum(sizes), jnp.int32).at[values + offsets].add(1)


def group_rows(factors: Factors) -> Factors:
    """Return the factors with `groups` filled in; as they are where that has been done already."""
    if factors.groups is not None:
        return factors
    counts = count_values(factors.values, factors.sizes)
    groups = RowGroups(
        order=jnp.argsort(factors.values.T, axis=1, stable=True).reshape(-1).astype(jnp.int32),
        # Factors lie one after another in `order`, N rows each, so one running sum serves all of them.
        starts=jnp.cumsum(counts) - counts,
        counts=counts,
    )
    return dataclasses.replace(factors, groups=groups)


def group_rows_on_host(factors: Factors) -> Factors:
    """Do as `group_rows`, with NumPy: its radix sort takes a tenth of the time that XLA's sort takes on a CPU."""
    if factors.groups is not None:
        return factors
    columns = [
        column.astype(np.min_scalar_type(size))
        for column, size in zip(np.asarray(factors.values).T, factors.sizes, strict=True)
    ]
    counts = [np.bincount(column, minlength=size) for column, size in zip(columns, factors.sizes, strict=True)]
    counts = np.concatenate(counts or [np.zeros(0)]).astype(np.int32)
    order = [np.argsort(column, kind="stable").astype(np.int32) for column in columns]
    groups = RowGroups(
        order=np.concatenate(order or [np.zeros(0, np.int32)]),
        starts=(np.cumsum(counts) - counts).astype(np.int32),
        counts=counts,
    )
    return dataclasses.replace(factors, groups=groups)
