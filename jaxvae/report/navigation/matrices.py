"""Heatmaps of what moving one attribute does to all: one for each model, beside the correlations of the labels."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae.navigate import Navigation
from jaxvae.report import style, wording
from jaxvae.report.navigation import reading

MAX_NUMBERS = 10  # attributes; beyond, cells are too small to be written into


@style.styled
def plot_matrices(results: Navigation) -> Figure | None:
    """What else moves.

    Row i of a model: how far the judge's score of each attribute j has moved, R, in standard deviations that it has
    over real images, when codes are moved along the normal of attribute i by the step at which i itself has moved by
    the target. Blue: more of it, red: less. A clean model is a diagonal; chance is a full row. Beside them the
    correlations of the labels of held-out images: what goes with what in the data. A cross marks rows that never reach
    the target and are shown at the longest step. Attributes whose labels go together are neighbours.
    """
    number = len(results.attributes)
    if number < 2:
        return None
    order = reading.neighbours(results.labels)
    target = float(results.spec.get("target", 1.0))
    panels = [("labels", results.labels, None)]
    for model, name in enumerate(results.models):
        panels.append((name, results.normals.matrix[model] / target, results.normals.steerable[model]))
    cell = 0.42 if number <= MAX_NUMBERS else max(0.1, min(0.25, 4.6 / number))
    letters = 11 if cell > 0.2 else 7
    margin = 0.075 * letters / 11 * max(map(len, results.attributes)) + 0.3
    side = max(cell * number, 1.8)
    columns = max(1, min(len(panels), int((style.MAX_WIDTH - margin - 1.0) / (side + 0.2))))
    rows = -(-len(panels) // columns)
    made = style.figure(columns * (side + 0.2) + margin + 1.0, rows * (side + 0.45) + 0.8 * margin)
    drawn = made.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for place, (axes, (title, table, steerable)) in enumerate(zip(drawn, panels, strict=False)):
        image = _map(axes, table[np.ix_(order, order)], None if steerable is None else steerable[order], cell)
        axes.set_title(title, loc="left", fontsize=12)
        _names(axes, [reading.named(results.attributes[a]) for a in order], letters)
        axes.tick_params(labelleft=place % columns == 0, labelbottom=place + columns >= len(panels))
    for axes in drawn[len(panels) :]:
        axes.set_visible(False)
    bar = made.colorbar(
        image, ax=drawn.tolist(), shrink=min(1.0, 3.5 / made.get_figheight()), pad=0.02, ticks=[-1, 0, 1], extend="both"
    )
    bar.set_label("R" if target == 1 else "R / target")
    bar.outline.set_visible(False)
    bar.ax.grid(False)
    return made


def _map(axes: Axes, table: np.ndarray, steerable: np.ndarray | None, cell: float):
    image = axes.imshow(table, cmap=style.diverging(), vmin=-1, vmax=1, interpolation="nearest")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, color="#CCCCCC")
    for row, column in np.ndindex(table.shape) if len(table) <= MAX_NUMBERS else ():
        if np.isfinite(table[row, column]) and row != column:
            colour = "white" if abs(table[row, column]) > 0.6 else "#222222"
            text = wording.fixed(round(float(table[row, column]), 1) + 0.0, 1)  # + 0.0: no −0.0
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    if steerable is not None and not steerable.all():
        where = np.flatnonzero(~steerable)
        axes.scatter(where, where, marker="X", s=(45 * cell) ** 2, linewidths=0.7, color="white", edgecolors="#222222")
    return image


def _names(axes: Axes, names: list[str], letters: int) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(labelsize=letters)
    for label in axes.get_xticklabels():
        label.set(rotation=90 if letters < 11 else 40, ha="center" if letters < 11 else "right")
        label.set_rotation_mode("default" if letters < 11 else "anchor")
