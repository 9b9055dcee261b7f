"""What a sweep may become: more steps, values, objectives; what it may not, by name. Knows no folder."""

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxvae.asked import axes
from jaxvae.asked.axes import Axis
from jaxvae.asked.declared import sizes_of
from jaxvae.asked.spec import Spec, ask_for_plugins, from_json, grid, sides
from jaxvae.objectives import objective as objective_called
from jaxvae.types import InputError, Program

GROWING = ("steps", "objectives", "architectures", "sweep")
"""Fields of a spec that an extension changes; all others say what lanes are."""

_SHOWN = 5


def more(saved: Spec, given: Mapping[str, Any]) -> Spec:
    """Return a saved sweep with some fields changed; of axes and sizes, those that are given, and others stay.

    An axis that is there for every objective, and means nothing or something else to one that is added, becomes one of
    those that it was for.

    Raises:
        InputError: an axis does not say which objective it is for, or a name is unknown.
    """
    chosen = dataclasses.replace(saved, **{"extends": ()} | dict(given))
    try:
        declared = sizes_of(chosen.objectives, chosen.architectures)
    except InputError as error:
        raise InputError(f"{error} {ask_for_plugins(saved.plugins)}".rstrip()) from None
    sizes = {name: value for name, value in saved.sizes.items() if name in declared} | dict(given.get("sizes", {}))
    new = given.get("sweep", ())
    axes.check_meant(new, chosen.objectives)
    anew = {axis.name for axis in new if axis.objective is None}
    kept = [own for axis in saved.sweep for own in _meant(axis, saved.objectives, chosen.objectives)]
    asked = {axis.called: axis for axis in (*(axis for axis in kept if axis.name not in anew), *new)}
    return dataclasses.replace(chosen, sweep=tuple(asked.values()), sizes=sizes)


def _meant(axis: Axis, before: Iterable[str], now: Sequence[str]) -> list[Axis]:
    """Return an axis of some objectives as it is to be said of others; nothing of one whose objectives are gone."""
    owners = [name for name in before if axis.name in {number.name for number in objective_called(name).numbers}]
    owners = [axis.objective] if axis.objective else owners
    if owners and not set(owners) & set(now):
        return []
    try:
        axes.check_meant((axis,), now)
    except InputError:
        return [axis._replace(objective=name) for name in owners if name in now]
    return [axis]


def extended(saved: Mapping[str, Any], asked: Spec) -> Spec:
    """Return the asked sweep as one that goes on from a saved one (JSON types), whose lanes keep their numbers.

    One of the same lanes is said as the saved one is, since the order of axes is that of new lanes.
    """
    before = from_json(dict(saved))
    if _of_same_lanes(before, asked):
        return dataclasses.replace(asked, **before.generation._asdict(), extends=before.extends)
    return dataclasses.replace(asked, extends=(*before.extends, before.generation))


def _of_same_lanes(before: Spec, asked: Spec) -> bool:
    """Return whether two sweeps have the same lanes, in any order."""
    if before.generation == asked.generation:
        return True
    pairs = ((before.objectives, asked.objectives), (before.architectures, asked.architectures))
    if any(set(there) != set(given) for there, given in pairs):
        return False
    both_ways = ((before, asked), (asked, before))
    return not any(_values_left_out(name, *pair) for name in asked.objectives for pair in both_ways)


def grows(saved: Mapping[str, Any], asked: Spec) -> bool:
    """Return whether a sweep has more to train than a saved one (JSON types)."""
    before = from_json(dict(saved))
    return asked.steps != before.steps or not _of_same_lanes(before, asked)


def refusals(saved: Mapping[str, Any], asked: Spec) -> list[str]:
    """Return one line for each way in which lanes of a saved spec (JSON types) would change or go; [] for none.

    Raises:
        InputError: an objective of both is unknown.
    """
    before = from_json(dict(saved))
    there, given = sides(dict(saved), asked)
    fixed = [name for name in there if name not in GROWING and name in given and there[name] != given[name]]
    lines = [f"{name}: {there[name]!r} there, {given[name]!r} now" for name in fixed]
    if asked.steps < before.steps:
        lines.append(f"steps: {before.steps:,} there, {asked.steps:,} now, which are fewer")
    for kind, old, new in (
        ("objective", before.objectives, asked.objectives),
        ("architecture", before.architectures, asked.architectures),
    ):
        lines += [f"{kind} {name} is left out" for name in old if name not in new]
    both = [name for name in before.objectives if name in asked.objectives]
    found = dict.fromkeys(pair for name in both for pair in _values_left_out(name, before, asked))
    return lines + [line for name, line in found if name not in fixed]


def _values_left_out(objective: str, before: Spec, asked: Spec) -> list[tuple[str, str]]:
    """Return (name, line) of each number of an objective's lanes that no lane is asked to have.

    That is all that can go: a grid lacks a lane only where it lacks a value of it.
    """
    program = Program(before.architectures[0], objective, (1, 1, 1), asked.likelihood)
    there, given = grid(program, before), grid(program, asked)
    lines = []
    for name, values in there.items():
        gone = np.setdiff1d(values, given[name]).tolist()
        if gone:
            own = f"{objective}:" if len(asked.objectives) > 1 and name not in ("seed", "lr") else ""
            asked_for = f"{own}{name}={_listed(np.unique(given[name]).tolist())}"
            lines.append((name, f"{own}{name}={_listed(gone)} is left out of {asked_for}"))
    return lines


def _listed(values: Iterable[float]) -> str:
    shown = [str(value) if isinstance(value, int) else str(np.float32(value)).removesuffix(".0") for value in values]
    return ",".join(shown[:_SHOWN]) + ",…" * (len(shown) > _SHOWN)


def is_extension(saved: Mapping[str, Any], asked: Spec) -> bool:
    """Return whether a sweep keeps all lanes of a saved one as they are."""
    with contextlib.suppress(InputError):
        return not refusals(saved, asked)
    return False
