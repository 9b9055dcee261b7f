"""Scores with their intervals: attribute by attribute, model by model, and against what they cost. Knows no images."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from jaxvae.navigate import Navigation
from jaxvae.navigate.scores import Interval
from jaxvae.report import style
from jaxvae.report.navigation import looks, reading

ROW = 0.3  # inches
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
TALLEST = 24  # rows of one column
LINES = {"chance": "-", "random": (0, (1, 1.2)), "labels": (0, (5, 1.5))}
OUT_OF_REACH = 3.0  # times the largest score: a line so far away is named at the edge, not drawn


@style.styled
def plot_selectivity(results: Navigation) -> Figure:
    """Selectivity of each attribute.

    |R_ii| / Σ_j |R_ij|, the attribute's share of all that moves when codes are moved along its normal until its own
    score has moved by the target: 0 to 1, more is better. Bars are 95% intervals over edited images; hollow where the
    target is never reached. For scale: chance, 1/A (line); what random directions and the first principal component of
    the codes reach at the same step, mean over models; and what the correlations of the labels alone would give, if
    everything moved as far as it goes with the attribute in the data. Grey names: attributes that the judge cannot tell
    on some model's reconstructions, or that some model does not move; the means leave them out. The axis is
    logarithmic; what is below a third of chance stands at its left edge.
    """
    order = reading.by_selectivity(results)
    columns = 1 if len(order) <= TALLEST else 2
    tallest = -(-len(order) // columns)
    row = ROW if len(results.models) <= 6 else 0.05 * len(results.models)
    made = style.figure(7.2 if columns == 1 else 12.0, 0.7 + row * tallest)
    drawn = made.subplots(1, columns, squeeze=False)[0]
    edge, farthest = 1 / (3 * len(order)), max(results.by_labels.max(), np.nanmax(results.normals.selectivity.high))
    most = float(np.clip(1.25 * farthest, 2 / len(order), 1.0))
    for axes, some in zip(drawn, np.array_split(order, columns), strict=True):
        places = np.arange(len(some))
        axes.axvline(1 / len(order), color=style.FAINT, linewidth=1.2, zorder=1)
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(*zip(*((tick, f"{tick:g}") for tick in TICKS if edge < tick <= most), strict=True))
        axes.set_xlim(edge, most)
        grey = {"linestyle": "", "color": style.FAINT, "zorder": 2}
        axes.plot(np.maximum(results.random.selectivity.mean(0)[some], edge), places, "|", markersize=9, **grey)
        axes.plot(np.maximum(results.principal.selectivity.mean(0)[some], edge), places, "x", markersize=6, **grey)
        axes.plot(results.by_labels[some], places, "d", markersize=7, markerfacecolor="none", **grey)
        for model in range(len(results.models)):
            scores = Interval(*(np.maximum(part[model, some], edge) for part in results.normals.selectivity))
            heights = places + looks.beside(model, len(results.models))
            _bars(axes, scores, heights, model, results.normals.steerable[model, some])
        looks.name_rows(axes, results, some)
        axes.set_ylim(tallest - 0.4, -0.6)
        axes.set_xlabel("selectivity")
    marks = [
        Line2D([], [], color=style.FAINT, label="chance"),
        Line2D([], [], linestyle="", marker="|", markersize=9, color=style.FAINT, label="random directions"),
        Line2D([], [], linestyle="", marker="x", color=style.FAINT, label="first component"),
        Line2D([], [], linestyle="", marker="d", mfc="none", color=style.FAINT, label="labels alone"),
    ]
    style.legend_above(made, [*looks.handles(results), *marks])
    return made


def _bars(axes: Axes, scores: Interval, heights: np.ndarray, model: int, filled: np.ndarray) -> None:
    """Draw one model's scores as marks with bars, across; hollow where they are not `filled`."""
    hue = looks.colour(model)
    axes.hlines(heights, scores.low, scores.high, color=hue, linewidth=1.2, alpha=0.7, zorder=3)
    faces = [hue if full else "white" for full in filled]
    axes.scatter(
        scores.value, heights, s=16, linewidths=1, marker=looks.marker(model), c=faces, edgecolors=hue, zorder=4
    )


