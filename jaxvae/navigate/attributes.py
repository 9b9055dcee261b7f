"""What can be asked of an image with yes or no, from the labels of a data set."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.types import InputError, look_up


class Attributes(NamedTuple):
    """A attributes of N images."""

    names: tuple[str, ...]
    values: np.ndarray  # bool[N, A]

    def rows(self, indices: np.ndarray) -> "Attributes":
        """Return the attributes of some images, in their order."""
        return Attributes(self.names, self.values[indices])


def attributes_of(data: Dataset, wanted: Sequence[str] | None = None) -> Attributes:
    """Return the binary attributes of a data set.

    A label or factor of two values is one attribute, which images of its second value have. A label of more values,
    such as a class, gives one for each, "digit=3". A factor of more values, which is ordered, gives one that the upper
    half of its values have, "scale>1", named by the value below it; where that says little, as of a shape, single
    values can be asked for by name, "shape=2". Values are what the data calls them, else counted from 0.

    Args:
        data: with labels or factors.
        wanted: names of attributes, in the order wanted; None for all but the single values of factors.

    Raises:
        InputError: the data has no labels, a name is unknown, or an attribute that was asked for does not vary. Without
            `wanted`, those that do not vary are left out.
    """
    if not data.factor_names:
        raise InputError(f"{data.name} has no labels, so it has no attributes to navigate by; choose data that has")
    factors, every = np.asarray(data.factors), questions(data)

    def answer(question: Question) -> np.ndarray:
        values = factors[:, question.column]
        return values == question.value if question.is_class else values > question.value

    if wanted is None:
        answers = {name: answer(question) for name, question in every.items() if question.by_default}
        names = tuple(name for name, values in answers.items() if values.any() and not values.all())
    else:
        names = tuple(dict.fromkeys(wanted))
        answers = {name: answer(look_up("attribute", name, every)) for name in names}
        for name, values in answers.items():
            if values.all() or not values.any():
                raise InputError(f"attribute {name!r} is the same in all {len(data)} images: leave it out")
    if not names:
        raise InputError(f"no attribute of {data.name} varies, so there is nothing to navigate by")
    return Attributes(names, np.stack([answers[name] for name in names], axis=1))


class Question(NamedTuple):
    """What an attribute asks of a factor: whether it has a value, or one above it."""

    column: int
    value: int  # of the class
    is_class: bool  # whether it is asked for this value alone
    by_default: bool  # whether it is asked where nobody says which


def questions(data: Dataset) -> dict[str, Question]:
    """Return every attribute that `attributes_of` knows of a data set, whether or not it varies."""
    every = {}
    for column, (name, size) in enumerate(zip(data.factor_names, data.factor_sizes, strict=True)):
        called, ordered = data.values_of(column), data.annotation == "factors"
        if size <= 2:
            every[name] = Question(column, 0, False, True)
        else:
            middle = (size - 1) // 2
            if ordered:
                every[f"{name}>{called[middle]}"] = Question(column, middle, False, True)
            every |= {f"{name}={called[value]}": Question(column, value, True, not ordered) for value in range(size)}
    return every
