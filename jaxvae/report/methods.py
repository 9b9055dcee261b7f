"""Objectives, or architectures, beside each other: how scores spread over settings and seeds. Knows no training."""

import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae.report import reading, style, wording
from jaxvae.report.encoding import Encoding
from jaxvae.types import Results

ROW = 0.27  # inches a method takes in each panel
PANEL_WIDTH = 2.7  # inches
SPREAD = 0.24  # of a row: how far from its middle the dots of settings stand


@style.styled
def plot_method_comparison(results: Results) -> Figure | None:
    """Methods compared.

    A row is a method, a panel a score; higher is better unless a ↓ says otherwise. A dot is a lane: of one setting the
    seeds lie on one level, and the darker the dots, the greater the number that was swept. The tick is the median over
    all settings and seeds, the bar holds the middle half of them, the thin line reaches from the least to the greatest.
    How far a method spreads depends on which settings it was given, so compare medians at a like reconstruction only.
    """
    found = reading.families(results)
    # The ELBO is the sum of two others.
    losses = [name for name in reading.losses(results) if name != "elbo"]
    names = [*losses, *reading.by_weight(results, reading.scores(results))]
    if len(found) < 2 or not names:
        return None
    encoding, settings = Encoding(results), reading.groups_by_family(results)
    labels = [reading.family_name(results, which) for which in found]
    margin = 0.2 + 0.095 * max(map(len, labels))
    columns = min(len(names), max(1, int((style.MAX_WIDTH - margin) / PANEL_WIDTH)), 4)
    rows = -(-len(names) // columns)
    made = style.figure(margin + PANEL_WIDTH * columns, (0.75 + ROW * len(found)) * rows)
    for index, name in enumerate(names):
        axes = made.add_subplot(rows, columns, index + 1)
        for row, which in enumerate(found):
            _method(axes, row, settings[which], name, encoding.hue(which))
        if name in ("kl", "kl_standard"):
            _make_logarithmic_if_wide(
                axes, [reading.number(lane, name) for lane in filter(reading.is_ok, results.lanes)]
            )
        axes.set_title(wording.short_title(name) + " ↓" * (name == "reconstruction"), loc="left")
        axes.set_yticks(range(len(found)), labels if index % columns == 0 else [""] * len(found))
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        if axes.get_xscale() == "linear":
            axes.locator_params(axis="x", nbins=5, integer=name in reading.COUNTS)
        axes.margins(x=0.06)
    return made


def _make_logarithmic_if_wide(axes: Axes, values: list[float]) -> None:
    """Give a panel a logarithmic axis where one method's numbers are many times another's: a KL that nothing bounds."""
    positive = [value for value in values if value > 0]
    if positive and max(positive) > 10 * float(np.median(positive)) and min(positive) > 1e-3:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def _method(axes: Axes, row: int, settings: list[reading.Group], name: str, colour: str) -> None:
    """Draw the lanes of one method in its row: dots by setting, and what they amount to."""
    median, least, greatest, number = reading.median_and_range([lane for s in settings for lane in s.lanes], name)
    if not number:
        where = {"va": "center", "ha": "center", "transform": axes.get_yaxis_transform()}
        axes.text(0.5, row, "no result", color=style.FAINT, fontsize=10, **where)
        return
    levels = np.linspace(-SPREAD, SPREAD, len(settings)) if len(settings) > 1 else [0.0]
    every, heights, shades = [], [], []
    for index, (setting, level) in enumerate(zip(settings, levels, strict=True)):
        here = [reading.number(lane, name) for lane in setting.lanes if reading.is_ok(lane)]
        here = [value for value in here if np.isfinite(value)]
        every += here
        heights += [row + level] * len(here)
        shades += [style.shade(colour, index, len(settings))] * len(here)
    axes.scatter(every, heights, s=16, color=shades, linewidth=0, zorder=4)
    low, high = np.quantile(every, (0.25, 0.75))
    axes.plot([least, greatest], [row, row], color=colour, linewidth=1, alpha=0.6, zorder=1)
    axes.plot([low, high], [row, row], color=colour, linewidth=8, alpha=0.22, solid_capstyle="butt", zorder=2)
    axes.plot([median, median], [row - 0.36, row + 0.36], color="#222222", linewidth=1.8, zorder=3)
