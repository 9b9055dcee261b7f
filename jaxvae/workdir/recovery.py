"""What is left where a file of a workdir is damaged: run.json from checkpoints, older checkpoints. Knows no device."""

import contextlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from jaxvae import files
from jaxvae.asked.spec import Group
from jaxvae.workdir import waves
from jaxvae.workdir.checkpoint import CheckpointError, Checkpoints
from jaxvae.workdir.records import DamagedError, Label, RunNotes, group_of, read_run
from jaxvae.workdir.schema import Wrong
from jaxvae.workdir.waves import Wave


def notes(path: pathlib.Path) -> tuple[RunNotes | None, str]:
    """Return what the run.json of a workdir says, or what its checkpoints say where that cannot be read.

    Returns:
        As `records.read_run`, None where there is neither; and a line that says what was wrong, "" for nothing.

    Raises:
        DamagedError: run.json cannot be read, and the checkpoints do not say it.
    """
    problem = DamagedError(f"{path / 'run.json'} is missing")
    if (path / "run.json").exists():
        try:
            told = read_run(path)
            missing = _untold(path, told)
            if not missing:
                return told, ""
            problem = DamagedError(
                f"{path / 'run.json'} does not list lane {missing[0]}, of which there are checkpoints"
            )
        except DamagedError as error:
            problem = error
    elif not any(_steps(path / directory) for directory in waves.folders(path)):
        return None, ""
    found = from_checkpoints(path)
    if found is None:
        raise problem
    return found, f"{problem.what}: taken from the checkpoints"


def _untold(path: pathlib.Path, told: RunNotes) -> list[int]:
    """Return the numbers of lanes that have checkpoints in a workdir and are not among those that run.json lists."""
    num_lanes = sum(len(wave["lanes"]) for wave in told["waves"])
    beyond = {directory: lanes for directory, lanes in waves.folders(path).items() if lanes.stop > num_lanes}
    return sorted(max(lanes.start, num_lanes) for directory, lanes in beyond.items() if _steps(path / directory))


def from_checkpoints(path: pathlib.Path) -> RunNotes | None:
    """Return what the checkpoints of a workdir say of the sweep: modes, data, and those waves that have been saved.

    Returns:
        As `records.read_run`, waves perhaps not of all lanes, and "modes" by the directories of waves (see `modes`);
        None where the checkpoints do not say, or contradict.
    """
    labels: list[tuple[int, Label]] = []
    for directory in waves.folders(path):
        with contextlib.closing(Checkpoints(path / directory)) as checkpoints:
            for step in reversed(checkpoints.steps()):
                with contextlib.suppress(CheckpointError):
                    label = checkpoints.counters(step).get("label")
                    if label is None or label["wave"]["directory"] != directory:
                        return None
                    labels.append((step, label))
                    break
    # While a wave is split, its lanes are there twice.
    labels.sort(key=lambda found: (-found[0], -len(found[1]["wave"]["lanes"])))
    taken: set[int] = set()
    kept: list[Label] = []
    for _, label in labels:
        numbers = {lane["lane"] for lane in label["wave"]["lanes"]}
        if not numbers & taken:
            kept.append(label)
            taken |= numbers
    modes = {label["wave"]["directory"]: label["mode"] for label in kept}
    if not kept or None in modes.values() or any(label["data"] != kept[0]["data"] for label in kept):
        return None
    return {
        "modes": modes,
        "data": kept[0]["data"],
        "waves": sorted((label["wave"] for label in kept), key=lambda wave: wave["lanes"][0]["lane"]),
    }


def with_all_lanes(groups: Sequence[Group], told: RunNotes) -> list[Wave]:
    """Return the waves that notes tell of, with waves of the lanes between them that have never been saved.

    Raises:
        Wrong: they are not those of these groups.
    """
    whole: list[dict[str, Any]] = []
    for group in groups:
        own = [wave for wave in told["waves"] if _is_of(wave, group)]
        size = max((wave.get("size", len(wave["lanes"])) for wave in own), default=group.num_lanes)
        following = 0
        for wave in own:
            first = wave["lanes"][0]["lane"] - group.first
            whole += [*_cut(group, following, first, size), wave]
            following = first + len(wave["lanes"])
        whole += _cut(group, following, group.num_lanes, size)
    if sum(len(wave["lanes"]) for wave in told["waves"]) > sum(group.num_lanes for group in groups):
        raise Wrong("it lists more lanes than spec.json")
    return waves.read(groups, whole)


def modes(groups: Sequence[Group], told: RunNotes) -> dict[str, str]:
    """Return the mode of each group, by its key, of which checkpoints tell (see `from_checkpoints`)."""
    return {
        group.key: told["modes"][wave["directory"]]
        for group in groups
        for wave in reversed(told["waves"])
        if _is_of(wave, group)
    }


def _is_of(wave: dict[str, Any], group: Group) -> bool:
    first = wave["lanes"][0]["lane"] - group.first
    return group_of(wave) == group.name and 0 <= first < group.num_lanes


def _cut(group: Group, start: int, stop: int, size: int) -> list[dict[str, Any]]:
    return [Wave(group, at, min(at + size, stop), size).to_json() for at in range(start, stop, size)]


def _steps(folder: pathlib.Path) -> list[int]:
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        return checkpoints.steps()


def go_back(plan: Iterable[Wave], path: pathlib.Path, label: Any) -> list[str]:
    """Set aside the newest checkpoints of waves where they are damaged, so that the last good one is the newest.

    Args:
        plan: the waves.
        path: the workdir.
        label: says what the checkpoints of a wave belong to.

    Returns:
        A line for each wave that goes back: from where, to where, and what that costs.

    Raises:
        CheckpointError: no checkpoint of a wave is good.
    """
    said = []
    for wave in plan:
        folder = path / wave.directory
        if not files.is_folder(folder):
            continue
        with contextlib.closing(Checkpoints(folder, label(wave))) as checkpoints:
            damaged: list[int] = []
            for step in reversed(checkpoints.steps()):
                try:
                    checkpoints.restore(step)
                    break
                except CheckpointError:
                    damaged.append(step)
                    if step == checkpoints.steps()[0]:
                        raise
        for step_of in damaged:
            aside = folder.with_name(f"damaged_{folder.name}_step_{step_of}")
            files.remove(aside)
            (folder / str(step_of)).rename(aside)
        if damaged:
            lanes = f"lanes {wave.lanes.start} to {wave.lanes.stop - 1}"
            said.append(
                f"{lanes}: the checkpoint of step {damaged[0]:,} is damaged and set aside "
                f"(checkpoints/{wave.group.name}/damaged_…); going on from step {step:,}, "
                f"{damaged[0] - step:,} steps are taken anew"
            )
    return said
