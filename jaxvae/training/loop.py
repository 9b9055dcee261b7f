"""Time: train every group of a sweep wave by wave, print, save, resume, stop when asked. Knows no architecture."""

import contextlib
import functools
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
from jaxvae.parallel import hosts
from jaxvae.parallel.lanes import fetch, pad_lanes, put_lanes
from jaxvae.training import memory, placing, sweep, waves, workdir
from jaxvae.training.checkpoint import Checkpoints, as_tree
from jaxvae.training.progress import Progress, clock
from jaxvae.training.spec import Group, Spec
from jaxvae.training.waves import Wave
from jaxvae.types import Hypers, InputError, TrainState, Watch

CHUNK_SECONDS = 1.0
"""About how long the device works between two looks of the host: progress, saves, signals."""

CHUNK_STEPS, LONGEST_CHUNK = 8, 10.0
"""So many steps are taken at least, if they take no longer than so many seconds: lanes that run in turn change places
between calls, and a large state is slow to fetch."""


class Interrupted(Exception):  # noqa: N818  nothing went wrong
    """The sweep was asked to stop, has saved, and can be continued; carries the signal's number."""


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


def fit(
    spec: Spec,
    groups: list[Group],
    data: Dataset,
    path: pathlib.Path,
    say: Callable[[str], None] = print,
    watch: Watch | None = None,
) -> bool:
    """Train every lane of a sweep to spec.steps, going on from what the workdir holds.

    Afterwards, and at any moment in between, the workdir holds everything that is needed to go on or to evaluate.

    Args:
        spec: the sweep, already checked.
        groups: its lanes, from `expand`.
        data: the training set.
        path: a claimed workdir.
        say: prints a line.
        watch: called every spec.eval_every steps and at the last one; what it gives goes into history.csv.

    Returns:
        Whether anything was left to train.

    Raises:
        Interrupted: a signal asked to stop; all is saved.
        CheckpointError: a checkpoint that is there cannot be read, or a new one not be written.
        WorkdirError: the sweep was begun on other data, or processes differ in what they train.
        InputError: a single lane does not fit into memory.
    """
    given = hosts.gather([spec.to_json() | {"data_dir": None}, fingerprint(data)])
    if any(one != given[0] for one in given):
        raise workdir.WorkdirError(
            "the processes of this sweep have not all been given the same flags and the same data; "
            "start them with one command, and give every machine the same files"
        )
    # The cut into waves and the lane mode decide rounding and where things lie, so a resumed run keeps its own.
    run = hosts.by_first(lambda: workdir.read_json(path / "run.json") if (path / "run.json").exists() else None)
    if run is not None:
        plan = waves.read(groups, run["waves"])
        if run["data"] != fingerprint(data):
            raise workdir.WorkdirError(
                f"{data} is not the data that the sweep in {path} has been trained on so far; "
                "bring that back, or choose another --workdir"
            )
        waves.remove_leftovers(plan, path)
    else:
        run = {"modes": {}, "seconds": {}, "data": fingerprint(data)}
        # Whole groups, until each one's turn comes to be compiled and measured.
        plan = waves.waves(groups, max(group.num_lanes for group in groups))
        _note(run, plan, path)
    watch = watch if spec.eval_every else None
    history = _open_history(plan, data, path, watch)
    number, trained = 0, False
    fitted: set[tuple[str, int]] = set()
    with StopSignals() as stop:
        while number < len(plan):
            group = plan[number].group
            if group.name not in run["modes"]:
                mode, size = placing.choose(group.program, data, group.hypers, spec.lanes, spec.max_lanes, say)
                run["modes"][group.name] = mode
                plan = [w for wave in plan for w in (waves.waves([group], size) if wave.group is group else [wave])]
                _note(run, plan, path)
            try:
                wave, title = plan[number], f"wave {number + 1}/{len(plan)}"
                known_to_fit = (group.name, wave.size) in fitted
                trained |= _train_wave(spec, wave, title, known_to_fit, data, path, run, history, watch, stop, say)
                fitted.add((group.name, wave.size))
                number += 1
                continue
            except Exception as error:
                if not memory.is_exhausted(error):
                    raise
                reason = memory.reason(error)
            # The smaller program takes a while to compile, and would be asked to stop at its first step.
            if asked := [number for number in hosts.gather(stop.received) if number]:
                raise Interrupted(asked[0])
            # Only here, past the handler, is all that the wave had on the devices let go of.
            plan = _halve(plan, number, path, run, reason, say)
            history = _open_history(plan, data, path, watch)
    return trained


def _note(run: dict[str, Any], plan: list[Wave], path: pathlib.Path) -> None:
    run["waves"] = [wave.to_json() for wave in plan]
    workdir.write_json(path / "run.json", run)


