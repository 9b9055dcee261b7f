"""Plots of a quantity against the swept hyper: one panel a quantity, one line a family. Knows no losses, no metrics."""

import collections
from typing import Any

import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from jaxvae.report import reading, style, wording
from jaxvae.report.encoding import Encoding, is_geometric
from jaxvae.types import Results

MAX_LEVEL = 3  # letters of a slot's label that still fit under it without a slant
MAX_LINES = 8  # beyond this, lines of one family are averaged over its other hypers
MANY = 100  # dots above each other; more are smaller and fainter, so that the mean shows
MAX_SLOTS = 30  # settings in one strip; with more, figures grow wider than a page


@style.styled
def plot_scores(results: Results) -> Figure | None:
    """Scores against what was swept.

    One panel for each score, higher is better unless a ↓ says otherwise. A small dot is one lane (one seed), the line
    and the large marker are the mean over seeds, the shade is ± one standard deviation. Objectives that were not swept
    along this axis stand in a strip of their own at the right, at their own values. A red × at the foot marks a lane
    that diverged; it is not in the mean.
    """
    return _draw(results, reading.by_weight(results, reading.scores(results)))


@style.styled
def plot_losses(results: Results) -> Figure | None:
    """Reconstruction, KL and ELBO against what was swept.

    Measured on the whole evaluation set after training, in nats per image. Reconstruction is the negative log
    likelihood (lower is better), KL is the information the code keeps about the image, and the ELBO (higher is
    better) is minus their sum. The generalisation gap, where there are images that were not trained on, is the ELBO of
    training images less that of those: above 0 is over-fitting. Dots, lines, shades and × as above.
    """
    return _draw(results, reading.losses(results), unit="nats per image")


def _draw(results: Results, names: list[str], *, unit: str = "") -> Figure | None:
    # A single setting has nothing to be compared with: the table says it better than a lonely dot.
    if not names or len(results.lanes) < 2:
        return None
    layout = _Layout(results)
    rows, columns = style.grid_shape(len(names), layout.width)
    made = style.figure(layout.width * columns, (style.PANEL[1] + layout.label_height) * rows)
    outer = made.add_gridspec(rows, columns)
    for index, name in enumerate(names):
        inner = outer[index // columns, index % columns].subgridspec(
            1, len(layout.strips), width_ratios=layout.ratios, wspace=0.02
        )
        shared = None
        for position, strip in enumerate(layout.strips):
            axes = made.add_subplot(inner[position], sharey=shared)
            shared = shared or axes
            strip.draw(axes, name)
            # Room at the foot, so that no × of a diverged lane sits on a result.
            axes.locator_params(axis="y", nbins=6, integer=name in reading.COUNTS)
            axes.margins(y=0.12 if reading.unhealthy(results) else 0.06)
            if position:
                axes.tick_params(axis="y", left=False, labelleft=False)
                axes.spines["left"].set_visible(False)
                axes.set_facecolor("#F7F7F7")
            else:
                axes.set_title(wording.short_title(name), loc="left")
                axes.set_ylabel(unit if index % columns == 0 else "")
    style.legend_above(made, layout.handles())
    return made


class _Layout:
    """The strips side by side in each panel: the swept axis first, then the families that do not move on it."""

    def __init__(self, results: Results):
        self.encoding = Encoding(results)
        moving = self.encoding.moving
        still = [which for which in self.encoding.families if which not in moving]
        self.series = _series(results, self.encoding)
        self.strips: list[Any] = []
        if moving:
            self.strips.append(_Swept(self.encoding, self.series))
        every = reading.groups_by_family(results)
        by_family = {which: every[which] for which in still}
        self.strips += [_Slots(self.encoding, found) for found in by_family.values() if len(found) > 1]
        alone = [group for found in by_family.values() for group in found if len(found) == 1]
        if alone:
            self.strips.append(_Slots(self.encoding, alone))
        self.ratios = [strip.width for strip in self.strips]
        self.width = max(2.5, sum(self.ratios) + 0.6)  # the longest titles need that much
        self.label_height = max(strip.label_height for strip in self.strips)

    def handles(self) -> list[Line2D]:
        handles = []
        if len(self.series) > 1 or len(self.encoding.families) > 1:
            for label, (colour, marker, _) in self.series.items():
                handles.append(Line2D([], [], color=colour, marker=marker, markersize=7, label=label))
            for which in self.encoding.families:
                if which not in self.encoding.moving:
                    look = {"color": self.encoding.hue(which), "marker": self.encoding.marker(which), "markersize": 7}
                    handles.append(Line2D([], [], linestyle="none", label=self.encoding.family_label(which), **look))
        if reading.unhealthy(self.encoding.results):
            handles.append(Line2D([], [], linestyle="none", marker="x", color=style.ALARM, label="did not finish"))
        return handles


def _series(results: Results, encoding: Encoding) -> dict[str, tuple[Any, str, list[reading.Lane]]]:
    """Return {label: (colour, marker, lanes)}: a line a family and value of its other hypers, if those are few."""
    found = [g for g in reading.groups(results, ignore=(encoding.main or "",)) if g.family in encoding.moving]
    if len(found) > MAX_LINES:
        found = []
        for which in encoding.moving:
            lanes = [lane for lane in reading.ordered(results) if reading.family(lane) == which]
            found.append(reading.Group(which, {}, lanes))
    series = {}
    for group in found:
        siblings = [other for other in found if other.family == group.family]
        name = encoding.family_label(group.family) if len(encoding.families) > 1 else ""
        label = ", ".join(part for part in (name, wording.hypers(group.hypers)) if part)
        colour = style.shade(encoding.hue(group.family), siblings.index(group), len(siblings))
        marker = style.MARKERS[found.index(group) % len(style.MARKERS)]
        if len(encoding.families) > 1:
            marker = encoding.marker(group.family)
        series[label] = colour, marker, group.lanes
    return series


