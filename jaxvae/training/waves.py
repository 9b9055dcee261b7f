"""Which lanes are on the devices at the same time: a sweep cut into waves, and a wave in two. Knows no device."""

import contextlib
import dataclasses
import pathlib
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jaxvae.parallel import hosts
from jaxvae.training.checkpoint import Checkpoints
from jaxvae.training.spec import Group
from jaxvae.types import InputError


@dataclasses.dataclass(frozen=True)
class Wave:
    """Consecutive lanes of a group that are on the devices at the same time."""

    group: Group
    start: int  # within the group
    stop: int
    size: int  # lanes of the compiled program; the last wave of a group is padded up to it

    @property
    def directory(self) -> str:
        """Where its checkpoints lie, below the workdir."""
        first = self.group.first
        return f"checkpoints/{self.group.name}/lanes_{first + self.start:05d}-{first + self.stop - 1:05d}"

    @property
    def lanes(self) -> range:
        """The numbers of its lanes in the sweep."""
        return range(self.group.first + self.start, self.group.first + self.stop)

    @property
    def hypers(self) -> dict[str, np.ndarray]:
        return {name: values[self.start : self.stop] for name, values in self.group.hypers.items()}

    def to_json(self) -> dict[str, Any]:
        """Return all that is needed to find and rebuild its models, and to cut it again, as JSON types."""
        lanes = self.group.rows(self.start, self.stop)
        return {"directory": self.directory, "size": self.size, "program": self.group.program.to_json(), "lanes": lanes}


def even_size(num_lanes: int, max_lanes: int) -> int:
    """Return the lanes of each wave when there are as few waves as max_lanes allows, all of one size."""
    return -(-num_lanes // -(-num_lanes // max_lanes))


def waves(groups: Iterable[Group], max_lanes: int) -> list[Wave]:
    """Cut every group into as few waves as max_lanes allows, all of one size so that they share a program."""
    cut = []
    for group in groups:
        size = even_size(group.num_lanes, max_lanes)
        starts = range(0, group.num_lanes, size)
        cut += [Wave(group, start, min(start + size, group.num_lanes), size) for start in starts]
    return cut


def read(groups: Iterable[Group], saved: Sequence[dict[str, Any]]) -> list[Wave]:
    """Return the waves of these groups as `Wave.to_json` wrote them."""
    plan = []
    for group in groups:
        numbers = range(group.first, group.first + group.num_lanes)
        own = [wave for wave in saved if wave["lanes"][0]["lane"] in numbers]
        for wave in own:
            start, stop = wave["lanes"][0]["lane"] - group.first, wave["lanes"][-1]["lane"] - group.first + 1
            # Before it was written down, the size was that of the group's first wave.
            plan.append(Wave(group, start, stop, wave.get("size", len(own[0]["lanes"]))))
    return plan


def split(wave: Wave) -> list[Wave]:
    """Return the same lanes as waves of half the size: two, or one where those of the wave fit into a half."""
    size = -(-wave.size // 2)
    starts = range(wave.start, wave.stop, size)
    return [Wave(wave.group, start, min(start + size, wave.stop), size) for start in starts]


def split_checkpoint(wave: Wave, parts: Sequence[Wave], path: pathlib.Path) -> None:
    """Write what a workdir holds of a wave's training as the training of its parts; the wave's own stays.

    Until the workdir is told of the parts, nothing refers to them: a kill at any moment loses nothing.

    Raises:
        CheckpointError: the checkpoint cannot be read, or one of a part not be written.
        InputError: there are several processes, and the wave has been saved.
    """
    if len(parts) == 1 or not (path / wave.directory).exists():
        return
    with contextlib.closing(Checkpoints(path / wave.directory)) as checkpoints:
        step = checkpoints.latest()
        if step is None:
            return
        if hosts.count() > 1:
            raise InputError(
                f"{wave.directory} is saved as one and does not fit into memory as such; "
                "run the same command once in one process, or with as many devices as before"
            )
        state, counters = checkpoints.restore(step)
    for part in parts:
        here = slice(part.start - wave.start, part.stop - wave.start)
        if (path / part.directory).exists():  # left by a kill while it was written
            shutil.rmtree(path / part.directory)
        with contextlib.closing(Checkpoints(path / part.directory, create=True)) as checkpoints:
            lanes = jax.tree.map(lambda leaf, here=here: leaf[here], state)
            checkpoints.save(step, lanes, {"step": step, "seconds": counters["seconds"] / len(parts)})
            checkpoints.wait()


def remove_leftovers(plan: Iterable[Wave], path: pathlib.Path) -> None:
    """Delete checkpoint folders of no wave in the plan: a kill while a wave was being split leaves them."""
    hosts.by_first(_remove_leftovers, plan, path)


def _remove_leftovers(plan: Iterable[Wave], path: pathlib.Path) -> None:
    known = {wave.directory for wave in plan}
    for folder in (path / "checkpoints").glob("*/lanes_*"):
        if str(folder.relative_to(path)) not in known:
            shutil.rmtree(folder)