def _halve(
    plan: list[Wave], number: int, path: pathlib.Path, run: dict[str, Any], reason: str, say: Callable[[str], None]
) -> list[Wave]:
    """Cut a wave that ran out of memory, and those of its group that are still to come, into waves of half the size.

    What is saved of them is kept; a kill at any moment leaves either cut whole.

    Raises:
        InputError: it is a single lane.
    """
    failed = plan[number]
    if failed.size == 1:
        raise placing.too_large(*placing.least(failed.group.program))
    say(f"out of memory with {failed.size} lanes at a time ({reason}): going on with {-(-failed.size // 2)}")
    parts = {i: waves.split(wave) for i, wave in enumerate(plan) if i >= number and wave.group is failed.group}
    for i, halves in parts.items():
        waves.split_checkpoint(plan[i], halves, path)
    plan = [part for i, wave in enumerate(plan) for part in parts.get(i, [wave])]
    _note(run, plan, path)
    waves.remove_leftovers(plan, path)
    return plan


def fingerprint(data: Dataset) -> dict[str, Any]:
    """Return what tells data sets of one name apart: size, shape, and a checksum of some images and their factors."""
    some = np.unique(np.linspace(0, len(data) - 1, 1000).astype(int))
    rows = (np.ascontiguousarray(data.pixels[some]), np.ascontiguousarray(data.factors[some]))
    return {"images": len(data), "shape": list(data.shape), "checksum": zlib.crc32(rows[1], zlib.crc32(rows[0]))}


def _open_history(plan: list[Wave], data: Dataset, path: pathlib.Path, watch: Watch | None) -> workdir.Table:
    """Open history.csv, cut back to what the checkpoints know; scores of other metrics that are there stay."""
    names: list[str] = []
    for group in {id(wave.group): wave.group for wave in plan}.values():
        hypers = {name: values[0] for name, values in group.hypers.items()}
        names += [n for n in sweep.log_names(group.program, data, hypers) if n not in names]
    if clash := sorted(set(watch.columns if watch else ()) & set(names)):
        raise ValueError(f"{', '.join(clash)} names both a score and what an objective logs")
    there = workdir.read_table(path / "history.csv") if (path / "history.csv").exists() else []
    columns = dict.fromkeys(["lane", "step", *names, *(there[0] if there else ()), *(watch.columns if watch else ())])
    table = workdir.Table(path / "history.csv", columns)
    rows = []
    if there:
        saved = {}
        for wave in plan:
            if (path / wave.directory).exists():
                with contextlib.closing(Checkpoints(path / wave.directory)) as checkpoints:
                    saved |= dict.fromkeys(wave.lanes, checkpoints.latest() or 0)
        rows = [row for row in there if row["step"] <= saved.get(row["lane"], 0)]
    table.rewrite(rows)
    return table


def _train_wave(
    spec: Spec,
    wave: Wave,
    title: str,
    known_to_fit: bool,
    data: Dataset,
    path: pathlib.Path,
    run: dict[str, Any],
    history: workdir.Table,
    watch: Watch | None,
    stop: StopSignals,
    say: Callable[[str], None],
) -> bool:
    """Train a wave to its end; return whether there was anything left to do."""
    with contextlib.closing(Checkpoints(path / wave.directory, create=True)) as checkpoints:
        step = hosts.gather(checkpoints.latest() or 0)[0]
        if step >= spec.steps:
            return False
        num_lanes = len(wave.lanes)
        begin = time.perf_counter()
        mode = run["modes"][wave.group.name]
        placed, hypers, state, seconds = placing.together(_start, wave, mode, known_to_fit, data, checkpoints, step)
        advance = functools.partial(placed.steps, placed.data, hypers)
        devices = state.step.sharding.device_set
        say(
            f"{title} {wave.group.name}, {num_lanes} lane{'s' * (num_lanes > 1)}: {run['modes'][wave.group.name]} on "
            f"{len(devices)} {next(iter(devices)).platform} device{'s' * (len(devices) > 1)}"
            f"{f' of {hosts.count()} processes' if hosts.count() > 1 else ''}, "
            f"ready in {time.perf_counter() - begin:.1f} s{f', going on from step {step:,}' if step else ''}"
        )
        say(f"  {placed.about()}")

        progress, window = Progress(spec.steps, num_lanes, say), _Window()
        saver = _Saver(checkpoints, num_lanes, spec.save_seconds, seconds)
        chunk = 1
        stops = [spec.log_every, *([spec.eval_every] if watch else [])]
        while step < spec.steps:
            num = min(chunk, spec.steps - step, *(every - step % every for every in stops))
            begin = time.perf_counter()
            state, sums = placing.together(lambda s=state, n=num: jax.block_until_ready(advance(s, jnp.int32(n))))
            sums, status = fetch((sums, state.status))
            window.add({name: values[:num_lanes].astype(np.float64) for name, values in sums.items()})
            spent = time.perf_counter() - begin
            step += num
            # The first process's clock is all processes' clock; a signal to any of them stops all.
            clocks = hosts.gather([_next_chunk(num, spent), saver.due(), stop.received])
            chunk, due, _ = clocks[0]
            asked_to_stop = next((received for _, _, received in clocks if received), None)
            last = step == spec.steps
            columns: dict[str, np.ndarray] = {}
            if step % spec.log_every == 0 or last:
                columns = progress.means = window.close()
            if watch and (step % spec.eval_every == 0 or last):
                begin = time.perf_counter()
                scores = _look(watch, placed, hypers, state)
                # A diverged lane stays where it was: its scores would only be those of an earlier step once more.
                columns = columns | {name: np.where(status < 0, values, np.nan) for name, values in scores.items()}
                saver.pause(time.perf_counter() - begin)
            if columns:
                # Before the state is saved: a checkpoint has all its rows, and no row is written twice.
                history.append(_rows(wave, step, columns))
            progress.show(step, num, spent, status[:num_lanes])
            if due or asked_to_stop or last:
                saver.save(step, state)
            if asked_to_stop:
                checkpoints.wait()
                raise Interrupted(asked_to_stop)
        checkpoints.wait()
        run["seconds"][wave.directory] = saver.seconds()
        workdir.write_json(path / "run.json", run)
        say(f"  trained in {clock(saver.seconds())}{f', scored in {clock(saver.paused)}' if watch else ''}")
        return True


