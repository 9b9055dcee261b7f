"""What can be asked of an image with yes or no, from the labels of a data set."""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxvae.data.conditions import Condition, parse
from jaxvae.data.grid import Dataset
from jaxvae.types import InputError, in_32_bits, look_up


class Attributes(NamedTuple):
    """A attributes of N images."""

    names: tuple[str, ...]
    values: np.ndarray  # bool[N, A]

    def rows(self, indices: np.ndarray) -> "Attributes":
        """Return the attributes of some images, in their order."""
        return Attributes(self.names, self.values[indices])


@in_32_bits
def attributes_of(data: Dataset, wanted: Sequence[str] | None = None) -> Attributes:
    """Return the binary attributes of a data set.

    A label or factor of two values is one attribute, which images of its second value have. One of more values that
    have no order, such as a class or a shape, gives one for each, "digit=3", "shape=heart". A factor of more values
    that have one gives one that the upper half of them have, "scale>1", named by the value below it; single values, or
    other places to cut at, can be asked for: "scale=2", "scale>0". Values are what the data calls them, else counted
    from 0.

    Args:
        data: with labels or factors.
        wanted: names of attributes, in the order wanted; None for all but the single values of factors.

    Raises:
        InputError: the data has no labels, a name is unknown, or an attribute that was asked for does not vary. Without
            `wanted`, those that do not vary are left out.
    """
    if not data.factor_names:
        raise InputError(f"{data.name} has no labels, so it has no attributes to navigate by; choose data that has")
    if wanted is None:
        answers = {name: asked.answers(data) for name, asked in questions(data).items() if asked.by_default}
        names = tuple(name for name, values in answers.items() if values.any() and not values.all())
    else:
        names = tuple(dict.fromkeys(wanted))
        answers = {name: question(data, name).answers(data) for name in names}
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

    def answers(self, data: Dataset) -> np.ndarray:
        """Return bool[N], what it is answered of each image."""
        classes = range(data.factor_sizes[self.column])
        true_of = tuple(one == self.value if self.is_class else one > self.value for one in classes)
        return Condition(self.column, "=" if self.is_class else ">", true_of).holds(data)


def question(data: Dataset, name: str) -> Question:
    """Return what an attribute asks: one of `questions`, or a condition with = or > (see data.conditions).

    Raises:
        InputError: it is neither, or is true of every value or of none.
    """
    every = questions(data)
    if name not in every:
        with contextlib.suppress(InputError):
            condition = parse(name, data)
            places = np.flatnonzero(condition.true_of)
            if condition.relation == "=" and len(places) == 1:
                return Question(condition.column, int(places[0]), True, False)
            if condition.relation == ">" and 0 < len(places) < len(condition.true_of):
                return Question(condition.column, int(places[0]) - 1, False, False)
    return look_up("attribute", name, every)


def questions(data: Dataset) -> dict[str, Question]:
    """Return the attributes of a data set that have a name, whether or not they vary."""
    every = {}
    for column, (name, size) in enumerate(zip(data.factor_names, data.factor_sizes, strict=True)):
        called, ordered = data.values_of(column), data.annotation == "factors" and name not in data.unordered
        if size <= 2:
            every[name] = Question(column, 0, False, True)
        else:
            middle = (size - 1) // 2
            if ordered:
                every[f"{name}>{called[middle]}"] = Question(column, middle, False, True)
            every |= {f"{name}={called[value]}": Question(column, value, True, not ordered) for value in range(size)}
    return every
