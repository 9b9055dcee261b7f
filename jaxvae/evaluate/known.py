"""What is known of a data set's images, as metrics take it. Knows no model."""

import jax.numpy as jnp
import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.types import Factors


def factors_of(data: Dataset) -> Factors:
    """Return the factors of a data set: class numbers, and where it gave other numbers, those too, scaled.

    A score that reads factors as numbers depends on neither their offset nor their unit; float32 depends on both.
    """
    given = [data.values_of(column) for column in range(len(data.factor_sizes))]
    plain = [values == tuple(range(len(values))) or isinstance(values[0], str) for values in given]
    if all(plain):
        return Factors(data.factors, data.factor_sizes)
    columns = []
    for column, values in enumerate(given):
        numbers = np.arange(len(values)) if plain[column] else np.asarray(values, np.float64) - values[0]
        columns.append(jnp.asarray(numbers / max(np.abs(numbers).max(), 1.0), jnp.float32)[data.factors[:, column]])
    return Factors(data.factors, data.factor_sizes, numbers=jnp.stack(columns, axis=1))
