"""Time: train every group of a sweep wave by wave, print, save, resume, stop when asked. Knows no architecture."""

import contextlib
import dataclasses
import pathlib
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.train import sweep, workdir
from jaxvae.train.checkpoint import Checkpoints, as_tree
from jaxvae.train.spec import Group, Spec
from jaxvae.types import Logs, TrainState

CHUNK_SECONDS = 1.0
"""About how long the device works between two looks of the host: progress, saves, signals."""


class Interrupted(Exception):  # noqa: N818  nothing went wrong
    """The sweep was asked to stop, has saved, and can be continued; carries the signal's number."""


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
        """Return all that is needed to find and rebuild its models, as JSON types."""
        program = dataclasses.asdict(self.group.program)
        return {"directory": self.directory, "program": program, "lanes": self.group.rows(self.start, self.stop)}


def waves(groups: list[Group], max_lanes: int) -> list[Wave]:
    """Cut every group into as few waves as max_lanes allows, all of one size so that they share a program."""
    cut = []
    for group in groups:
        size = -(-group.num_lanes // -(-group.num_lanes // max_lanes))
        starts = range(0, group.num_lanes, size)
        cut += [Wave(group, start, min(start + size, group.num_lanes), size) for start in starts]
    return cut


class StopSignals:
    """Turns the first SIGINT or SIGTERM into a request that the loop honours; a second one kills as usual."""

    def __init__(self):
        self.received: int | None = None

    def __enter__(self):
        self._before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number, _frame):
        self.received = number
        print("\nstopping: saving what is trained (once more to stop at once)", file=sys.stderr, flush=True)
        self.__exit__()


def fit(spec: Spec, groups: list[Group], data: Dataset, path: pathlib.Path, say: Callable[[str], None] = print) -> None:
    """Train every lane of a sweep to spec.steps, going on from what the workdir holds.

    Afterwards, and at any moment in between, the workdir holds everything that is needed to go on or to evaluate.

    Args:
        spec: the sweep, already checked.
        groups: its lanes, from `expand`.
        data: the training set.
        path: a claimed workdir.
        say: prints a line.

    Raises:
        Interrupted: a signal asked to stop; all is saved.
        CheckpointError: a checkpoint that is there cannot be read, or a new one not be written.
        WorkdirError: the sweep was begun on other data.
    """
    # The cut into waves and the lane mode decide rounding and where things lie, so a resumed run keeps its own.
    if (path / "run.json").exists():
        run = workdir.read_json(path / "run.json")
        plan = waves(groups, run["max_lanes"])
        if run["data"] != fingerprint(data):
            raise workdir.WorkdirError(
                f"{data} is not the data that the sweep in {path} has been trained on so far; "
                "bring that back, or choose another --workdir"
            )
    else:
        plan = waves(groups, spec.max_lanes)
        run = {"max_lanes": spec.max_lanes, "modes": {}, "seconds": {}, "data": fingerprint(data)}
        run["waves"] = [wave.to_json() for wave in plan]
        workdir.write_json(path / "run.json", run)
    history = _open_history(plan, data, path)
    with StopSignals() as stop:
        for number, wave in enumerate(plan):
            _train_wave(spec, wave, f"wave {number + 1}/{len(plan)}", data, path, run, history, stop, say)


def fingerprint(data: Dataset) -> dict[str, Any]:
    """Return what tells data sets of one name apart: size, shape, and a checksum of some images and their factors."""
    some = np.unique(np.linspace(0, len(data) - 1, 1000).astype(int))
    rows = (np.ascontiguousarray(data.pixels[some]), np.ascontiguousarray(data.factors[some]))
    return {"images": len(data), "shape": list(data.shape), "checksum": zlib.crc32(rows[1], zlib.crc32(rows[0]))}


