"""Plot of what the latents themselves are like along the main hyper: their posteriors' moments. Knows no images."""

import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from jaxvae.evaluate.encoding import LATENT_STATISTICS
from jaxvae.report import reading, style
from jaxvae.report.against_hyper import scale_to
from jaxvae.types import Results

TITLES = {
    "kl": "KL (nats)",
    "mean": "|Mean of means|",
    "absolute_mean": "Mean |mean|",
    "variance_of_mean": "Variance of means",
    "posterior_variance": "Mean posterior variance",
    "variance": "Variance of codes",
}
OF_PRIOR = {"posterior_variance": 1.0, "variance": 1.0}
"""What a latent has whose posterior is N(0, 1) for every image, and all latents together if they are the prior's."""
WIDE, WIDEST = 30, 1e5  # greatest over least from which an axis is logarithmic, and the most that it shows
MAX_LATENTS = 16  # lines of a panel; of more, the most informative


@style.styled
def plot_latent_statistics(results: Results) -> dict[str, Figure] | None:
    """Latents against what was swept.

    The posterior of each latent over the evaluation set: its KL to N(0, 1) (of a hierarchy, to its own prior); the mean
    of its means, of either sign alike, the mean of their absolute values, and their variance; the mean of its
    variances; and the sum of both, the variance of codes. Dotted is N(0, 1). Latents are sorted by KL within each lane:
    the first line is the most informative latent of every lane, which need not be the same one. Lines are means over
    healthy lanes (seeds), shades reach from the least lane to the greatest. A latent that is off has means at 0 with no
    variance, and posteriors of variance 1.
    """
    main, moving = reading.main_hyper(results), reading.moving_families(results)
    tables = {"kl": np.asarray(results.kl_per_latent, float), **results.latent_statistics}
    if main is None or not set(LATENT_STATISTICS) <= set(tables) or not np.isfinite(tables["kl"]).any():
        return None
    # Which way a latent points is chance: seeds would cancel.
    tables["mean"] = np.abs(tables["mean"])
    tables["variance"] = tables["variance_of_mean"] + tables["posterior_variance"]
    several = len(reading.families(results)) > 1
    made = {}
    for which in moving:
        lanes = [index for index, lane in enumerate(results.lanes) if reading.family(lane) == which]
        healthy = [index for index in lanes if reading.is_ok(results.lanes[index])]
        if drawn := _draw(results, main, healthy, {name: tables[name][healthy] for name in TITLES}):
            made[_file_name(which) if several else ""] = drawn
    return made or None


def _file_name(which: reading.Family) -> str:
    return "_".join(which).replace("+", "_")


def _draw(results: Results, main: str, lanes: list[int], tables: dict[str, np.ndarray]) -> Figure | None:
    at = np.array([reading.number(results.lanes[index], main) for index in lanes])
    values = reading.values([results.lanes[index] for index in lanes], main)
    if len(values) < 2:
        return None
    order = np.argsort(-tables["kl"], axis=1)  # NaN, past the end of a shorter code, goes last
    ranked = {name: np.take_along_axis(table, order, axis=1) for name, table in tables.items()}
    num_latents = min(MAX_LATENTS, int(np.isfinite(ranked["kl"]).any(0).sum()))
    if not num_latents:
        return None
    colours = style.sequential()(np.linspace(0, 1, num_latents))
    by_value = np.argsort(at, kind="stable")  # NaN, of a lane without the hyper, goes last
    first, last = (np.searchsorted(at[by_value], values, side) for side in ("left", "right"))
    rows_at = [by_value[start:stop] for start, stop in zip(first, last, strict=True)]
    made, panels = style.panels(len(TITLES), extra_width=1.0)
    for axes, (name, title) in zip(panels, TITLES.items(), strict=True):
        if name in OF_PRIOR:
            axes.axhline(OF_PRIOR[name], color=style.FAINT, linestyle=":", linewidth=1.2, zorder=0)
        for rank in reversed(range(num_latents)):
            _line(axes, values, [ranked[name][rows, rank] for rows in rows_at], colours[rank])
        axes.set_title(title, loc="left")
        scale_to(axes, values, main)
        _scale(axes, ranked[name][:, :num_latents])
    bar = made.colorbar(
        ScalarMappable(BoundaryNorm(np.arange(num_latents + 1) + 0.5, num_latents), ListedColormap(colours)),
        ax=panels,
        ticks=[index + 1 for index in style.thin(range(num_latents), 12)],
        shrink=min(1.0, 1.5 * style.PANEL[1] / made.get_figheight()),
        aspect=16,
        pad=0.02,
    )
    bar.minorticks_off()
    bar.ax.tick_params(length=0)
    bar.ax.invert_yaxis()
    bar.ax.grid(False)
    bar.outline.set_visible(False)
    bar.set_label("latent, by KL")
    return made


def _scale(axes: Axes, found: np.ndarray) -> None:
    """Give a panel of numbers from 0 a logarithmic axis where they are of many sizes."""
    found = found[np.isfinite(found)]
    least, greatest = max(found.min(), found.max() / WIDEST), found.max()
    if greatest <= WIDE * least or greatest <= 0:
        axes.set_ylim(bottom=0)
        return
    axes.set_yscale("log")
    axes.set_ylim(least / 1.5, greatest * 1.5)
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def _line(axes: Axes, values: list[float], found: list[np.ndarray], colour: tuple) -> None:
    """Draw what lanes have at each value as a line through their means and a shade from the least to the greatest."""
    found = [column[np.isfinite(column)] for column in found]
    there = [len(column) > 0 for column in found]
    values = np.array(values)[there]
    mean, least, greatest = ([reduce(c) for c in found if len(c)] for reduce in (np.mean, np.min, np.max))
    axes.fill_between(values, least, greatest, color=colour, alpha=0.12, linewidth=0)
    axes.plot(values, mean, color=colour, marker="o", markersize=4, linewidth=1.5)