class _Swept:
    """The axis of the main hyper."""

    def __init__(self, encoding: Encoding, series: dict[str, tuple[Any, str, list[reading.Lane]]]):
        self.main = encoding.main
        self.values = encoding.values
        self.series = series
        self.width = 2.5
        self.label_height = 0.0

    def draw(self, axes: Axes, name: str) -> None:
        for colour, marker, lanes in self.series.values():
            at: dict[float, list[reading.Lane]] = {value: [] for value in self.values}
            for lane in lanes:
                at.get(reading.number(lane, self.main), []).append(lane)
            means, deviations, _ = np.array([reading.mean_and_spread(found, name) for found in at.values()]).T
            there = np.isfinite(means)
            where = np.array(self.values)[there]
            # One seed has no spread: its band has no width there rather than a hole.
            half = np.nan_to_num(deviations[there])
            axes.fill_between(where, means[there] - half, means[there] + half, color=colour, alpha=0.15, linewidth=0)
            axes.plot(where, means[there], color=colour, marker=marker, markersize=7, markeredgecolor="white")
            for value, found in at.items():
                _dots(axes, [value] * len(found), found, name, colour)
            # A value at which every lane diverged has no result to make room for it on the axis.
            axes.plot(self.values, [means[there][0] if there.any() else 0.5] * len(self.values), alpha=0.0)
        scale_to(axes, self.values, self.main)


def scale_to(axes: Axes, values: list[float], name: str) -> None:
    """Give an axes a horizontal axis for these values of a hyper, a tick at each, logarithmic where that suits them."""
    if is_geometric(values):
        smallest = next(value for value in values if value > 0)
        # A logarithm has no place for zero; asinh does, and is a logarithm from about the smallest value on.
        kind = {"value": "asinh", "linear_width": smallest / 2} if values[0] == 0 else {"value": "log"}
        axes.set_xscale(**kind)
    shown = [values[index] for index in style.thin(values, 8)]
    axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(shown))
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: wording.hyper(float(value))))
    axes.set_xlabel(name)
    if max(len(wording.hyper(value)) for value in shown) * len(shown) > 24:
        style.slant_labels(axes)


class _Slots:
    """Families without a place on the main axis: a slot for each of their settings."""

    def __init__(self, encoding: Encoding, groups: list[reading.Group]):
        self.encoding = encoding
        self.groups, self.number = reading.spread_out(groups, MAX_SLOTS), len(groups)
        groups = self.groups
        self.width = 0.3 + 0.36 * len(groups)
        self.one_family = len({group.family for group in groups}) == 1 and len(groups) > 1
        self.longest = max(map(len, self._labels()))
        self.label_height = 0.045 * self.longest if self.longest > MAX_LEVEL else 0.0

    def draw(self, axes: Axes, name: str) -> None:
        for slot, group in enumerate(self.groups):
            colour = self.encoding.hue(group.family)
            mean, deviation, _ = reading.mean_and_spread(group.lanes, name)
            if np.isfinite(mean):
                bar = None if np.isnan(deviation) else deviation
                marker = self.encoding.marker(group.family)
                axes.errorbar(
                    slot, mean, bar, color=colour, marker=marker, markersize=8, markeredgecolor="white", elinewidth=2
                )
            # Beside the bar, which would hide them.
            _dots(axes, [slot - 0.22] * len(group.lanes), group.lanes, name, colour)
        axes.set_xlim(-0.7, len(self.groups) - 0.3)
        axes.grid(False, axis="x")
        axes.set_xticks(range(len(self.groups)), self._labels())
        if self.longest > MAX_LEVEL and len(self.groups) > 1:
            style.slant_labels(axes)
        axes.set_xlabel(self._name())

    def _name(self) -> str:
        rest = f" ({len(self.groups)} of {self.number:,})".replace(",", " ") * (len(self.groups) < self.number)
        if self.one_family:
            return ", ".join(self.groups[0].hypers) + rest
        return reading.family_kind(self.encoding.results) + rest

    def _labels(self) -> list[str]:
        if self.one_family:
            return [", ".join(map(wording.hyper, group.hypers.values())) for group in self.groups]
        return [reading.family_name(self.encoding.results, group.family) for group in self.groups]


def _dots(axes: Axes, where: list[float], lanes: list[reading.Lane], name: str, colour: Any) -> None:
    """Draw each lane as a small dot, and a × at the foot of the panel for those that diverged."""
    healthy = [(x, reading.number(lane, name)) for x, lane in zip(where, lanes, strict=True) if reading.is_ok(lane)]
    if healthy:
        size, alpha = (14, 0.55) if len(healthy) <= MANY else (6, 0.2)
        axes.scatter(*zip(*healthy, strict=True), s=size, color=colour, alpha=alpha, linewidth=0, zorder=3)
    lost = [x for x, lane in zip(where, lanes, strict=True) if not reading.is_ok(lane)]
    foot = blended_transform_factory(axes.transData, axes.transAxes)
    axes.scatter(lost, [0.04] * len(lost), marker="x", s=36, color=style.ALARM, transform=foot, zorder=4)
    for x, number in collections.Counter(lost).items():
        if number == 1:
            continue
        look = {"fontsize": 10, "color": style.ALARM, "ha": "right", "va": "center"}
        axes.annotate(str(number), (x, 0.04), (-6, 0), xycoords=foot, textcoords="offset points", **look)
