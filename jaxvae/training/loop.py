"""Time: train every group of a sweep wave by wave, print, save, resume, stop when asked. Knows no architecture."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import ledger
from jaxvae.asked.spec import Group, Spec
from jaxvae.data.grid import Dataset
from jaxvae.parallel import compiling, hosts, machine, terminal
from jaxvae.parallel.lanes import fetch, pad_lanes, put_lanes
from jaxvae.parallel.stopping import Interrupted, StopSignals
from jaxvae.training import history, memory, placing, sweep
from jaxvae.training.placing import Placed
from jaxvae.training.progress import Progress, clock
from jaxvae.training.saving import Saver
from jaxvae.types import Hypers, InputError, TrainState, Watch
from jaxvae.workdir import records, tables
from jaxvae.workdir.checkpoint import Checkpoints, as_tree
from jaxvae.workdir.plan import Plan, fingerprint
from jaxvae.workdir.records import Label
from jaxvae.workdir.waves import Wave

CHUNK_SECONDS = 1.0
"""About how long the device works between two looks of the host: progress, saves, signals."""

CHUNK_STEPS, LONGEST_CHUNK = 8, 10.0
"""So many steps are taken at least, if they take no longer than so many seconds: lanes that run in turn change places
between calls, and a large state is slow to fetch."""


@dataclasses.dataclass
class Run:
    """What is the same for all waves of one call of `fit`."""

    spec: Spec
    data: Dataset
    path: pathlib.Path
    plan: Plan  # changes as the run goes on, as the history grows
    history: tables.Table
    watch: Watch | None  # None where nothing is scored while lanes train
    stop: StopSignals
    say: Callable[[str], None]
    meanwhile: Iterator[None]  # the host's work while devices are at theirs, a piece at a time
    listener: history.Listener = history.NOBODY  # hears what the history says

    def is_due(self, every: int, step: int) -> bool:
        """Return whether something that is done every so many steps, and at the last one, is done at this step."""
        return step % every == 0 or step == self.spec.steps

    def steps_to_stop(self, step: int) -> int:
        """Return the number of steps from this one to the next at which something is due."""
        stops = [self.spec.log_every, *([self.spec.eval_every] if self.watch else [])]
        return min(self.spec.steps - step, *(every - step % every for every in stops))


def fit(
    spec: Spec,
    groups: list[Group],
    data: Dataset,
    path: pathlib.Path,
    say: Callable[[str], None] = print,
    watch: Watch | None = None,
    *,
    go_back: bool = False,
    meanwhile: Iterable[None] = (),
    listener: history.Listener = history.NOBODY,
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
        go_back: whether a wave whose newest checkpoint is damaged goes on from the one before it.
        meanwhile: what the host can do while the devices are at work, a piece at a time, each of a second or less.
        listener: hears in the first process what history.csv says, as it is written.

    Returns:
        Whether anything was left to train.

    Raises:
        Interrupted: a signal asked to stop; all is saved.
        CheckpointError: a checkpoint that is there cannot be read, or a new one not be written.
        WorkdirError: the sweep was begun on other data, or processes differ in what they train.
        InputError: a single lane does not fit into memory.
    """
    # From here on: a KeyboardInterrupt in the middle of tracing or of an exchange may get lost there.
    with StopSignals() as stop, compiling.side_by_side():
        _check_alike(spec, data)
        plan = Plan.take_up(groups, data, path, say, go_back=go_back)
        watch = watch if spec.eval_every else None
        table = history.open_table(groups, data, path, watch)
        history.cut_back(table, plan, path, spec, say, listener)
        run = Run(spec, data, path, plan, table, watch, stop, terminal.steady(say), iter(()), listener)
        if compiling.is_worthwhile():
            run.meanwhile = itertools.chain(_compile_others(run), meanwhile)
        return _train(run)


