"""Figures drawn by two processes, since matplotlib is Python's work and fills one core. Knows no plot by name.

python -m jaxvae.report.drawing     is the other process: it is told the results, then names, and says what it has drawn
"""

import collections
import contextlib
import logging
import os
import pathlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from matplotlib.figure import Figure

from jaxvae import files
from jaxvae.parallel import live
from jaxvae.parallel.machine import num_cores
from jaxvae.report import style
from jaxvae.report.plots import PLOTS
from jaxvae.types import Results

WORTHWHILE = 6
"""Plots from which on another process, which takes a second or two to begin, is worth its while."""

LONGEST = 120.0
"""Seconds to wait for the other process to end, once it has nothing more to do."""


def draw(name: str, results: Results, directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Draw a plot and write it to `directory` as PNG; return {name: path}, PLOT_KEY for each of several figures.

    In the formats that the sweep's `figure_format` names too, beside it.
    """
    drawn = PLOTS[name](results)
    parts = {"": drawn} if isinstance(drawn, Figure) else drawn or {}
    labels = {f"{name}_{part}" if part else name: made for part, made in parts.items()}
    also = [kind for kind in results.spec.get("figure_format") or () if kind in style.VECTORS]
    for label, made in labels.items():
        for kind in also:
            files.replace(directory / f"{label}.{kind}", style.as_vector(made, kind))
    return {label: save_figure(made, directory / f"{label}.png") for label, made in labels.items()}


def save_figure(made: Figure, path: pathlib.Path) -> pathlib.Path:
    """Write one figure as PNG, atomically."""
    files.replace(path, style.as_png(made))
    return path


def draw_all(names: Sequence[str], results: Results, directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Draw plots and write them to `directory`, those that fail said and left out; return {name: path} in their order.

    Another process takes plots from the end of the list, where this machine has a core for it. What it cannot draw
    is drawn here, as all is where it does not even start.
    """
    waiting, found = collections.deque(names), {}
    with live.line("drawing", len(names), "figures") as tick:
        with _another(waiting, results, directory, found, tick):
            _draw_here(waiting, results, directory, found, tick)
        _draw_here(waiting, results, directory, found, tick)  # what the other process has given back
    return {label: path for name in names for label, path in found[name].items()}


def _draw_here(
    waiting: collections.deque, results: Results, directory: pathlib.Path, found: dict, tick: Callable[[int], None]
) -> None:
    while waiting:
        name = waiting.popleft()
        found[name] = {}
        try:
            found[name] = draw(name, results, directory)
        except Exception:
            # Hours of training stand behind these results; one picture that fails must not cost the others.
            logging.getLogger(__name__).exception("The plot %r failed and is left out of the report.", name)
        tick(1)


@contextlib.contextmanager
def _another(
    waiting: collections.deque,
    results: Results,
    directory: pathlib.Path,
    found: dict[str, dict[str, pathlib.Path]],
    tick: Callable[[int], None],
) -> Iterator[None]:
    """Let another process draw what is waiting, from the end, until nothing is; wait for the plot it is at."""
    if len(waiting) < WORTHWHILE or num_cores() < 2 or not sys.executable:
        yield
        return
    # It computes nothing, so it must not take an accelerator's memory; and Ctrl-C is for this process to see to.
    path = os.pathsep.join(filter(None, [str(pathlib.Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    told = {"env": os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path}, "start_new_session": True}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        other = subprocess.Popen([sys.executable, "-P", "-m", __name__], **pipes, **told)
    except OSError:
        yield
        return
    try:
        asking = threading.Thread(target=_ask, args=(other, waiting, results, directory, found, tick), daemon=True)
        asking.start()
        yield
        asking.join(LONGEST)
    finally:
        other.kill()
        other.wait()
        asking.join()
        for pipe in (other.stdin, other.stdout):
            with contextlib.suppress(OSError):
                pipe.close()


def _ask(
    other: subprocess.Popen,
    waiting: collections.deque,
    results: Results,
    directory: pathlib.Path,
    found: dict[str, dict[str, pathlib.Path]],
    tick: Callable[[int], None],
) -> None:
    """Hand plots to the other process, one at a time; give back the one that it fails at, and hand over no more."""
    name = None
    # Whatever goes wrong over there, or on the way, is no reason to go without a figure.
    with contextlib.suppress(Exception):
        _write(other.stdin, (results, directory))
        if pickle.load(other.stdout) != "ready":
            return
        while True:
            try:
                name = _own(waiting)
            except IndexError:
                return
            _write(other.stdin, name)
            labels = pickle.load(other.stdout)
            found[name], name = {label: directory / f"{label}.png" for label in labels}, None
            tick(1)
    if name is not None:
        waiting.append(name)


def _own(waiting: collections.deque) -> str:
    """Take the last plot that is waiting and is the package's own: no other process knows those of plug-ins."""
    for name in list(waiting)[::-1]:
        if name in PLOTS.built_in and PLOTS[name].__module__.partition(".")[0] == __package__.partition(".")[0]:
            with contextlib.suppress(ValueError):
                waiting.remove(name)
                return name
    raise IndexError("nothing is waiting")


def _write(pipe: BinaryIO, what: object) -> None:
    pickle.dump(what, pipe)
    pipe.flush()


def _draw_for_another(told: BinaryIO, say: BinaryIO) -> None:
    """Draw what one process, which has started this one, asks for, until it asks for nothing more."""
    results, directory = pickle.load(told)
    _write(say, "ready")
    with contextlib.suppress(EOFError):
        while True:
            name = pickle.load(told)
            _write(say, list(draw(name, results, directory)))


if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout = sys.stderr  # whatever is printed is no answer
    _draw_for_another(sys.stdin.buffer, answers)