@style.styled
def plot_trade_off(results: Navigation) -> Figure | None:
    """Selectivity against reconstruction and KL.

    Mean selectivity over the attributes that the judge can tell on every model's reconstructions and that every model's
    normal moves by the target; bars are 95% intervals over edited images. Filled: along normals of boundaries; hollow,
    a little to the right of their place: along the single latent that tells each attribute best. Up is more selective,
    left is a better reconstruction or a cheaper code. Reconstruction is the cross-entropy at the posterior mean, and KL
    that to N(0, I), in nats per held-out image. A mark is one trained network: the bars know nothing of training seeds.
    """
    if len(results.models) < 2 or not results.comparable.any():
        return None
    made = style.figure(11.2, 4.6)
    drawn = made.subplots(1, 2, sharey=True)
    reached = max(float(np.max(results.means[kind].high)) for kind in ("normals", "single"))
    for axes, across in zip(drawn, (results.reconstruction, results.kl), strict=True):
        for model in range(len(results.models)):
            for kind in ("single", "normals"):
                value, low, high = (float(part[model]) for part in results.means[kind])
                look = {"color": looks.colour(model), "marker": looks.marker(model), "markersize": 8, "capsize": 0}
                look |= {"mfc": "white"} if kind == "single" else {"mec": "white"}
                bar = [[value - low], [high - value]]
                place = float(across[model]) + (0.015 * float(np.ptp(across)) if kind == "single" else 0.0)
                axes.errorbar(place, value, bar, linewidth=1.6, zorder=4 - (kind == "single"), **look)
        axes.margins(0.12)
        _levels(axes, results, reached)
        axes.locator_params(axis="x", nbins=6)
    drawn[0].set_xlabel("reconstruction (nats per image)")
    drawn[1].set_xlabel("KL to N(0, I) (nats per image)")
    drawn[0].set_ylabel("mean selectivity")
    least = min(float(np.min(results.means[kind].low)) for kind in ("normals", "single"))
    drawn[0].set_ylim(bottom=0.85 * min(least, 1 / len(results.attributes)))
    kinds = [
        Line2D([], [], linestyle="", marker="o", color="#444444", label="normals"),
        Line2D([], [], linestyle="", marker="o", mfc="white", color="#444444", label="single latents"),
    ]
    style.legend_above(made, [*looks.handles(results), *kinds])
    return made


@style.styled
def plot_smaller(results: Navigation) -> Figure | None:
    """Selectivity at smaller effects.

    Mean selectivity, and its difference to the first model's, where codes are moved only until an attribute's score has
    moved by a part of the target: more attributes reach it in every model (how many is given below). Bars are 95%
    intervals over edited images, the differences paired over the same resamples. A finding that the choice of the
    target makes does not hold from left to right.
    """
    if len(results.models) < 2 or not results.smaller.comparable.any():
        return None
    made = style.figure(11.2, 4.2)
    left, right = made.subplots(1, 2)
    places = np.arange(len(results.smaller.targets), dtype=float)
    for axes, scores, first in ((left, results.smaller.selectivity, 0), (right, results.smaller.difference, 1)):
        for model in range(first, len(results.models)):
            value, low, high = (part[:, model] for part in scores)
            axes.errorbar(
                places + 0.5 * looks.beside(model, len(results.models)),
                value,
                [value - low, high - value],
                color=looks.colour(model),
                marker=looks.marker(model),
                markersize=6,
                linewidth=1.4,
            )
        reached = zip(results.smaller.targets, results.smaller.comparable, strict=True)
        axes.set_xticks(places, [f"{target:g} sd\n{count} attributes" for target, count in reached])
        axes.set_xlabel("effect that is matched")
    right.axhline(0, color=style.FAINT, linewidth=1.2, zorder=1)
    left.set_ylabel("mean selectivity")
    right.set_ylabel(f"difference to {results.models[0]}")
    style.legend_above(made, looks.handles(results))
    return made


def _levels(axes: Axes, results: Navigation, reached: float) -> None:
    """Draw what the scores are held against as lines with names; at the upper edge what is far above them."""
    found = reading.levels(results)
    same = abs(found["chance"][1] - found["random"][1]) < 0.05 * max(reached, found["chance"][1])
    for kind, (called, value) in found.items():
        if same and kind == "random":
            continue
        called = "chance, random directions" if same and kind == "chance" else called
        text = {"fontsize": 10, "color": style.FAINT, "ha": "right"}
        if value > OUT_OF_REACH * reached:
            axes.text(0.99, 0.98, f"{called}: {value:.2f} ↑", transform=axes.transAxes, va="top", **text)
        else:
            axes.axhline(value, color=style.FAINT, linestyle=LINES[kind], linewidth=1.2, zorder=1)
            place = {"transform": axes.get_yaxis_transform(), "va": "bottom", "zorder": 1}
            axes.text(0.99, value, called, **place, **text)


