"""What is said of a factor in words, "shape=2" or "x_position>7", and which images that is true of. Knows no sweep."""

import operator
import re
from typing import NamedTuple

import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.types import InputError, look_up

RELATIONS = {
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}

_FORM = re.compile(rf"\s*(.+?)\s*({'|'.join(RELATIONS)})\s*(.*?)\s*")


class Condition(NamedTuple):
    """A relation of a factor to a value."""

    column: int
    relation: str  # of RELATIONS
    true_of: tuple[bool, ...]  # whether it holds for each class of the factor

    def holds(self, data: Dataset) -> np.ndarray:
        """Return bool[N], which images it is true of."""
        return np.array(self.true_of)[np.asarray(data.factors[:, self.column])]


def parse(text: str, data: Dataset, where: str = "") -> Condition:
    """Read NAME=VALUE, or !=, <, <=, >, >= in its place, as what it means for a data set.

    VALUE is what the data calls its values (see Dataset.factor_values): numbers are compared as such, and names, which
    have no order but that of their classes, by their class, whose number will do as well.

    Args:
        text: the condition.
        data: a data set with factors or labels.
        where: what to begin an error with.

    Raises:
        InputError: it is no condition, or the factor or the value is not known.
    """
    form = _FORM.fullmatch(text)
    if not form or not form[3]:
        example = f"{data.factor_names[0]}={data.values_of(0)[0]}"
        raise InputError(f"{where}{text.strip()!r} is no condition: expected NAME=VALUE, or != < <= > >=, as {example}")
    name, relation, value = form.groups()
    look_up(f"{where}factor of {data.name}", name, dict.fromkeys(data.factor_names))
    column = data.factor_names.index(name)
    called = data.values_of(column)
    if any(isinstance(one, str) for one in called):
        names = {str(one): number for number, one in enumerate(called)}
        numbers = {str(number): number for number in range(len(called))}
        threshold = (numbers | names)[value] if value in numbers else look_up(f"{where}value of {name}", value, names)
        called = tuple(range(len(called)))
    else:
        try:
            threshold = float(value)
        except ValueError:
            words = f"{where}values of {name} are numbers, {called[0]} to {called[-1]}, not {value!r}"
            raise InputError(words) from None
    return Condition(column, relation, tuple(bool(RELATIONS[relation](one, threshold)) for one in called))
