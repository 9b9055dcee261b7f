"""Plots of what was measured while training: loss terms, and scores where they were. Knows no metric."""

from collections.abc import Sequence

import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxvae.evaluate.scoring import WHILE_TRAINING
from jaxvae.report import reading, style, wording
from jaxvae.report.encoding import Encoding
from jaxvae.types import Results

FIRST = ("loss", "nll", "kl")
MAX_LINES = 200  # of a panel; more lanes only make a band of one colour
Curves = dict[int, tuple[np.ndarray, np.ndarray]]
"""Steps and finite values of each lane, up to where it was frozen, by its number."""


@style.styled
def plot_training_curves(results: Results) -> Figure | None:
    """Training.

    Loss terms on training batches against the step, one thin line for each lane. A dashed line that ends in a × is a
    lane that diverged: it was frozen there while its siblings went on. Terms of one objective alone, a critic's
    accuracy say, show its lanes alone. Of more than 200 lanes, 200 are drawn, evenly through settings and seeds.
    """
    others = {"lane", "step", *WHILE_TRAINING, *reading.curves(results)}
    names = [name for name in results.history if name not in others]
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    return _draw(results, names, may_be_logarithmic=True)


@style.styled
def plot_score_curves(results: Results) -> Figure | None:
    """Scores while training.

    Scores of the evaluation set against the step, one thin line for each lane, measured as the scores after training
    are: the last point of a line is the lane's score. A dashed line that ends in a × is a lane that diverged. Of scores
    marked ↓ lower is better. Of more than 200 lanes, 200 are drawn, evenly through settings and seeds.
    """
    return _draw(results, reading.by_weight(results, reading.curves(results)), may_be_logarithmic=False)


def _draw(results: Results, names: list[str], *, may_be_logarithmic: bool) -> Figure | None:
    names = [name for name in names if _is_worth_a_panel(results, name)]
    if not names:
        return None
    encoding = Encoding(results)
    made, panels = style.panels(len(names), extra_width=1.0)
    lanes = reading.spread_out(reading.ordered(results), MAX_LINES)
    for axes, name in zip(panels, names, strict=True):
        _panel(axes, encoding, lanes, name, may_be_logarithmic)
    told = wording.left_out(len(lanes), len(results.lanes), "lanes, evenly through the sweep", "all in history.csv")
    style.note_below(made, told)
    encoding.add_scale(made, panels)
    handles = encoding.handles(lines=True)
    if reading.unhealthy(results):
        look = {"color": style.FAINT, "linestyle": "--", "marker": "x", "mec": style.ALARM}
        handles.append(Line2D([], [], **look, label="did not finish"))
    style.legend_above(made, handles)
    return made


def _is_worth_a_panel(results: Results, name: str) -> bool:
    column = np.asarray(results.history[name])
    return column.dtype.kind in "fiub" and len(column) > 0 and bool(np.isfinite(column.astype(float)).any())


def _panel(axes: Axes, encoding: Encoding, lanes: list[reading.Lane], name: str, may_be_logarithmic: bool) -> None:
    healthy = []
    many = len(encoding.results.lanes) > 24
    known = curves(encoding.results, lanes, name)
    for lane in lanes:
        if lane.get("lane") not in known:
            continue
        steps, found = known[lane.get("lane")]
        look = encoding.look(lane)
        style_of = {"color": look.colour, "alpha": 0.75 if many else 0.9, "linewidth": 1.0 if many else 1.4}
        if reading.is_ok(lane):
            healthy.append(found)
            axes.plot(steps, found, linestyle=look.dashes, marker="." if len(steps) == 1 else None, **style_of)
        else:
            axes.plot(steps, found, linestyle="--", **style_of)
            axes.scatter(steps[-1:], found[-1:], marker="x", s=40, color=style.ALARM, zorder=4)
    _limits(axes, healthy, may_be_logarithmic)
    if name in reading.COUNTS:
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, integer=True))
    axes.set_title(wording.short_title(name), loc="left")
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(short_step))
    if np.ptp(axes.dataLim.intervalx) == 0:
        middle = axes.dataLim.intervalx[0]
        axes.set_xlim(middle - 1, middle + 1)


def short_step(step: float, _: int | None = None) -> str:
    """Write a number of steps on an axis: 500, 20k, 1.5M."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if abs(step) >= size:
            return f"{step / size:g}{unit}"
    return f"{step:g}"


def curves(results: Results, lanes: Sequence[reading.Lane], name: str) -> Curves:
    """Return the curves of some lanes of a column of the history; a lane without any value has none.

    The history is gone through once, however many lanes there are.
    """
    ends = {lane.get("lane"): reading.stopped_at(lane) for lane in lanes}
    numbers, steps = np.asarray(results.history["lane"]), np.asarray(results.history["step"])
    values = np.asarray(results.history[name]).astype(float)
    wanted = np.isfinite(values) & np.isin(numbers, list(ends))
    numbers, steps, values = numbers[wanted], steps[wanted], values[wanted]
    order = np.lexsort((steps, numbers))
    numbers, steps, values = numbers[order], steps[order], values[order]
    own, starts = np.unique(numbers, return_index=True)
    found: Curves = {}
    for lane, start, stop in zip(own.tolist(), starts, [*starts[1:], len(numbers)], strict=True):
        if ends[lane] is not None:
            stop = start + np.searchsorted(steps[start:stop], ends[lane], "right")
        if stop > start:
            found[lane] = steps[start:stop], values[start:stop]
    return found


def _limits(axes: Axes, healthy: list[np.ndarray], may_be_logarithmic: bool) -> None:
    """Scale a panel for its healthy lanes: the last gasp of a diverging one would flatten all others."""
    if not healthy:
        return
    lowest, highest = min(map(np.min, healthy)), max(map(np.max, healthy))
    settled = np.median([found[-1] for found in healthy])
    # An untrained network's loss is tens of times its last one; a linear axis would spend itself on the first steps.
    if may_be_logarithmic and lowest > 0 and highest > 5 * settled:
        axes.set_yscale("log")
        axes.set_ylim(lowest / 1.1, highest * 1.1)
        # Less than two decades would show a single power of ten.
        subs = (1, 2, 5) if highest / lowest < 300 else (1,)
        axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=subs))
        axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        return
    margin = 0.05 * (highest - lowest) or 0.05 * abs(highest) or 1.0
    axes.set_ylim(lowest - margin, highest + margin)
