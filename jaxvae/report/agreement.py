"""How far scores agree on which lanes are better than others: rank correlations. Knows no training."""

import math

import numpy as np
from matplotlib.figure import Figure

from jaxvae.report import reading, style, wording
from jaxvae.report.encoding import Encoding
from jaxvae.report.trade_offs import key, marks
from jaxvae.types import Results

MIN_LANES = 3
MAX_PANELS = 8
MAX_NUMBERS = 26  # of scores; beyond, cells are too small to be written into


@style.styled
def plot_agreement(results: Results) -> Figure | None:
    """Agreement of scores.

    Spearman's rank correlation between each two scores over all healthy lanes: 1 (blue) where they put lanes into the
    same order, −1 (red) into the opposite one, and near 0 where one says nothing about the other. Of scores marked ↓
    lower is better, so that red there is agreement. Grey: a score that is the same for all lanes ranks nothing. Few
    lanes make large correlations by luck.
    """
    names = [*reading.by_weight(results, reading.scores(results)), *reading.losses(results)]
    lanes = [lane for lane in results.lanes if reading.is_ok(lane)]
    if len(lanes) < MIN_LANES or len(names) < 2:
        return None
    columns = np.array([[reading.number(lane, name) for lane in lanes] for name in names])
    table = np.array([[rank_correlation(a, b) for b in columns] for a in columns])
    if not np.isfinite(table[~np.eye(len(names), dtype=bool)]).any():
        return None
    cell = 0.5 if len(names) > 8 else 0.62
    side = cell * len(names)
    made = style.figure(side + 4.0, side + 2.2)
    axes = made.add_subplot()
    image = axes.imshow(table, cmap=style.diverging(), vmin=-1, vmax=1, interpolation="nearest")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, color="#CCCCCC")
    labels = [wording.short_title(name) for name in names]
    axes.set_yticks(range(len(names)), labels)
    axes.set_xticks(range(len(names)), labels)
    style.slant_labels(axes)
    num_losses = len(reading.losses(results))
    for draw in (axes.axhline, axes.axvline) if 0 < num_losses < len(names) else ():
        draw(len(names) - num_losses - 0.5, color="#222222", linewidth=1.2)
    for row, column in np.ndindex(table.shape) if len(names) <= MAX_NUMBERS else ():
        value = table[row, column]
        if np.isfinite(value) and row != column:
            colour = "white" if abs(value) > 0.6 else "#222222"
            text = f"{value:.2f}".replace("0.", ".").replace("-", "−")
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    bar = made.colorbar(image, ax=axes, shrink=min(1.0, 3.5 / made.get_figheight()), pad=0.02, ticks=[-1, 0, 1])
    bar.set_label(f"rank correlation, {len(lanes)} lanes")
    bar.outline.set_visible(False)
    bar.ax.grid(False)
    return made


@style.styled
def plot_udr(results: Results) -> dict[str, Figure] | None:
    """UDR and supervised scores.

    Each mark is a lane: to the right its latents are more like those of the lanes that differ in their seed alone,
    which needs no labels; upwards it scores better with labels. ρ is the rank correlation over all lanes. Where it is
    high, models could have been chosen without labels.
    """
    supervised = [n for n in reading.disentanglement_scores(results) if not reading.is_label_free(n)]
    names = reading.by_weight(results, supervised)[:MAX_PANELS]
    made = {}
    for across in filter(reading.is_label_free, reading.scores(results)):
        lanes = [lane for lane in results.lanes if reading.is_ok(lane) and math.isfinite(reading.number(lane, across))]
        if len(lanes) < MIN_LANES or not names:
            continue
        encoding = Encoding(results)
        drawn, panels = style.panels(len(names), extra_width=1.0)
        for axes, name in zip(panels, names, strict=True):
            marks(axes, encoding, across, name, size=45)
            pairs = np.array([[reading.number(lane, column) for lane in lanes] for column in (across, name)])
            found = rank_correlation(*pairs)
            told = f"    ρ = {wording.fixed(found, 2)}" if math.isfinite(found) else ""
            axes.set_title(wording.short_title(name), loc="left")
            axes.set_xlabel(wording.title(across) + told)
            axes.margins(0.08)
            axes.locator_params(axis="x", nbins=5)
        key(drawn, panels, encoding)
        made[across.removeprefix("udr_")] = drawn
    return made or None


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation of the pairs that are finite; NaN for fewer than three, or a constant one."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < MIN_LANES:
        return math.nan
    a, b = ranks(a[both]), ranks(b[both])
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else math.nan


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1; equal values share the mean of theirs."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1) / 2
