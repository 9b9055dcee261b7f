"""Which lanes are on the devices at the same time: a sweep cut into waves, and a wave in two. Knows no device."""

import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jaxvae import files
from jaxvae.asked.spec import Group
from jaxvae.parallel import hosts
from jaxvae.types import InputError
from jaxvae.workdir.checkpoint import CheckpointError, Checkpoints
from jaxvae.workdir.records import Label, common, wave_folder
from jaxvae.workdir.schema import Wrong


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
        return wave_folder(self.group.name, self.lanes.start, self.lanes.stop - 1)

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


def read(groups: Sequence[Group], saved: Sequence[dict[str, Any]]) -> list[Wave]:
    """Return the waves of these groups as `Wave.to_json` wrote them, checked by `records.check_wave`.

    Raises:
        Wrong: they are not those of these groups, or not all.
    """
    plan: list[Wave] = []
    for group in groups:
        numbers = range(group.first, group.first + group.num_lanes)
        own = [wave for wave in saved if wave["lanes"][0]["lane"] in numbers]
        for wave in own:
            start, stop = wave["lanes"][0]["lane"] - group.first, wave["lanes"][-1]["lane"] - group.first + 1
            # Before it was written down, the size was that of the group's first wave.
            plan.append(Wave(group, start, stop, wave.get("size", len(own[0]["lanes"]))))
            if stop > group.num_lanes or not common(wave, plan[-1].to_json()):
                raise Wrong(
                    f"lanes {wave['lanes'][0]['lane']} to {wave['lanes'][-1]['lane']} are not those of spec.json"
                )
    told = [number for wave in plan for number in wave.lanes]
    total = sum(group.num_lanes for group in groups)
    if told != list(range(total)):
        raise Wrong(f"it lists {len(set(told))} of the {total} lanes of spec.json")
    return plan


def split(wave: Wave) -> list[Wave]:
    """Return the same lanes as waves of half the size: two, or one where those of the wave fit into a half."""
    size = -(-wave.size // 2)
    starts = range(wave.start, wave.stop, size)
    return [Wave(wave.group, start, min(start + size, wave.stop), size) for start in starts]


def split_checkpoint(wave: Wave, parts: Sequence[Wave], path: pathlib.Path, label: Callable[[Wave], Label]) -> None:
    """Write what a workdir holds of a wave's training as the training of its parts; the wave's own stays.

    Until the workdir is told of the parts, nothing refers to them: a kill at any moment loses nothing. `label` says
    what the checkpoints of a wave belong to.

    Raises:
        CheckpointError: the checkpoint cannot be read, or one of a part not be written.
        InputError: there are several processes, and the wave has been saved.
    """
    if len(parts) == 1 or not (path / wave.directory).exists():
        return
    with contextlib.closing(Checkpoints(path / wave.directory, label(wave))) as checkpoints:
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
        files.remove(path / part.directory)  # left by a kill while it was written
        with contextlib.closing(Checkpoints(path / part.directory, label(part), create=True)) as checkpoints:
            lanes = jax.tree.map(lambda leaf, here=here: leaf[here], state)
            said = {"lanes": len(part.lanes), "seconds": counters["seconds"] / len(parts)}
            window = {name: sums[here] for name, sums in counters.get("window", {}).items()}
            checkpoints.save(step, lanes, said | {"window": window})
            checkpoints.wait()


def remove_leftovers(plan: Iterable[Wave], path: pathlib.Path) -> None:
    """Delete checkpoint folders of no wave in the plan: a kill while a wave was being split leaves them."""
    hosts.by_first(_remove_leftovers, plan, path)


def _remove_leftovers(plan: Iterable[Wave], path: pathlib.Path) -> None:
    known = {wave.directory for wave in plan}
    groups = {pathlib.PurePath(directory).parts[1] for directory in known}
    for directory in folders(path):
        if pathlib.PurePath(directory).parts[1] in groups and directory not in known and _is_ours(path / directory):
            files.remove(path / directory)


def folders(path: pathlib.Path) -> dict[str, range]:
    """Return {directory below the workdir: numbers of lanes} of the waves that a workdir has folders for; no links."""
    found: dict[str, range] = {}
    for above in _inside(path / "checkpoints"):
        for folder in _inside(above):
            name = re.fullmatch(r"lanes_([0-9]{5,})-([0-9]{5,})", folder.name)
            lanes = range(int(name[1]), int(name[2]) + 1) if name else range(0)
            if lanes and str(folder.relative_to(path)) == wave_folder(above.name, lanes.start, lanes.stop - 1):
                found[str(folder.relative_to(path))] = lanes
    return found


def _inside(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the folders in a folder, which are no links."""
    return [path for path in sorted(folder.iterdir()) if files.is_folder(path)] if files.is_folder(folder) else []


def _is_ours(folder: pathlib.Path) -> bool:
    """Return whether all that is in a folder is what training writes there: finished checkpoints, or begun ones."""
    for entry in folder.iterdir():
        if not files.is_folder(entry) or not re.fullmatch(r"[0-9]+(\.orbax-checkpoint-tmp.*)?", entry.name):
            return False
        if entry.name.isdigit():
            try:
                with contextlib.closing(Checkpoints(folder)) as checkpoints:
                    label = checkpoints.counters(int(entry.name)).get("label")
            except CheckpointError:
                return False
            if label is None or not str(folder).endswith(label["wave"]["directory"]):
                return False
    return True
