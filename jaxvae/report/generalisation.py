"""Plot of losses while training, of the images that lanes train on against images that they do not. Knows no scores."""

import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxvae.evaluate.scoring import GAP
from jaxvae.report import reading, style, wording
from jaxvae.report.curves import Curves, curves, short_step
from jaxvae.report.encoding import Encoding
from jaxvae.types import Results

PANELS = {
    "Reconstruction": ("nll", "reconstruction"),
    "KL": ("kl", "eval_kl"),
    "Weighted total": ("loss", "eval_loss"),
}
"""Title -> columns of history.csv: of training batches, of the evaluation set."""

MAX_SETTINGS = 4  # of a family
HELD_OUT = (0, (3.5, 1.5))  # dashes
Band = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Steps, and at each the mean, the least and the greatest over lanes."""


@style.styled
def plot_generalisation(results: Results) -> Figure | None:
    """Training against held-out images.

    Losses against the step in nats per image, a row for each objective and architecture: reconstruction, KL to the
    prior that the lane is trained against, and what it is trained on, the objective's own weighted total. Solid is the
    mean of the last training batches, dashed the images that are not trained on. Lines are means over seeds, shades
    reach from the least seed to the greatest. Where the solid line falls and the dashed one rises, a lane learns its
    images by heart. Of many settings, some, from the first to the last.
    """
    if GAP not in results.score_names:
        return None
    encoding = Encoding(results)
    known = {name: curves(results, results.lanes, name) for name in _columns() if name in results.history}
    drawn = {which: _of_family(found, known) for which, found in reading.groups_by_family(results).items()}
    drawn = {which: settings for which, settings in drawn.items() if settings}
    if not drawn:
        return None
    made = style.figure(style.PANEL[0] * len(PANELS) + 1.0, 0.2 + style.PANEL[1] * len(drawn))
    for row, (which, settings) in enumerate(drawn.items()):
        colours = _colours(encoding, which, settings)
        for column, (title, names) in enumerate(PANELS.items()):
            axes = made.add_subplot(len(drawn), len(PANELS), row * len(PANELS) + column + 1)
            _panel(axes, known, list(zip(settings, colours, strict=True)), names)
            axes.set_title(title if row == 0 else "", loc="left")
            axes.set_xlabel("step" if row == len(drawn) - 1 else "")
            if column == 0:
                name = reading.family_name(results, which) if len(encoding.families) > 1 else ""
                axes.set_ylabel("\n".join(part for part in (name, "nats per image") if part))
        entries = [
            Line2D([], [], color=colour, label=wording.hypers(group.hypers))
            for group, colour in zip(settings, colours, strict=True)
            if group.hypers
        ]
        if entries:  # beside its own row: colours mean something else in another
            axes.legend(handles=entries, loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=11)
    looks = (("training images", "-"), ("held-out images", HELD_OUT))
    style.legend_above(made, [Line2D([], [], color="#444444", ls=dashes, label=label) for label, dashes in looks])
    return made


def _columns() -> list[str]:
    return [name for pair in PANELS.values() for name in pair]


def _of_family(settings: list[reading.Group], known: dict[str, Curves]) -> list[reading.Group]:
    """Return the settings of a family to draw: those with a healthy lane and both kinds of curves, and not too many."""
    found = [group for group in settings if all(_has_curve(known, group, name) for name in _columns())]
    return reading.spread_out(found, MAX_SETTINGS)


def _has_curve(known: dict[str, Curves], group: reading.Group, name: str) -> bool:
    return any(reading.is_ok(lane) and lane.get("lane") in known.get(name, {}) for lane in group.lanes)


def _colours(encoding: Encoding, which: reading.Family, settings: list[reading.Group]) -> list:
    if len(settings) == 1:
        return [encoding.hue(which)]
    return [style.sequential()(place) for place in np.linspace(0, 1, len(settings))]


def _band(known: dict[str, Curves], group: reading.Group, name: str) -> Band:
    """Return the healthy lanes' curves of a column as one; there is at least one."""
    own = (known[name].get(lane.get("lane")) for lane in group.lanes if reading.is_ok(lane))
    at: dict[int, list[float]] = {}
    for steps, values in filter(None, own):
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            at.setdefault(step, []).append(value)
    steps = sorted(at)
    mean, least, greatest = ([reduce(at[step]) for step in steps] for reduce in (np.mean, min, max))
    return np.array(steps), np.array(mean), np.array(least), np.array(greatest)


def _panel(
    axes: Axes, known: dict[str, Curves], settings: list[tuple[reading.Group, tuple]], names: tuple[str, str]
) -> None:
    seen: list[float] = []
    for group, colour in settings:
        held_out = _band(known, group, names[1])
        for dashes, band in (("-", _band(known, group, names[0])), (HELD_OUT, held_out)):
            steps, mean, least, greatest = band
            axes.fill_between(steps, least, greatest, color=colour, alpha=0.15, linewidth=0)
            axes.plot(steps, mean, color=colour, linestyle=dashes, linewidth=1.8)
            # An untrained network's first steps would leave no room for what the two lines differ by.
            later = steps >= held_out[0][0]
            seen += [*least[later], *greatest[later]]
    margin = 0.06 * (max(seen) - min(seen)) or 1.0
    axes.set_ylim(min(seen) - margin, max(seen) + margin)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(short_step))
