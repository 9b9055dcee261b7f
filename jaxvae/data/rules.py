"""Combinations of factors that are held out of a training set, said in words. Knows no sweep."""

from collections.abc import Iterable

import numpy as np

from jaxvae.data.conditions import parse
from jaxvae.data.grid import Dataset
from jaxvae.data.splitting import rows_of
from jaxvae.types import InputError

WHERE = "--hold_out: "


def listed(rules: str | Iterable[str]) -> tuple[str, ...]:
    """Return rules one by one: several may be in one text, parted by semicolons."""
    rules = [rules] if isinstance(rules, str) else rules
    if not isinstance(rules, Iterable):
        raise InputError(f"{WHERE}expected rules such as 'shape=heart', got {rules!r}")
    return tuple(one.strip() for rule in rules for one in str(rule).split(";") if one.strip())


def held_out(data: Dataset, rules: Iterable[str]) -> np.ndarray:
    """Return bool[N], the images that match some rule.

    A rule is conditions parted by commas, "shape=2,x_position>7", and holds out the images that all of them are true of
    (see conditions.parse).

    Raises:
        InputError: the data has no factors, a rule cannot be read, one matches nothing, or all of them together match
            everything.
    """
    matched = np.zeros(len(data), bool)
    for rule in rules:
        if not data.factor_names:
            raise InputError(f"{WHERE}{data.name} has neither factors nor labels that {rule!r} could be said of")
        own = np.all([parse(text, data, WHERE).holds(data) for text in rule.split(",")], axis=0)
        if not own.any():
            raise InputError(f"{WHERE}{rule!r} matches no image of the {len(data):,} of {data.name}; mend or drop it")
        matched |= own
    if matched.all():
        raise InputError(f"{WHERE}{'; '.join(rules)!r} matches every image of {data.name}: nothing is left to train on")
    return matched


def without(data: Dataset, rules: Iterable[str]) -> Dataset:
    """Return the images of a data set that match no rule, in their order; all of them where there are no rules.

    They are numbered as before: a value of a factor that no image has any more keeps its number, and what is left of a
    grid is no complete one.

    Raises:
        InputError: as `held_out`.
    """
    matched = held_out(data, rules)
    return rows_of(data, np.flatnonzero(~matched)) if matched.any() else data
