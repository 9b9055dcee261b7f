"""The map of which latent knows which factor. Knows no images and no training."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae.report import style, wording
from jaxvae.types import Results, Showcase

MAX_ROWS = 20


@style.styled
def plot_information_maps(results: Results) -> Figure | None:
    """Latents and factors.

    Mutual information between each latent (20 bins of its mean) and each factor, as a share of the factor's entropy: 1
    where the latent alone tells the factor. The most informative latent is at the top, so that a disentangled code
    looks like a diagonal after sorting: one dark cell in each row and column. MIG averages, over columns, the gap
    between the two darkest cells. Grey: a factor that does not vary.
    """
    shown = [one for one in results.showcases if one.information is not None and np.isfinite(one.information).any()]
    if not shown:
        return None
    num_rows = min(MAX_ROWS, max(len(one.information) for one in shown))
    num_factors = shown[0].information.shape[1]
    width = max(1.2 + 0.52 * num_factors, 3.7)  # a title takes that much
    columns = max(1, min(len(shown), int(style.MAX_WIDTH / width)))
    rows = -(-len(shown) // columns)
    longest = max(map(len, _factor_names(results, num_factors)), default=0)
    made = style.figure(width * columns + 0.8, rows * (1.2 + 0.36 * num_rows + 0.06 * longest))
    panels = [made.add_subplot(rows, columns, index + 1) for index in range(len(shown))]
    for axes, showcase in zip(panels, shown, strict=True):
        image = _map(axes, results, showcase)
    bar = made.colorbar(image, ax=panels, shrink=min(1.0, 3.5 / made.get_figheight()), pad=0.02)
    bar.set_label("I(latent; factor) / H(factor)")
    bar.outline.set_visible(False)
    bar.ax.grid(False)
    return made


def _map(axes: Axes, results: Results, showcase: Showcase):
    table = np.asarray(showcase.information, float)
    known = np.nan_to_num(table)
    order = np.argsort(-known.max(1), kind="stable")[:MAX_ROWS]
    # Rows in the order of the factor they know best, so that a disentangled code is a diagonal; the idle ones last.
    knows = known[order].max(1) > 0.1
    order = order[np.lexsort((-known[order].max(1), np.where(knows, known[order].argmax(1), table.shape[1])))]
    image = axes.imshow(table[order], aspect="auto", cmap=style.share(), vmin=0, vmax=1, interpolation="nearest")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, color="#CCCCCC")
    axes.set_yticks(range(len(order)), [f"z{latent}" for latent in order])
    names = _factor_names(results, table.shape[1])
    axes.set_xticks(range(table.shape[1]), names)
    style.slant_labels(axes)
    for row, column in np.ndindex(len(order), table.shape[1]):
        value = table[order[row], column]
        if np.isfinite(value) and value >= 0.05:
            colour = "white" if value > 0.55 else "#222222"
            axes.text(column, row, wording.fixed(value, 2), ha="center", va="center", fontsize=9, color=colour)
    rest = len(table) - len(order)
    axes.set_ylabel(f"latent; {rest} more not shown" if rest else "latent")
    axes.set_title(wording.showcase_title(results, showcase, separator="\n"), loc="left", fontsize=12)
    return image


def _factor_names(results: Results, number: int) -> list[str]:
    names = results.factor_names if len(results.factor_names) == number else [f"factor {k}" for k in range(number)]
    return [name.replace("_", " ") for name in names]