def _check_alike(spec: Spec, data: Dataset) -> None:
    """Raise WorkdirError where processes differ in what they train."""
    given = hosts.gather([spec.to_json() | {"data_dir": None}, fingerprint(data)])
    if any(one != given[0] for one in given):
        raise records.WorkdirError(
            "the processes of this sweep have not all been given the same flags and the same data; "
            "start them with one command, and give every machine the same files"
        )


def _train(run: Run) -> bool:
    """Train wave after wave; return whether there was anything left to do."""
    number, trained = 0, False
    fitted: set[tuple[str, int]] = set()
    while number < len(run.plan.waves):
        group = run.plan.waves[number].group
        if run.plan.mode(group) is None:
            lanes, most = _mode_asked_for(run, group), run.spec.max_lanes
            run.plan.choose(group, *placing.choose(group.program, run.data, group.hypers, lanes, most, run.say))
        wave, title, lacking = run.plan.waves[number], f"wave {number + 1}/{len(run.plan.waves)}", None
        kind = (group.name, wave.size)
        try:
            trained |= _train_wave(run, wave, title, known_to_fit=kind in fitted)
        except Exception as error:
            if not memory.is_exhausted(error):
                raise
            lacking = memory.reason(error)
        # Only here, past the handler, is all that the wave had on the devices let go of.
        if lacking is None:
            fitted.add(kind)
            number += 1
            _stop_if_asked(run)
        else:
            _halve(run, number, lacking)
    return trained


def _compile_others(run: Run) -> Iterator[None]:
    """Begin to compile what groups need that have not been begun, a group at a time."""
    limit = memory.most_lanes(run.spec.max_lanes, jax.device_count(), jax.default_backend())
    for group in {wave.group.key: wave.group for wave in run.plan.waves}.values():
        if run.plan.mode(group) is None:
            yield placing.begin(group.program, run.data, group.num_lanes, limit, _mode_asked_for(run, group))


def _mode_asked_for(run: Run, group: Group) -> str:
    """Return the mode that a group is to run in, or "auto".

    Where none is asked for, lanes that were added to others of their program run as those do, so that they round alike.
    """
    before = run.plan.mode_before(group) if run.spec.lanes == "auto" else None
    for_fewer = before == "split" and "split" not in placing.modes(group.num_lanes)
    return run.spec.lanes if before is None or for_fewer else before


def _stop_if_asked(run: Run) -> None:
    """Stop between two waves: the next one takes a while to compile, and would be asked to stop at its first step.

    Raises:
        Interrupted: a signal asked to; all is saved.
    """
    if asked := next(filter(None, hosts.gather(run.stop.received)), None):
        raise Interrupted(asked)


def _halve(run: Run, number: int, reason: str) -> None:
    """Go on with half as many lanes at a time where a wave ran out of memory.

    Raises:
        InputError: it is a single lane.
        Interrupted: a signal asked to stop; all is saved.
    """
    _stop_if_asked(run)
    failed = run.plan.waves[number]
    if failed.size == 1:
        raise placing.too_large(failed.group.program, *placing.least(failed.group.program))
    run.say(f"out of memory with {failed.size} lanes at a time ({reason}): going on with {-(-failed.size // 2)}")
    run.plan.halve(number)
    history.cut_back(run.history, run.plan, run.path, run.spec, run.say, run.listener)


@dataclasses.dataclass
class _Underway:
    """A wave that is being trained: all that changes from chunk to chunk, and where it lies."""

    wave: Wave
    placed: Placed
    hypers: Hypers  # [R'], R' = placed.size: lanes past the wave's own only pad
    state: TrainState  # [R']
    step: int
    saver: Saver
    progress: Progress
    window: history.Window
    status: np.ndarray | None = None  # of the state, on the host; None before the first step
    chunk: int = 1  # steps to take at once


