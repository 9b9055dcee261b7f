"""How a lane looks wherever it is one line or one dot among many: colour, marker, dashes, and the key to read them.

Families that move along the main hyper share one sequential colour scale and differ in marker and dashes; the others
keep a hue of their own, lighter and darker for their variants. So the colour of a number never means an objective,
nor the reverse. Where families are more than there are hues, what tells them apart comes first: each has its hue and
marker, those with the same hue another marker, and none is on the scale.
"""

import dataclasses
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxvae.report import reading, style, wording
from jaxvae.types import Results

MAX_VARIANTS = 4  # of a family that get a legend entry each


@dataclasses.dataclass(frozen=True)
class Look:
    """What one lane is drawn with."""

    colour: Any
    marker: str
    dashes: Any


class Encoding:
    """Looks of all lanes of a sweep, chosen together."""

    def __init__(self, results: Results):
        self.results = results
        self.main = reading.main_hyper(results)
        self.families = reading.families(results)
        self.moving = reading.moving_families(results)
        self.crowded = len(self.families) > len(style.QUALITATIVE)
        self.on_scale = [] if self.crowded else self.moving
        swept = [lane for lane in results.lanes if reading.family(lane) in self.moving]
        self.values = reading.values(swept, self.main) if self.main else []
        self.colours = [style.sequential()(place) for place in positions(self.values)]
        self._variants = reading.groups_by_family(results)
        self._variant_of = {
            id(lane): index
            for variants in self._variants.values()
            for index, group in enumerate(variants)
            for lane in group.lanes
        }
        self._shades = {
            which: [style.shade(self.hue(which), index, len(variants)) for index in range(len(variants))]
            for which, variants in self._variants.items()
            if which not in self.on_scale
        }
        self._place = {value: place for place, value in enumerate(self.values)}

    def hue(self, which: reading.Family) -> str:
        """Return the colour of a family, the same in every figure."""
        return style.QUALITATIVE[self.families.index(which) % len(style.QUALITATIVE)]

    def marker(self, which: reading.Family) -> str:
        """Return the marker of a family, the same in every figure."""
        index = self.families.index(which)
        return style.MARKERS[(index + index // len(style.QUALITATIVE)) % len(style.MARKERS)]

    def dashes(self, which: reading.Family) -> Any:
        """Return the dash pattern of a family; those told apart by colour have plain lines."""
        index = self.families.index(which) // len(style.QUALITATIVE)
        if which in self.on_scale:
            index = self.on_scale.index(which)
        return style.DASHES[index % len(style.DASHES)]

    def look(self, lane: reading.Lane) -> Look:
        """Return what to draw a lane with."""
        which = reading.family(lane)
        value = reading.number(lane, self.main) if self.main else np.nan
        if which in self.on_scale:
            colour = self.colours[self._place[value]] if value in self._place else style.FAINT
        else:
            colour = self._shades[which][self._variant_of[id(lane)]]
        return Look(colour, self.marker(which), self.dashes(which))

    def family_label(self, which: reading.Family) -> str:
        """Name a family, and where it stands on the main hyper if it does not move along it."""
        name = reading.family_name(self.results, which)
        if self.main is None or which in self.moving:
            return name
        lanes = [lane for lane in self.results.lanes if reading.family(lane) == which]
        own = reading.values(lanes, self.main)
        return f"{name} ({self.main}={wording.hyper(own[0])})" if own else name

    def handles(self, *, lines: bool = False) -> list[Line2D]:
        """Return legend entries: families, or their variants where those have their own colours; none for just one."""
        entries = []
        for which in self.families:
            variants = self._variants[which]
            if self.crowded:
                entries.append((which, self.hue(which), reading.family_name(self.results, which)))
            elif which in self.moving:
                entries.append((which, "#444444", self.family_label(which)))
            elif len(variants) > MAX_VARIANTS:
                entries.append((which, self.hue(which), self.family_label(which)))
            else:
                for group in variants:
                    own = {self.main: group.lanes[0].get(self.main)} if self.main else {}
                    told = wording.hypers(own | group.hypers)
                    label = ", ".join(part for part in (reading.family_name(self.results, which), told) if part)
                    entries.append((which, self.look(group.lanes[0]).colour, label))
        made = []
        for which, colour, label in entries if len(entries) > 1 else []:
            look = {"linestyle": self.dashes(which)} if lines else {"linestyle": "none", "marker": self.marker(which)}
            made.append(Line2D([], [], color=colour, label=label, markersize=8, **look))
        return made

    def add_scale(self, made: Figure, axes: list[Axes]) -> None:
        """Add the colour scale of the main hyper beside all panels: one step for each value that was swept."""
        if not self.values or self.crowded:
            return
        number = len(self.values)
        norm = BoundaryNorm(np.arange(number + 1) - 0.5, number)
        # A short bar beside tall figures: a key, not a feature.
        bar = made.colorbar(
            ScalarMappable(norm, ListedColormap(self.colours)),
            ax=axes,
            ticks=style.thin(self.values, 12),
            shrink=min(1.0, 1.5 * style.PANEL[1] / made.get_figheight()),
            aspect=16,
            pad=0.02,
        )
        bar.set_ticklabels([wording.hyper(self.values[index]) for index in style.thin(self.values, 12)])
        bar.minorticks_off()
        bar.ax.tick_params(length=0)
        bar.ax.grid(False)
        bar.outline.set_visible(False)
        bar.set_label(self.main)


def is_geometric(values: list[float]) -> bool:
    """Tell whether values want a log axis: more than a decade, or ratios that are evener than the steps."""
    positive = [value for value in values if value > 0]
    if len(positive) < 2 or min(values) < 0:
        return False
    if positive[-1] / positive[0] > 10:
        return True
    ratios, steps = np.diff(np.log(positive)), np.diff(positive)
    return len(positive) > 2 and np.ptp(ratios) / ratios.max() < np.ptp(steps) / steps.max()


def positions(values: list[float]) -> np.ndarray:
    """Place ascending values between 0 and 1, evenly in the logarithm where that suits them; zero goes below them."""
    places = np.asarray(values, float)
    if len(places) < 2:
        return np.zeros(len(places))
    if is_geometric(values):
        smallest = places[places > 0][0]
        places = np.arcsinh(2 * places / smallest) if places[0] == 0 else np.log(places)
    return (places - places[0]) / (places[-1] - places[0])