def _next_chunk(num: int, spent: float) -> int:
    """Return how many steps to take at once, after `num` steps took `spent` seconds."""
    rate = num / spent
    return max(1, min(int(max(rate * CHUNK_SECONDS, min(CHUNK_STEPS, rate * LONGEST_CHUNK))), 10 * num))


def _start(
    wave: Wave, mode: str, known_to_fit: bool, data: Dataset, checkpoints: Checkpoints, step: int
) -> tuple[placing.Placed, Hypers, TrainState, float]:
    """Put a wave on the devices, compiled: where; its hypers and its state there; its seconds so far.

    Raises:
        OutOfMemory: it would not fit.
    """
    program = wave.group.program
    placed = placing.place(program, data, wave.size, mode, known_to_fit=known_to_fit)
    hypers = placed.hypers(wave.hypers)
    seconds = 0.0
    if step:
        saved, counters = checkpoints.restore(step)
        template = sweep.state_shapes(program, placed.mesh, placed.size)
        state = put_lanes(pad_lanes(as_tree(saved, template), placed.size), placed.mesh)
        seconds = counters["seconds"]
    else:
        state = sweep.compiled_init(program, placed.mesh)(hypers)
    return placed, hypers, jax.block_until_ready(state), seconds


def _look(watch: Watch, placed: placing.Placed, hypers: Hypers, state: TrainState) -> dict[str, np.ndarray]:
    """Score the lanes where they lie.

    Raises:
        InputError: memory has run out in one of several processes, which cannot be told to halve the wave together.
    """
    try:
        return watch.score(placed.program, hypers, state.networks, placed.data)
    except Exception as error:
        if hosts.count() == 1 or not memory.is_exhausted(error):
            raise
        raise InputError(
            f"no memory is left to score lanes while they train ({memory.reason(error)}); "
            "lower --max_lanes, or leave --eval_every out: the same command then goes on"
        ) from None


class _Saver:
    """Says when a checkpoint is due, so that saving takes at most a twentieth of the time, and writes it."""

    def __init__(self, checkpoints: Checkpoints, num_lanes: int, interval: float, seconds: float):
        self._checkpoints, self._num_lanes, self._interval = checkpoints, num_lanes, interval
        self._before, self._begin, self._last, self._cost = seconds, time.perf_counter(), time.perf_counter(), 0.0
        self.paused = 0.0  # seconds of this run that were not training

    def seconds(self) -> float:
        """Return how long the wave has been trained, this run and those before."""
        return self._before + time.perf_counter() - self._begin - self.paused

    def pause(self, seconds: float) -> None:
        """Do not count these seconds as training."""
        self.paused += seconds

    def due(self) -> bool:
        return time.perf_counter() - self._last > max(self._interval, 20 * self._cost)

    def save(self, step: int, state: TrainState) -> None:
        begin = time.perf_counter()
        self._checkpoints.save(step, state, {"step": step, "lanes": self._num_lanes, "seconds": self.seconds()})
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


def _rows(wave: Wave, step: int, columns: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Return a row for every lane that has anything to tell; what it has not is an empty cell."""
    for index, lane in enumerate(wave.lanes):
        row = {name: float(f"{values[index]:.7g}") for name, values in columns.items() if not np.isnan(values[index])}
        if row:
            yield {"lane": lane, "step": step, **row}
