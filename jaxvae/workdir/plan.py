"""run.json: the waves of a sweep, how they run and what on. Knows no device."""

import contextlib
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxvae.asked.spec import Group
from jaxvae.data.grid import Dataset
from jaxvae.parallel import hosts
from jaxvae.workdir import claiming, recovery, tables, waves
from jaxvae.workdir.checkpoint import Checkpoints
from jaxvae.workdir.records import Label, RunNotes, WorkdirError
from jaxvae.workdir.schema import Wrong
from jaxvae.workdir.waves import Wave


class Plan:
    """The waves that a sweep is trained in, and what else run.json says of it; what changes is written at once.

    Attributes:
        waves: in the order in which they are trained.
    """

    def __init__(self, path: pathlib.Path, cut: list[Wave], notes: dict[str, Any]):
        self.waves = cut
        self._path, self._notes = path, notes

    @classmethod
    def take_up(
        cls,
        groups: list[Group],
        data: Dataset,
        path: pathlib.Path,
        say: Callable[[str], None],
        *,
        go_back: bool = False,
    ) -> "Plan":
        """Return the plan that a workdir holds for these groups, or begin one.

        Args:
            groups: all lanes.
            data: what they are trained on.
            path: the workdir.
            say: prints a line.
            go_back: whether a wave whose newest checkpoint is damaged goes on from the one before it.

        Raises:
            WorkdirError: the sweep was begun on other data, or run.json is damaged and checkpoints cannot replace it.
            CheckpointError: no checkpoint of a wave is good, with `go_back`.
        """
        # The cut into waves and the lane mode decide rounding and where things lie, so a resumed run keeps its own.
        notes, problem = hosts.by_first(recovery.notes, path)
        if notes is None:
            # Whole groups, until each one's turn comes to be compiled and measured.
            cut = waves.waves(groups, max(group.num_lanes for group in groups))
            plan = cls(path, cut, {"modes": {}, "data": fingerprint(data)})
            plan._recut(cut)
            return plan
        there = groups if problem else _told_of(groups, notes)
        try:
            cut = recovery.with_all_lanes(groups, notes) if problem else waves.read(there, notes["waves"])
        except Wrong as error:
            raise WorkdirError(
                f"{path / 'run.json'} is damaged or another sweep's ({error}); bring it back, or start anew with "
                "--overwrite"
            ) from None
        plan = cls(path, cut, notes | ({"modes": recovery.modes(groups, notes)} if problem else {}))
        if problem:
            say(problem)
            plan._recut(cut)
        if notes["data"] != fingerprint(data):
            raise WorkdirError(
                f"{data} is not the data that the sweep in {path} has been trained on so far; "
                "bring that back, or choose another --workdir"
            )
        if added := groups[len(there) :]:
            plan._recut([*cut, *waves.waves(added, max(group.num_lanes for group in added))])
        if go_back:
            for line in hosts.by_first(recovery.go_back, plan.waves, path, plan.label):
                say(line)
        waves.remove_leftovers(plan.waves, path)
        return plan

    def label(self, wave: Wave) -> Label:
        """Return what a checkpoint of a wave belongs to, JSON types."""
        return {"wave": wave.to_json(), "mode": self.mode(wave.group), "data": self._notes["data"]}

    def mode(self, group: Group) -> str | None:
        """Return how the lanes of a group run, None before that is chosen."""
        return self._notes["modes"].get(group.key)

    def mode_before(self, group: Group) -> str | None:
        """Return how lanes of the same program run that a group was added to, None where there are none, or not yet."""
        others = (wave.group for wave in self.waves if wave.group.name == group.name and wave.group.first < group.first)
        return next(filter(None, map(self.mode, others)), None)

    def choose(self, group: Group, mode: str, size: int) -> None:
        """Let a group that has not been begun run in this mode, in waves of at most `size` lanes."""
        hosts.by_first(claiming.forget_replaced, self._path)  # it fits into memory: the sweep begins
        self._notes["modes"][group.key] = mode
        self._recut([w for wave in self.waves for w in (waves.waves([group], size) if wave.group is group else [wave])])

    def halve(self, number: int) -> None:
        """Cut a wave, and those of its group that are still to come, into waves of half the size.

        What is saved of them is kept; a kill at any moment leaves either cut whole.

        Raises:
            CheckpointError: the checkpoint cannot be read, or one of a half not be written.
            InputError: there are several processes, and the wave has been saved.
        """
        group = self.waves[number].group
        parts = {i: waves.split(w) for i, w in enumerate(self.waves) if i >= number and w.group is group}
        for i, halves in parts.items():
            waves.split_checkpoint(self.waves[i], halves, self._path, self.label)
        self._recut([part for i, wave in enumerate(self.waves) for part in parts.get(i, [wave])])
        waves.remove_leftovers(self.waves, self._path)

    def _recut(self, cut: list[Wave]) -> None:
        self.waves = cut
        self._notes["waves"] = [wave.to_json() for wave in cut]
        tables.write_json(self._path / "run.json", self._notes)


def _told_of(groups: list[Group], notes: RunNotes) -> list[Group]:
    """Return the groups that notes tell of: all, or those of a sweep before it was extended."""
    num_lanes = sum(len(wave["lanes"]) for wave in notes["waves"])
    found = [group for group in groups if group.first < num_lanes]
    return [group for group in groups if found and group.generation <= found[-1].generation]


def trained_seconds(notes: RunNotes, path: pathlib.Path) -> dict[str, float]:
    """Return for how long each wave of a workdir has been trained, by its directory, as its newest checkpoint says.

    Raises:
        CheckpointError: one cannot be read.
    """
    seconds: dict[str, float] = {}
    for directory in (wave["directory"] for wave in notes["waves"]):
        with contextlib.closing(Checkpoints(path / directory)) as checkpoints:
            steps = checkpoints.steps()
            seconds[directory] = checkpoints.counters(steps[-1])["seconds"] if steps else 0.0
    return seconds


def fingerprint(data: Dataset) -> dict[str, Any]:
    """Return what tells data sets of one name apart: size, shape, and a checksum of some images and their factors."""
    some = np.unique(np.linspace(0, len(data) - 1, 1000).astype(int))
    rows = (np.ascontiguousarray(data.pixels[some]), np.ascontiguousarray(data.factors[some]))
    return {"images": len(data), "shape": list(data.shape), "checksum": zlib.crc32(rows[1], zlib.crc32(rows[0]))}
