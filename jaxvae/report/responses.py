"""Curves of latents over factors: which latent carries which factor, and how. Knows no images and no model."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from jaxvae.report import latents, style, wording
from jaxvae.report.images import file_name
from jaxvae.types import Responses, Results

MAX_ROWS, MAX_FACTORS = 14, 8
IDLE_ROWS = 2  # of latents that are off: enough to see what off looks like
TOLD = 0.05  # from which share on a number stands in its panel
CARRIED = 0.3  # of a latent's variance, from which on it carries a factor
PANEL = (1.5, 0.82)  # inches
CURVE = (0.06, 0.94, 0.08, 0.7)  # left, right, bottom and top of a curve in its panel; the numbers stand above
DOTS = 8  # values of a factor up to which each has a dot
ROOM = (2.0, 1.6)  # inches beside and below the panels, for labels


@style.styled
def plot_responses(results: Results) -> dict[str, Figure] | None:
    """Latents over factors.

    A row is a latent, the most informative at the top with its KL in nats; a column is a factor. The curve is the mean
    of the latent over all images with each value of the factor, the band the standard deviation over the same images.
    η² is the share of the latent's variance that the curve explains, I the mutual information of the two as a share of
    the factor's entropy; shares below 0.05 are not written. Framed: the factor that explains most of the latent, where
    that is 0.3 or more. A disentangled latent has one steep curve with a narrow band, and is flat elsewhere. All panels
    are on one scale. Grey: latents that are off.
    """
    made: dict[str, Figure] = {}
    for showcase in results.showcases:
        found = showcase.responses
        if found is None or not np.size(found.means):
            continue
        names = results.factor_names if len(results.factor_names) == len(found.sizes) else ()
        order, factors = shown(found, showcase.kl)
        if not len(factors):
            continue
        figure = style.figure(ROOM[0] + PANEL[0] * len(factors), ROOM[1] + PANEL[1] * len(order))
        axes = figure.add_subplot()
        draw(axes, found, showcase.kl, showcase.information, names)
        axes.set_title(wording.showcase_title(results, showcase), loc="left", fontsize=12)
        name = file_name(showcase.title)
        made[name if name not in made else f"{name}_{len(made)}"] = figure
    return made or None


def shown(found: Responses, kl: np.ndarray, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the latents that have a row, by KL [D], and the factors that have a column: those that vary.

    Rows are those of latents that are on and a few more, or as many as are asked for.
    """
    kl = np.nan_to_num(np.asarray(kl, float))
    number = rows or min(MAX_ROWS, int((kl > latents.ACTIVE).sum()) + IDLE_ROWS)
    return np.argsort(-kl, kind="stable")[:number], np.flatnonzero(np.isfinite(found.explained).any(0))[:MAX_FACTORS]


def extent(found: Responses) -> tuple[float, float]:
    """Return the least and the greatest number that curves and bands reach."""
    edges = np.stack([found.means - found.spread, found.means + found.spread])
    edges = edges[np.isfinite(edges)]
    return (float(edges.min()), float(edges.max())) if edges.size and np.ptp(edges) > 0 else (-1.0, 1.0)


