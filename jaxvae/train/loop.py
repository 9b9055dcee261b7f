"""Time: train every group of a sweep wave by wave, print, save, resume, stop when asked. Knows no architecture."""

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
            step = Checkpoints(path / wave.directory).latest() if (path / wave.directory).exists() else None
            saved |= dict.fromkeys(wave.lanes, step or 0)
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
    checkpoints = Checkpoints(path / wave.directory, create=True)
    try:
        step = checkpoints.latest() or 0
        if step >= spec.steps:
            return
        program, num_lanes = wave.group.program, len(wave.lanes)
        title = f"{title} {wave.group.name}, {num_lanes} lane{'s' * (num_lanes > 1)}"
        mesh = sweep.make_mesh(wave.size)
        size = sweep.padded_size(wave.size, mesh)
        data = sweep.put_everywhere(data, mesh)
        hypers = sweep.put_lanes(sweep.pad_lanes(wave.hypers, size), mesh)

        begin = time.perf_counter()
        mode = run["modes"].get(wave.group.name) or spec.lanes
        if mode == "auto":
            mode = sweep.fastest_mode(program, mesh, data, hypers)
        run["modes"][wave.group.name] = mode
        workdir.write_json(path / "run.json", run)
        steps = sweep.compiled_steps(program, mesh, mode)
        init = sweep.compiled_init(program, mesh)
        if step:
            saved, counters = checkpoints.restore(step)
            template = jax.eval_shape(init, hypers)
            state = sweep.put_lanes(sweep.pad_lanes(as_tree(saved, template), size), mesh)
            seconds = counters["seconds"]
        else:
            state, seconds = init(hypers), 0.0
        state, _ = jax.block_until_ready(steps(data, hypers, state, jnp.int32(0)))  # compile
        ready = time.perf_counter() - begin
        resumed = f", going on from step {step:,}" if step else ""
        say(
            f"{title}: {mode} on {mesh.size} {mesh.devices.flat[0].platform} device(s), ready in {ready:.1f} s{resumed}"
        )

        progress = _Progress(title, spec.steps, num_lanes, say)
        window = _Window(num_lanes)
        begin, last_save, save_cost, chunk = time.perf_counter(), time.perf_counter(), 0.0, 1
        while step < spec.steps:
            num = min(chunk, spec.log_every - step % spec.log_every, spec.steps - step)
            started = time.perf_counter()
            state, sums = steps(data, hypers, state, jnp.int32(num))
            sums = {name: np.asarray(values, np.float64)[:num_lanes] for name, values in sums.items()}
            spent = time.perf_counter() - started
            step += num
            chunk = max(1, min(int(num * CHUNK_SECONDS / spent) if spent > 0 else num, 10 * num))
            window.add(sums)
            if step % spec.log_every == 0 or step == spec.steps:
                means = window.close()
                history.append(_rows(wave, step, means))
                progress.means = means
            status = np.asarray(state.status)[:num_lanes]
            progress.show(step, num, spent, status)

            now = time.perf_counter()
            due = now - last_save > max(spec.save_seconds, 20 * save_cost)
            if due or stop.received or step == spec.steps:
                counters = {"step": step, "seconds": seconds + now - begin}
                real = jax.tree.map(lambda leaf: leaf[:num_lanes], state) if size > num_lanes else state
                checkpoints.save(step, real, counters)
                last_save = time.perf_counter()
                save_cost = last_save - now
            if stop.received:
                checkpoints.wait()
                raise Interrupted(stop.received)
        run["seconds"][wave.directory] = seconds + time.perf_counter() - begin
        checkpoints.wait()
        workdir.write_json(path / "run.json", run)
        progress.finish(status)
    finally:
        checkpoints.close()


class _Window:
    """Means of the logs over the steps since the last log point, in float64 so that chunking does not show."""

    def __init__(self, num_lanes: int):
        self._sums: dict[str, np.ndarray] = {}
        self._num_lanes = num_lanes

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

    def __init__(self, title: str, steps: int, num_lanes: int, say: Callable[[str], None]):
        self.title, self.steps, self.num_lanes, self.say = title, steps, num_lanes, say
        self.means: dict[str, np.ndarray] = {}
        self._rate = 0.0  # lane-steps a second, smoothed
        self._live = sys.stdout.isatty()
        self._begin = self._shown = time.perf_counter()

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

    def finish(self, status: np.ndarray) -> None:
        self.say(f"  trained in {clock(time.perf_counter() - self._begin)}")


def clock(seconds: float) -> str:
    """Return seconds as "1:02:03", "2:03" or "3 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