@style.styled
def plot_directions(results: Navigation) -> Figure | None:
    """Kinds of directions, and what conditioning costs.

    Left: mean selectivity of each kind of direction over the attributes that models are compared by. Normals, what is
    left of them without the nearest other attributes (conditioned), and single latents are scored at matched effect,
    with 95% intervals over edited images; the first principal component and random directions know nothing of the
    attribute and are scored at the step of its normal. Lines: chance, 1/A, and what label correlations alone would
    give. Right: a mark is an attribute of a model. Upwards, how much more selective conditioning makes the edit (above
    0 is cleaner); to the right, how much of the attribute's own effect is kept at the same step (1 is all). The upper
    right corner is best.
    """
    if not results.comparable.any():
        return None
    made = style.figure(11.2, 4.4)
    left, right = made.subplots(1, 2, width_ratios=[1.15, 1])
    kinds = ["normals", "conditioned", "single", "first principal component", "random directions"]
    names = ["normals", "conditioned", "single latents", "first principal\ncomponent", "random\ndirections"]
    chosen = results.comparable
    for model in range(len(results.models)):
        shift = looks.beside(model, len(results.models))
        for row, kind in enumerate(kinds[:3]):
            scores = Interval(*(np.atleast_1d(part[model]) for part in results.means[kind]))
            _bars(left, scores, np.array([row + shift]), model, np.array([True]))
        for row, control in enumerate((results.principal, results.random), start=3):
            value = control.selectivity[model, chosen].mean()
            left.scatter(value, row + shift, s=22, marker=looks.marker(model), color=looks.colour(model), zorder=4)
        kept, gain = results.conditioned.kept[model, chosen], results.conditioned.gain.value[model, chosen]
        look = {"s": 22, "alpha": 0.75, "edgecolors": "none"}
        right.scatter(kept, gain, marker=looks.marker(model), color=looks.colour(model), **look)
    reached = max(float(np.max(results.means[kind].high)) for kind in kinds[:3])
    found = {kind: level for kind, level in reading.levels(results).items() if kind != "random"}
    for kind, (called, value) in found.items():
        if value > OUT_OF_REACH * reached:
            text = {"fontsize": 10, "color": style.FAINT, "ha": "right", "va": "bottom"}
            left.text(0.99, 0.01, f"{called}: {value:.2f} →", transform=left.transAxes, **text)
        else:
            left.axvline(value, color=style.FAINT, linestyle=LINES[kind], linewidth=1.2, zorder=1)
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.4, -0.6)
    left.tick_params(axis="y", length=0)
    left.set_xlim(left=0)
    left.locator_params(axis="x", nbins=6)
    left.set_xlabel("mean selectivity")
    right.axhline(0, color=style.FAINT, linewidth=1)
    right.axvline(1, color=style.FAINT, linewidth=1)
    right.set_xlabel("own effect kept at the same step")
    right.set_ylabel("gain in selectivity")
    marks = [
        Line2D([], [], color=style.FAINT, linestyle=LINES[kind], label=called)
        for kind, (called, value) in found.items()
        if value <= OUT_OF_REACH * reached
    ]
    style.legend_above(made, [*looks.handles(results), *marks])
    return made


@style.styled
def plot_boundaries(results: Navigation) -> Figure:
    """Boundaries in the codes.

    From left to right: how well the signed distance to an attribute's boundary tells held-out images with it from those
    without (area under the ROC curve; chance 1/2, 1 is best); how alike the normals of two refits are, to halves of the
    images that share nobody (mean cosine; 0 is chance, 1 is best); the largest component of the normal, max |n_d| (1
    where a single latent is the attribute, at least 1/√D); and how many latents share the normal (1/Σ n_d⁴, from 1 to
    D). Grey lines: chance, or the least there can be. Grey names: attributes that models are not compared by.
    """
    order = reading.by_selectivity(results)
    bounds = results.boundaries
    latents = results.alive.sum(1)
    row = 0.24 if len(results.models) <= 6 else 0.04 * len(results.models)
    made = style.figure(12.0, 1.0 + row * max(len(order), 4))
    drawn = made.subplots(1, 4, sharey=True)
    panels = [
        ("area under ROC\n(held out)", bounds.area, 0.5),
        ("cosine of refits", bounds.stability, 0.0),
        ("largest |n_d|", bounds.alignment, None),
        ("latents that share it", bounds.participation, None),
    ]
    for axes, (called, values, chance) in zip(drawn, panels, strict=True):
        for model in range(len(results.models)):
            heights = np.arange(len(order)) + looks.beside(model, len(results.models))
            look = {"s": 20, "marker": looks.marker(model), "color": looks.colour(model), "alpha": 0.85}
            axes.scatter(values[model, order], heights, edgecolors="none", zorder=3, **look)
        if chance is not None:
            axes.axvline(chance, color=style.FAINT, linewidth=1.2, zorder=1)
        axes.set_xlabel(called)
    if latents.max() > 0:
        drawn[2].axvline(1 / np.sqrt(latents.max()), color=style.FAINT, linewidth=1.2, zorder=1)
    drawn[2].set_xlim(0, 1.03)
    drawn[1].set_xlim(right=1.03)
    drawn[3].set_xlim(0, 1.06 * max(1.0, float(np.nanmax(bounds.participation, initial=1.0))))
    looks.name_rows(drawn[0], results, order)
    style.legend_above(made, [*looks.handles(results), Line2D([], [], color=style.FAINT, label="chance, or least")])
    return made
