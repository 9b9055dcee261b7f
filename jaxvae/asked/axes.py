"""The axes of a grid: numbers by name and the values that lanes take. Knows no program and no default."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxvae import objectives
from jaxvae.types import InputError

MOST_LANES = 200_000
"""Lanes of a sweep: with more, what says of each where it stands takes longer to write than a step to train."""

_MEANT = "expected NAME=VALUES, such as beta=1,2,4 or seed=0:5 or factor_vae:gamma=10,40"


class Axis(NamedTuple):
    """One swept number: its name, its values, and the objective it is for (None: every one that has it)."""

    name: str
    values: tuple[float, ...]
    objective: str | None = None

    def __str__(self) -> str:
        return f"{self.called}={','.join(str(int(v)) if v.is_integer() else repr(v) for v in self.values)}"

    @property
    def brief(self) -> str:
        """Return the axis as an error says it, which of many values names the first and the last."""
        return _short(str(self))

    @property
    def called(self) -> str:
        """Return the name as it is swept: with its objective where it is for one alone."""
        return f"{self.objective}:{self.name}" if self.objective else self.name


def parse_axis(text: str) -> Axis:
    """Read "beta=1,2,4", "seed=0:5" (0 to 4), "seed=0:10:2" or "factor_vae:gamma=10,40".

    Raises:
        InputError: the text is none of these, or as `make_axis`.
    """
    name, equals, listed = text.partition("=")
    _, colon, own = name.strip().rpartition(":")
    if not equals or not own or (colon and name.strip().startswith(":")):
        raise InputError(f"--sweep={text}: {_MEANT}")
    values: list[float] = []
    for item in listed.split(",") if listed.strip() else ():
        try:
            if not item.isascii():
                raise ValueError
            found = range(*(int(part) for part in item.split(":"))) if ":" in item else (float(item),)
        except (ValueError, TypeError):
            raise InputError(f"--sweep={text}: {item.strip()!r} is neither a number nor a range START:STOP") from None
        _check_count(text, len(values) + _count(found))
        values += found
    return make_axis(name, values)


def make_axis(name: str, values: Iterable[float]) -> Axis:
    """Return the axis of a number, "beta" or "factor_vae:gamma", over some values.

    Raises:
        InputError: there are none, or more than MOST_LANES; one is not a finite number, or none that float32 has; or
            one is repeated.
    """
    if not isinstance(name, str):
        raise InputError(f"--sweep={name!r}: {_MEANT}")
    scope, _, own = name.strip().rpartition(":")
    try:
        if isinstance(values, range):
            _check_count(f"{name}={values.start}:{values.stop}", _count(values))
        values = [values] if isinstance(values, (int, float)) else list(itertools.islice(values, MOST_LANES + 1))
        values = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"--sweep={name}: values must be finite numbers, got {_short(repr(values))}") from None
    text = f"{name}={_short(','.join(f'{value:.12g}' for value in values))}"
    _check_count(text, len(values))
    if not values:
        raise InputError(f"--sweep={text}: the grid is empty; give at least one value")
    if not all(math.isfinite(v) for v in values):
        raise InputError(f"--sweep={text}: values must be finite numbers")
    if len(set(values)) < len(values):
        raise InputError(f"--sweep={text}: a value is given twice, which would train the same lane twice")
    if own != "seed":  # which is no float32
        check_float32(f"--sweep={text}", values)
    return Axis(own, tuple(values), scope or None)


def check_float32(where: str, values: Sequence[float]) -> None:
    """Refuse finite numbers that are not what they are written as once they are float32, as all arithmetic here is.

    Raises:
        InputError: one becomes infinite or 0, or two become one.
    """
    with np.errstate(over="ignore", under="ignore"):
        single = np.asarray(values, np.float64).astype(np.float32)
    limits = np.finfo(np.float32)
    for value, known in zip(values, single.tolist(), strict=True):
        if math.isinf(known):
            raise InputError(f"{where}: {value:g} is more than float32 knows, which ends at {limits.max:.3g}")
        if value and abs(known) < limits.tiny:
            raise InputError(f"{where}: {value:g} is 0 in float32, which begins at {limits.tiny:.3g}; say 0 or more")
    if len(np.unique(single)) < len(single):
        order = np.argsort(single, kind="stable")
        first = next(i for i, j in itertools.pairwise(order) if single[i] == single[j])
        alike = [value for value, known in zip(values, single, strict=True) if known == single[first]]
        raise InputError(
            f"{where}: {alike[0]!r} and {alike[1]!r} are one number in float32, which would train the same lane twice"
        )


def check_meant(sweep: Iterable[Axis], chosen: Sequence[str]) -> None:
    """Refuse an axis for all of several objectives that is another number, or none, in one of them.

    Numbers that every run has, such as lr and seed, mean one thing; so does the beta of several objectives where it
    weighs the KL in each. A name that no objective has is left to others to refuse.

    Raises:
        InputError: an objective is unknown, or an axis must say which one it is for.
    """
    declared = {name: {n.name: n.meaning for n in objectives.objective(name).numbers} for name in chosen}
    for axis in sweep:
        meanings = {name: own[axis.name] for name, own in declared.items() if axis.name in own}
        if axis.objective is not None or not meanings:
            continue
        lacking = [name for name in chosen if name not in meanings]
        if not lacking and len(set(meanings.values())) == 1:
            continue
        values = _short(str(axis).partition("=")[2])
        scoped = " ".join(f"--sweep={name}:{axis.name}={values}" for name in meanings)
        said = "; ".join(
            f"{meaning} of {', '.join(n for n, m in meanings.items() if m == meaning)}"
            for meaning in dict.fromkeys(meanings.values())
        )
        missing = f", and nothing to {', '.join(lacking)}" if lacking else ""
        raise InputError(f"--sweep={axis.name}={values} is the {said}{missing}; say for which it is: {scoped}")


def _check_count(text: str, count: float) -> None:
    if count > MOST_LANES:
        number = f"{count:,} values" if math.isfinite(count) else "more values than can be counted"
        raise InputError(f"--sweep={_short(text)}: {number}, and a sweep takes {MOST_LANES:,} lanes at most")


def _count(values: Sequence[float]) -> float:
    try:
        return len(values)
    except OverflowError:  # of a range
        return math.inf


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:60]} … {text[-20:]}"