def draw(
    axes: Axes,
    found: Responses,
    kl: np.ndarray,
    information: np.ndarray | None = None,
    names: tuple[str, ...] = (),
    *,
    span: tuple[float, float] | None = None,
    rows: int | None = None,
) -> None:
    """Draw the panels of one lane into one axes, which is much faster than an axes for each.

    Args:
        axes: empty.
        found: of D latents and K factors.
        kl: [D] nats.
        information: [D, K] as Showcase has it, or None.
        names: of the K factors; () for their numbers.
        span: the latent's value at the bottom and the top of every panel; by default what the curves reach.
        rows: of latents, the most informative first; see `shown`.
    """
    order, factors = shown(found, kl, rows)
    low, high = span or extent(found)
    ends = np.cumsum(found.sizes)
    explained = np.nan_to_num(found.explained)
    known = None if information is None else np.nan_to_num(np.asarray(information, float))
    frames: dict[str, list] = {"idle": [], "plain": [], "best": []}
    curves, bands, dots = ({kind: [] for kind in frames} for _ in range(3))
    for row, latent in enumerate(order):
        active = kl[latent] > latents.ACTIVE
        best = int(explained[latent].argmax()) if active and explained[latent].max() >= CARRIED else None
        for column, factor in enumerate(factors):
            kind = "best" if factor == best else "plain" if active else "idle"
            size = found.sizes[factor]
            here = slice(ends[factor] - size, ends[factor])
            mean, deviation = found.means[latent, here], found.spread[latent, here]
            there = np.isfinite(mean)
            across = column + CURVE[0] + (CURVE[1] - CURVE[0]) * (np.arange(size) + 0.5) / size
            place = [_place(row, values[there], low, high) for values in (mean, mean - deviation, mean + deviation)]
            curves[kind].append(np.column_stack([across[there], place[0]]))
            edge = [np.column_stack([across[there], side]) for side in place[1:]]
            bands[kind].append(np.concatenate([edge[0], edge[1][::-1]]))
            if size <= DOTS:
                dots[kind].append(curves[kind][-1])
            corners = [(column, row), (column + 1, row), (column + 1, row + 1), (column, row + 1)]
            frames[kind].append(corners)
            share = None if known is None else known[latent, factor]
            _write(axes, (row, column), explained[latent, factor], share, kind)
    looks = {  # colour of curve, of band, width, frame, paper
        "idle": ("#BDBDBD", "#EEEEEE", 1.0, "#DDDDDD", "#FAFAFA"),
        "plain": ("#6E6E6E", "#DCDCDC", 1.2, "#CCCCCC", "white"),
        "best": (style.QUALITATIVE[0], "#B9D8EC", 2.4, style.QUALITATIVE[0], "#F2F8FC"),
    }
    for level, (kind, (line, band, width, frame, paper)) in enumerate(looks.items()):
        zorder = 1 + level / 10
        axes.add_collection(
            PolyCollection(frames[kind], facecolor=paper, edgecolor=frame, linewidth=1.6 if kind == "best" else 0.8,
                           zorder=zorder, clip_on=False)
        )  # fmt: skip
        axes.add_collection(PolyCollection(bands[kind], facecolor=band, edgecolor="none", zorder=zorder + 1))
        axes.add_collection(LineCollection(curves[kind], colors=line, linewidth=width, zorder=zorder + 2))
        if dots[kind]:
            axes.scatter(*np.concatenate(dots[kind]).T, s=6 * width, color=line, linewidth=0, zorder=zorder + 3)
    _label(axes, found, kl, order, factors, names, (low, high))


def _place(row: int, values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return where values of a latent lie in its row, downwards from its top at `row`."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return row + 1 - CURVE[2] - (CURVE[3] - CURVE[2]) * share


def _write(axes: Axes, place: tuple[int, int], explained: float, known: float | None, kind: str) -> None:
    """Write the shares of a panel [row, column] above its curve."""
    row, column = place
    colour = {"idle": "#A8A8A8", "plain": "#555555", "best": style.QUALITATIVE[0]}[kind]
    look = {"va": "top", "fontsize": 9, "color": colour, "weight": "bold" if kind == "best" else "normal", "zorder": 6}
    if explained >= TOLD:
        axes.text(column + 0.05, row + 0.06, f"η² {wording.fixed(explained, 2)}", ha="left", **look)
    if known is not None and known >= TOLD:
        axes.text(column + 0.95, row + 0.06, f"I {wording.fixed(known, 2)}", ha="right", **look)


def _label(axes: Axes, found: Responses, kl, order, factors, names, span: tuple[float, float]) -> None:
    axes.set_xlim(0, len(factors))
    axes.set_ylim(len(order), 0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    called = [(names[k] if names else f"factor {k}").replace("_", " ") for k in factors]
    under = [f"{name}\n0 … {found.sizes[k] - 1}" for name, k in zip(called, factors, strict=True)]
    axes.set_xticks(np.arange(len(factors)) + 0.5, under)
    axes.set_yticks(np.arange(len(order)) + 0.5, [f"z{d}   {wording.fixed(float(kl[d]), 2)}" for d in order])
    for label, latent in zip(axes.get_yticklabels(), order, strict=True):
        label.set_color("#222222" if kl[latent] > latents.ACTIVE else style.FAINT)
    rest, others = len(kl) - len(order), int(np.isfinite(found.explained).any(0).sum()) - len(factors)
    axes.set_ylabel("latent and its KL (nats)" + (f"; {rest} more not shown" if rest else ""))
    reach = " to ".join(wording.fixed(value, 1) for value in span)
    more = f"; {wording.count(others, 'more factor')} not shown" if others else ""
    axes.set_xlabel(f"value of the factor{more}; every panel is the latent from {reach}")
