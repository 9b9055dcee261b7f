"""Pictures of codes: where classes lie, and what the plane of two latents decodes to. Knows arrays, no model."""

from typing import Any

import matplotlib
import matplotlib.patheffects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxvae.report import projections, style, wording
from jaxvae.report.images import file_name, tiles
from jaxvae.types import Manifold, Results, Showcase, ShownCodes

PANEL = 3.7  # inches
FEW_CLASSES = 20  # that can be told apart by hue
MOST_COMPARED = 500  # points of a class, all with all
CLEARANCE = 0.07  # of a panel's side, between the names of two classes
HUES = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C564B", "#7F7F7F", "#BCBD22", "#5B3A9B")


@style.styled
def plot_codes(results: Results) -> Figure | None:
    """Codes and classes.

    Posterior means of images of the evaluation set, coloured by their first label, for the lanes on show. Above, t-SNE,
    which keeps neighbours together and whose distances between islands and sizes of islands say nothing; below, the two
    principal components, a shadow of the codes in which what lies apart does lie apart. Codes of two latents are shown
    as they are. More than twenty classes are coloured by their number.
    """
    shown = [show for show in results.showcases if is_drawable(show.codes)]
    if not shown:
        return None
    rows = max(1 if show.codes.means.shape[1] == 2 else 2 for show in shown)
    made = style.figure(PANEL * len(shown) + 0.4, (PANEL - 0.2) * rows + 0.5)
    for column, show in enumerate(shown):
        two = show.codes.means.shape[1] == 2
        for row, draw in enumerate([draw_plane] if two else [draw_t_sne, draw_components]):
            axes = made.add_subplot(rows, len(shown), row * len(shown) + column + 1)
            draw(axes, show.codes)
            if row == 0:
                axes.set_title(wording.showcase_title(results, show, separator="\n"), loc="left", fontsize=12)
    explain_classes(made, shown[0].codes)
    return made


def is_drawable(codes: ShownCodes | None) -> bool:
    """Tell whether there are codes of two latents or more, all finite."""
    return codes is not None and codes.means.shape[1] > 1 and len(codes.means) > 1 and np.isfinite(codes.means).all()


def draw_t_sne(axes: Axes, codes: ShownCodes, **options: Any) -> None:
    """Draw the t-SNE of codes; options as for `projections.t_sne`."""
    scatter(axes, projections.t_sne(codes.means, **options), codes, named=True)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("t-SNE")


def draw_components(axes: Axes, codes: ShownCodes) -> None:
    """Draw codes along their principal components."""
    places, shares = projections.principal(codes.means)
    scatter(axes, places, codes)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    first, second = (f"{share:.0%}" for share in shares)
    axes.set_xlabel(f"principal component 1 ({first} of variance)")
    axes.set_ylabel(f"component 2 ({second})")


def draw_plane(axes: Axes, codes: ShownCodes) -> None:
    """Draw codes of two latents as they are."""
    scatter(axes, codes.means, codes, named=True)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("z0")
    axes.set_ylabel("z1")


def scatter(axes: Axes, places: np.ndarray, codes: ShownCodes, *, named: bool = False) -> None:
    """Draw points [P, 2] in the colours of their classes, and name each few classes where most of its points lie."""
    colours, number = colours_of(len(codes.called)), len(codes.called)
    axes.scatter(*places.T, c=[colours[value] for value in codes.values], s=5, alpha=0.8, linewidth=0, rasterized=True)
    axes.margins(0.03)
    axes.grid(False)
    if not named or number > FEW_CLASSES:
        return
    size, taken = np.ptp(places, axis=0), []
    halo = [matplotlib.patheffects.withStroke(linewidth=2.5, foreground="white")]
    for value in np.unique(codes.values):
        place = middle(places[codes.values == value])
        if all(np.linalg.norm((place - other) / np.where(size > 0, size, 1)) > CLEARANCE for other in taken):
            look = {"ha": "center", "va": "center", "fontweight": "bold", "path_effects": halo, "color": "#222222"}
            axes.text(*place, str(codes.called[value]).replace("_", " "), **look)
            taken.append(place)


def middle(places: np.ndarray) -> np.ndarray:
    """Return the one of points [P, 2] whose nearest quarter of them is nearest: no place between parts of a class."""
    if len(places) > MOST_COMPARED:
        places = places[:: -(-len(places) // MOST_COMPARED)]
    distances = np.linalg.norm(places[:, None] - places, axis=-1)
    return places[np.quantile(distances, 0.25, axis=1).argmin()]


def colours_of(number: int) -> list[Any]:
    """Return a colour for each of some classes: hues for few, else a scale by number."""
    if number <= len(HUES):
        return list(HUES[:number])
    if number <= FEW_CLASSES:
        return list(matplotlib.colormaps["tab20"].colors[:number])
    return list(style.sequential()(np.linspace(0, 1, number)))


def explain_classes(made: Figure, codes: ShownCodes) -> None:
    """Say over a figure, or beside it for many classes, which colour is which class."""
    name, number = codes.name.replace("_", " "), len(codes.called)
    if number > FEW_CLASSES:
        scale = ScalarMappable(Normalize(0, number - 1), style.sequential())
        bar = made.colorbar(scale, ax=made.axes, shrink=0.6, pad=0.02)
        bar.set_label(f"{name}, by number")
        bar.outline.set_visible(False)
        return
    look = {"linestyle": "", "marker": "o", "markersize": 7}
    labels = [str(called).replace("_", " ") for called in codes.called]
    pairs = zip(colours_of(number), labels, strict=True)
    style.legend_above(made, [Line2D([], [], color=colour, label=label, **look) for colour, label in pairs])


@style.styled
def plot_manifold(results: Results) -> dict[str, Figure] | None:
    """The plane of two latents, decoded.

    What models of two latents draw for every place of their code: at each latent's quantiles of the prior that the
    lane was trained with, as a Gaussian of its mean and width. Where neighbours blend, the code is continuous; images
    that belong to no class stand on the way between classes.
    """
    made: dict[str, Figure] = {}
    for showcase in results.showcases:
        if showcase.manifold is not None:
            name = file_name(showcase.title)
            made[name if name not in made else f"{name}_{len(made)}"] = _manifold(results, showcase)
    return made or None


def _manifold(results: Results, showcase: Showcase) -> Figure:
    height, width = showcase.manifold.images.shape[2:4]
    made = style.figure(7.2, 1.2 + 6.2 * height / width)
    axes = made.add_subplot()
    draw_manifold(axes, showcase.manifold)
    axes.set_xlabel("z0: share of the prior below")
    axes.set_ylabel("z1: share of the prior below")
    axes.set_title(wording.showcase_title(results, showcase), loc="left", fontsize=12)
    return made


def draw_manifold(axes: Axes, manifold: Manifold, *, ticks: int = 5) -> None:
    """Draw a manifold as one picture, latent 0 to the right and latent 1 upwards, with some of its quantiles."""
    across, down = tiles(axes, manifold.images)
    chosen = np.unique(np.linspace(0, len(across) - 1, ticks).round().astype(int))
    words = [f"{manifold.shares[index]:.0%}" for index in chosen]
    axes.set_xticks(across[chosen], words)
    axes.set_yticks(down[::-1][chosen], words)