def _open_history(plan: list[Wave], data: Dataset, path: pathlib.Path) -> workdir.Table:
    """Open history.csv, cut back to what the checkpoints know."""
    names: list[str] = []
    for group in {id(wave.group): wave.group for wave in plan}.values():
        hypers = {name: values[0] for name, values in group.hypers.items()}
        names += [n for n in sweep.log_names(group.program, data, hypers) if n not in names]
    table = workdir.Table(path / "history.csv", ["lane", "step", *names])
    rows = []
    if table.path.exists():
        saved = {}
        for wave in plan:
            if (path / wave.directory).exists():
                with contextlib.closing(Checkpoints(path / wave.directory)) as checkpoints:
                    saved |= dict.fromkeys(wave.lanes, checkpoints.latest() or 0)
        rows = [row for row in workdir.read_table(table.path) if row["step"] <= saved.get(row["lane"], 0)]
    table.rewrite(rows)
    return table


def _train_wave(
    spec: Spec,
    wave: Wave,
    title: str,
    data: Dataset,
    path: pathlib.Path,
    run: dict[str, Any],
    history: workdir.Table,
    stop: StopSignals,
    say: Callable[[str], None],
) -> None:
    with contextlib.closing(Checkpoints(path / wave.directory, create=True)) as checkpoints:
        step = checkpoints.latest() or 0
        if step >= spec.steps:
            return
        num_lanes = len(wave.lanes)
        begin = time.perf_counter()
        advance, state, seconds = _start(spec, wave, data, checkpoints, step, run)
        workdir.write_json(path / "run.json", run)
        devices = state.step.sharding.device_set
        say(
            f"{title} {wave.group.name}, {num_lanes} lane{'s' * (num_lanes > 1)}: {run['modes'][wave.group.name]} on "
            f"{len(devices)} {next(iter(devices)).platform} device{'s' * (len(devices) > 1)}, "
            f"ready in {time.perf_counter() - begin:.1f} s{f', going on from step {step:,}' if step else ''}"
        )

        progress, window = _Progress(spec.steps, num_lanes, say), _Window()
        saver = _Saver(checkpoints, num_lanes, spec.save_seconds, seconds)
        chunk = 1
        while step < spec.steps:
            num = min(chunk, spec.log_every - step % spec.log_every, spec.steps - step)
            begin = time.perf_counter()
            state, sums = advance(state, jnp.int32(num))
            window.add({name: np.asarray(values, np.float64)[:num_lanes] for name, values in sums.items()})
            spent = time.perf_counter() - begin
            step += num
            chunk = max(1, min(int(num * CHUNK_SECONDS / spent), 10 * num))
            if step % spec.log_every == 0 or step == spec.steps:
                progress.means = window.close()
                history.append(_rows(wave, step, progress.means))
            progress.show(step, num, spent, np.asarray(state.status)[:num_lanes])
            if saver.due() or stop.received or step == spec.steps:
                saver.save(step, state)
            if stop.received:
                checkpoints.wait()
                raise Interrupted(stop.received)
        checkpoints.wait()
        run["seconds"][wave.directory] = saver.seconds()
        workdir.write_json(path / "run.json", run)
        say(f"  trained in {clock(saver.seconds())}")


def _start(
    spec: Spec, wave: Wave, data: Dataset, checkpoints: Checkpoints, step: int, run: dict[str, Any]
) -> tuple[Callable[[TrainState, jax.Array], tuple[TrainState, Logs]], TrainState, float]:
    """Put a wave on the devices, compiled: (state, num_steps) -> (state, sums); its state; its seconds so far.

    The lane mode is the run's where it has one, and is noted there where it is chosen now.
    """
    program = wave.group.program
    mesh = sweep.make_mesh(wave.size)
    size = sweep.padded_size(wave.size, mesh)
    data = sweep.put_everywhere(data, mesh)
    hypers = sweep.put_lanes(sweep.pad_lanes(wave.hypers, size), mesh)
    mode = run["modes"].get(wave.group.name) or spec.lanes
    if mode == "auto":
        mode = sweep.fastest_mode(program, mesh, data, hypers)
    run["modes"][wave.group.name] = mode

    init, steps = sweep.compiled_init(program, mesh), sweep.compiled_steps(program, mesh, mode)
    seconds = 0.0
    if step:
        saved, counters = checkpoints.restore(step)
        state = sweep.put_lanes(sweep.pad_lanes(as_tree(saved, jax.eval_shape(init, hypers)), size), mesh)
        seconds = counters["seconds"]
    else:
        state = init(hypers)

    def advance(state, num_steps):
        return steps(data, hypers, state, num_steps)

    state, _ = jax.block_until_ready(advance(state, jnp.int32(0)))  # compiles
    return advance, state, seconds