def _train_wave(run: Run, wave: Wave, title: str, *, known_to_fit: bool) -> bool:
    """Train a wave to its end; return whether there was anything left to do."""
    machine.forget_compiled()
    with _open_checkpoints(run.path / wave.directory, run.plan.label(wave)) as checkpoints:
        step = hosts.gather(checkpoints.latest() or 0)[0]
        if step >= run.spec.steps:
            return False
        underway = _begin(run, wave, title, checkpoints, step, known_to_fit=known_to_fit)
        while underway.step < run.spec.steps:
            _go_on(run, underway)
        saver = underway.saver
        with ledger.part("save"):
            saver.wait()
        run.say(f"  trained in {clock(saver.seconds())}{f', scored in {clock(saver.paused)}' if run.watch else ''}")
        return True


@contextlib.contextmanager
def _open_checkpoints(directory: pathlib.Path, label: Label) -> Iterator[Checkpoints]:
    """Open the checkpoints of a wave to write; what fails meanwhile is what is told, not that they then do not close.

    Raises:
        CheckpointError: the last one cannot be written.
    """
    checkpoints = Checkpoints(directory, label, create=True)
    try:
        yield checkpoints
    except BaseException:
        with contextlib.suppress(Exception):
            checkpoints.close()
        raise
    checkpoints.close()


def _begin(run: Run, wave: Wave, title: str, checkpoints: Checkpoints, step: int, *, known_to_fit: bool) -> _Underway:
    """Put a wave on the devices of all processes as its checkpoint of a step left it, and say so.

    Raises:
        OutOfMemory: it would not fit.
        MemoryError: memory has run out in a process.
    """
    begin, num_lanes = time.perf_counter(), len(wave.lanes)
    mode = run.plan.mode(wave.group)
    start = functools.partial(_start, wave, mode, run.data, checkpoints, step, known_to_fit=known_to_fit)
    placed, hypers, state, counters = placing.together(start)
    devices = state.step.sharding.device_set
    run.say(
        f"{title} {wave.group.name}, {num_lanes} lane{'s' * (num_lanes > 1)}: {mode} on "
        f"{len(devices)} {next(iter(devices)).platform} device{'s' * (len(devices) > 1)}"
        f"{f' of {hosts.count()} processes' if hosts.count() > 1 else ''}, "
        f"ready in {time.perf_counter() - begin:.1f} s{f', going on from step {step:,}' if step else ''}"
    )
    run.say(f"  {placed.about()}")
    progress = Progress(run.spec.steps, num_lanes, run.say)
    saver = Saver(checkpoints, num_lanes, run.spec.save_seconds, counters.get("seconds", 0.0))
    window = history.Window(counters.get("window"))
    return _Underway(wave, placed, hypers, state, step, saver, progress, window)


def _start(
    wave: Wave, mode: str, data: Dataset, checkpoints: Checkpoints, step: int, *, known_to_fit: bool
) -> tuple[Placed, Hypers, TrainState, dict[str, Any]]:
    """Put a wave on the devices, compiled: where; its hypers and its state there; the counters of its checkpoint.

    Raises:
        OutOfMemory: it would not fit.
    """
    program = wave.group.program
    placed = placing.place(program, data, wave.size, mode, known_to_fit=known_to_fit)
    hypers = placed.hypers(wave.hypers)
    counters = {}
    if step:
        saved, counters = checkpoints.restore(step)
        template = sweep.state_shapes(program, placed.mesh, placed.size)
        state = put_lanes(pad_lanes(as_tree(saved, template), placed.size), placed.mesh)
    else:
        state = placed.init(hypers)
    return placed, hypers, jax.block_until_ready(state), counters


