"""history.csv: what lanes logged and scored, step by step; never more than the checkpoints know. Knows no device."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from jaxvae.asked.spec import Group, Spec
from jaxvae.data.grid import Dataset
from jaxvae.parallel import hosts
from jaxvae.training import sweep
from jaxvae.types import STALLED, Watch
from jaxvae.workdir import logged, tables
from jaxvae.workdir.checkpoint import Checkpoints
from jaxvae.workdir.logged import Logged
from jaxvae.workdir.plan import Plan
from jaxvae.workdir.waves import Wave


class Listener(Protocol):
    """Hears in the first process what history.csv says, and never fails."""

    def begin(self, kept: Logged, saved: Mapping[int, int]) -> None:
        """Hear of the rows that are kept, and of {lane: step of its newest checkpoint}: training goes on from there."""

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Hear of new rows."""


class Nobody:
    """A listener to whom it is all the same."""

    def begin(self, kept: Logged, saved: Mapping[int, int]) -> None:
        """See Listener."""

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """See Listener."""


NOBODY = Nobody()


def open_table(groups: Sequence[Group], data: Dataset, path: pathlib.Path, watch: Watch | None) -> tables.Table:
    """Return history.csv of a workdir with a column for all that will be told, and for what is told there already.

    Raises:
        ValueError: a score is called like something that an objective logs.
    """
    names: list[str] = []
    for group in groups:
        hypers = {name: values[0] for name, values in group.hypers.items()}
        names += [n for n in sweep.log_names(group.program, data, hypers) if n not in names]
    scores = watch.columns if watch else ()
    if clash := sorted(set(scores) & set(names)):
        raise ValueError(f"{', '.join(clash)} names both a score and what an objective logs")
    there = logged.head(path / "history.csv")
    return tables.Table(path / "history.csv", dict.fromkeys(["lane", "step", *names, *there, *scores]))


def cut_back(
    table: tables.Table,
    plan: Plan,
    path: pathlib.Path,
    spec: Spec,
    say: Callable[[str], None],
    listener: Listener = NOBODY,
) -> None:
    """Leave only rows that the checkpoints of a plan know, and say which are gone; begin the file where there is none.

    A listener hears of those that are left.

    Raises:
        CheckpointError: a checkpoint is damaged.
    """
    if not hosts.is_first():
        return
    stops = _stops(plan, path)
    found = logged.read(table.path, table.columns)
    saved = np.zeros(max(stops, default=-1) + 2, np.int64)  # the last is for lanes that nobody knows
    for lane, (step, _) in stops.items():
        saved[lane] = step
    kept = logged.only(found, found.steps <= saved[np.minimum(found.lanes, len(saved) - 1)])
    table.rewrite_lines(kept.columns, kept.lines)
    lacking = logged.gone(kept, spec.log_every, spec.steps, stops)
    if found.problem or lacking:
        say(f"{found.problem}{': ' if found.problem and lacking else ''}{lacking or '; left out'}")
    listener.begin(kept, {lane: step for lane, (step, _) in stops.items()})


def rows(wave: Wave, step: int, columns: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Return a row for every lane that has anything to tell; what it has not is an empty cell.

    Args:
        wave: whose lanes.
        step: that the columns tell of.
        columns: name -> [R], lanes that only pad the devices last if there are any; NaN for nothing to tell.
    """
    for index, lane in enumerate(wave.lanes):
        row = {name: float(f"{values[index]:.7g}") for name, values in columns.items() if not np.isnan(values[index])}
        if row:
            yield {"lane": lane, "step": step, **row}


class Window:
    """Means of the logs over the steps since the last log point, in float64 so that chunking does not show.

    Args:
        sums: those of a window that was open when it was saved.
    """

    def __init__(self, sums: Mapping[str, Sequence[float]] | None = None):
        self._sums = {name: np.asarray(values, np.float64) for name, values in (sums or {}).items()}

    @property
    def sums(self) -> dict[str, list[float]]:
        """Return what a window that goes on from here needs, as JSON types: {name: [R]}; {} right after a log point."""
        return {name: values.tolist() for name, values in self._sums.items()}

    def add(self, sums: dict[str, np.ndarray]) -> None:
        """Add the sums [R, 2] of some steps, each with what rounding took from it; "count" is how many a lane took."""
        new = {name: values.astype(np.float64).sum(-1) for name, values in sums.items()}
        self._sums = {name: self._sums.get(name, 0.0) + values for name, values in new.items()}

    def close(self) -> dict[str, np.ndarray]:
        """Return the means [R], and begin anew."""
        count = self._sums.pop("count")
        # A lane that took no step in the window has diverged; it has no mean.
        means = {n: np.where(count > 0, v / np.maximum(count, 1), np.nan) for n, v in self._sums.items()}
        self._sums = {}
        return means


def _stops(plan: Plan, path: pathlib.Path) -> dict[int, tuple[int, int]]:
    """Return {lane: (step of its newest checkpoint, steps it has taken)} of the lanes that have any.

    A lane that has diverged has taken fewer steps than its checkpoint.
    """
    found: dict[int, tuple[int, int]] = {}
    for wave in plan.waves:
        if (path / wave.directory).exists():
            with contextlib.closing(Checkpoints(path / wave.directory, plan.label(wave))) as checkpoints:
                if step := checkpoints.latest():
                    state, _ = checkpoints.restore(step, only=("status",))
                    stopped = [status % STALLED if status >= 0 else step for status in state["status"].tolist()]
                    found |= {lane: (step, at) for lane, at in zip(wave.lanes, stopped, strict=True)}
    return found