class _Saver:
    """Says when a checkpoint is due, so that saving takes at most a twentieth of the time, and writes it."""

    def __init__(self, checkpoints: Checkpoints, num_lanes: int, interval: float, seconds: float):
        self._checkpoints, self._num_lanes, self._interval = checkpoints, num_lanes, interval
        self._before, self._begin, self._last, self._cost = seconds, time.perf_counter(), time.perf_counter(), 0.0

    def seconds(self) -> float:
        """Return how long the wave has been trained, this run and those before."""
        return self._before + time.perf_counter() - self._begin

    def due(self) -> bool:
        return time.perf_counter() - self._last > max(self._interval, 20 * self._cost)

    def save(self, step: int, state: TrainState) -> None:
        begin = time.perf_counter()
        if len(state.step) > self._num_lanes:  # lanes that only pad the devices are not kept
            state = jax.tree.map(lambda leaf: leaf[: self._num_lanes], state)
        self._checkpoints.save(step, state, {"step": step, "seconds": self.seconds()})
        self._last = time.perf_counter()
        self._cost = self._last - begin


class _Window:
    """Means of the logs over the steps since the last log point, in float64 so that chunking does not show."""

    def __init__(self):
        self._sums: dict[str, np.ndarray] = {}

    def add(self, sums: dict[str, np.ndarray]) -> None:
        self._sums = {name: self._sums.get(name, 0.0) + values for name, values in sums.items()}

    def close(self) -> dict[str, np.ndarray]:
        count = self._sums.pop("count")
        # A lane that took no step in the window has diverged; it has no mean.
        means = {n: np.where(count > 0, v / np.maximum(count, 1), np.nan) for n, v in self._sums.items()}
        self._sums = {}
        return means


def _rows(wave: Wave, step: int, means: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    for index, lane in enumerate(wave.lanes):
        row = {name: float(f"{values[index]:.7g}") for name, values in means.items()}
        if not np.isnan(row["loss"]):
            yield {"lane": lane, "step": step, **row}


class _Progress:
    """One live line on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, steps: int, num_lanes: int, say: Callable[[str], None]):
        self.steps, self.num_lanes, self.say = steps, num_lanes, say
        self.means: dict[str, np.ndarray] = {}
        self._rate = 0.0  # lane-steps a second, smoothed
        self._live = sys.stdout.isatty()
        self._shown = time.perf_counter()

    def show(self, step: int, num: int, spent: float, status: np.ndarray) -> None:
        rate = num * self.num_lanes / max(spent, 1e-9)
        self._rate = rate if not self._rate else 0.8 * self._rate + 0.2 * rate
        now = time.perf_counter()
        if now - self._shown < (0.2 if self._live else 10.0) and step < self.steps:
            return
        self._shown = now
        left = (self.steps - step) * self.num_lanes / self._rate
        shown = {n: v for n in ("loss", "nll", "kl") if np.isfinite(v := self.means.get(n, np.nan)).any()}
        losses = "  median " * bool(shown) + " ".join(f"{n} {np.nanmedian(v):.1f}" for n, v in shown.items())
        diverged = f"  {(status >= 0).sum()} diverged" if (status >= 0).any() else ""
        done = f"step {step:,}/{self.steps:,}  {self._rate:,.0f} lane-steps/s  ETA {clock(left)}"
        line = f"{done}{losses}{diverged}"
        if self._live:
            sys.stdout.write("\r\x1b[2K" + line + ("\n" if step == self.steps else ""))
            sys.stdout.flush()
        else:
            self.say("  " + line)


def clock(seconds: float) -> str:
    """Return seconds as "1:02:03", "2:03" or "3 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