def _go_on(run: Run, underway: _Underway) -> None:
    """Train a wave for one chunk, and do what is due then: log, score, print, save, stop.

    Raises:
        Interrupted: a signal asked to stop; the wave is saved.
    """
    num = min(underway.chunk, run.steps_to_stop(underway.step))
    with ledger.part("train"):
        spent = _take_steps(underway, num, run.meanwhile)
    # The first process's clock is all processes' clock; a signal to any of them stops all.
    clocks = hosts.gather([_next_chunk(num, spent), underway.saver.due(), run.stop.received])
    underway.chunk, save_due, _ = clocks[0]
    asked_to_stop = next((received for _, _, received in clocks if received), None)
    if asked_to_stop and hosts.is_first():
        terminal.write(sys.stderr, "\nstopping: saving what is trained (once more to stop at once)\n")
    if columns := _measure(run, underway):
        # Before the state is saved: a checkpoint has all its rows, and no row is written twice.
        _record(run, list(history.rows(underway.wave, underway.step, columns)))
    underway.progress.show(underway.step, num, spent, underway.status[: len(underway.wave.lanes)])
    if save_due or asked_to_stop or underway.step == run.spec.steps:
        with ledger.part("save"):
            run.history.sync()
            underway.saver.save(underway.step, underway.state, underway.window.sums)
    if asked_to_stop:
        underway.saver.wait()
        raise Interrupted(asked_to_stop)


def _record(run: Run, rows: list[dict[str, Any]]) -> None:
    """Write rows of the history, and let be heard of them.

    Raises:
        WorkdirError: the disk is full, say.
    """
    try:
        run.history.append(rows)
    except OSError as error:
        raise records.WorkdirError(
            f"cannot write to {run.history.path} ({error.strerror or error}); "
            "free space there, and the same command goes on from the last checkpoint"
        ) from error
    if hosts.is_first():
        run.listener.rows(rows)


def _take_steps(underway: _Underway, num: int, meanwhile: Iterator[None]) -> float:
    """Take so many steps; return the seconds they took. The host does a piece of other work meanwhile.

    Raises:
        MemoryError: memory has run out in a process.
    """
    begin, placed, num_lanes = time.perf_counter(), underway.placed, len(underway.wave.lanes)
    given = (placed.data, underway.hypers)

    def take():
        taken = placed.steps(*given, underway.state, jnp.int32(num))
        if num > 1:  # a single step is over before
            with contextlib.suppress(Exception):  # what fails ahead fails again, and is told, when its turn comes
                next(meanwhile, None)
        return jax.block_until_ready(taken)

    underway.state, sums = placing.together(take)
    sums, underway.status = fetch((sums, underway.state.status))
    underway.window.add({name: values[:num_lanes] for name, values in sums.items()})
    underway.step += num
    return time.perf_counter() - begin


def _next_chunk(num: int, spent: float) -> int:
    """Return how many steps to take at once, after `num` steps took `spent` seconds."""
    rate = num / spent
    return max(1, min(int(max(rate * CHUNK_SECONDS, min(CHUNK_STEPS, rate * LONGEST_CHUNK))), 10 * num))


def _measure(run: Run, underway: _Underway) -> dict[str, np.ndarray]:
    """Return what is to be told of the lanes at this step: means of the logs and scores, where they are due."""
    columns: dict[str, np.ndarray] = {}
    if run.is_due(run.spec.log_every, underway.step):
        columns = underway.progress.means = underway.window.close()
    if run.watch and run.is_due(run.spec.eval_every, underway.step):
        begin = time.perf_counter()
        scores = _look(run.watch, underway)
        underway.saver.pause(time.perf_counter() - begin)
        # A diverged lane stays where it was: its scores would only be those of an earlier step once more.
        columns = columns | {name: np.where(underway.status < 0, v, np.nan) for name, v in scores.items()}
    return columns


def _look(watch: Watch, underway: _Underway) -> dict[str, np.ndarray]:
    """Score the lanes where they lie.

    Raises:
        InputError: memory has run out in one of several processes, which cannot be told to halve the wave together.
    """
    placed = underway.placed
    try:
        return watch.score(placed.program, underway.hypers, underway.state, placed.data)
    except Exception as error:
        if hosts.count() == 1 or not memory.is_exhausted(error):
            raise
        raise InputError(
            f"no memory is left to score lanes while they train ({memory.reason(error)}); "
            "lower --max_lanes, or leave --eval_every out: the same command then goes on"
        ) from None
