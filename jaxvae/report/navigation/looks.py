"""Which attributes come first, in which order, and how a model looks, in all figures alike. Knows no figure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from jaxvae.navigate import Navigation
from jaxvae.report import style

MOST_FEATURED = 10
WELL_KNOWN = ("Male", "Smiling", "Eyeglasses", "Young", "Blond_Hair", "Bald")
"""What readers of papers on faces look for, where the data has it."""
FAR_APART = 0.7  # of a row, what the marks of all models share


def named(attribute: str) -> str:
    """Write the name of an attribute as words."""
    return attribute.replace("_", " ")


def by_selectivity(results: Navigation) -> np.ndarray:
    """Return i32[A], attributes from the most selective normals, mean over models, to the least.

    Those that models are compared by stand before the others.
    """
    mean = np.nan_to_num(results.normals.selectivity.value).mean(0)
    return np.lexsort((-mean, ~results.comparable))


def featured(results: Navigation) -> list[int]:
    """Choose the attributes that are worth a look, in the order of `by_selectivity`."""
    order = by_selectivity(results).tolist()
    known = [number for number in order if results.attributes[number] in WELL_KNOWN]
    chosen = [*known, *(number for number in order if number not in known)][:MOST_FEATURED]
    return [number for number in order if number in chosen]


def neighbours(correlations: np.ndarray) -> np.ndarray:
    """Order A attributes so that those whose labels go together are neighbours.

    Average linkage of 1 - ρ; of the four ways to put two clusters side by side, the one whose ends are nearest.

    Args:
        correlations: f32[A, A].
    """
    far = 1.0 - np.asarray(correlations, float)
    clusters = [[number] for number in range(len(far))]
    while len(clusters) > 1:
        pairs = [(a, b) for a in range(len(clusters)) for b in range(a + 1, len(clusters))]
        first, second = min(pairs, key=lambda pair: far[np.ix_(clusters[pair[0]], clusters[pair[1]])].mean())
        right, left = clusters.pop(second), clusters.pop(first)
        ways = [(one, other) for one in (left, left[::-1]) for other in (right, right[::-1])]
        one, other = min(ways, key=lambda way: far[way[0][-1], way[1][0]])
        clusters.append([*one, *other])
    return np.array(clusters[0] if clusters else [], int)


def colour(model: int) -> str:
    """Return the colour of a model."""
    return style.QUALITATIVE[model % len(style.QUALITATIVE)]


def marker(model: int) -> str:
    """Return the mark of a model."""
    return style.MARKERS[model % len(style.MARKERS)]


def handles(results: Navigation) -> list[Line2D]:
    """Return what a legend says of the models."""
    look = {"linestyle": "", "markersize": 7, "markeredgecolor": "white", "markeredgewidth": 0.5}
    return [
        Line2D([], [], marker=marker(number), color=colour(number), label=name, **look)
        for number, name in enumerate(results.models)
    ]


def beside(model: int, num_models: int) -> float:
    """Return how far from the middle of its row a model stands, so that marks do not hide each other."""
    return FAR_APART * ((model + 0.5) / num_models - 0.5)


def name_rows(axes: Axes, results: Navigation, order: np.ndarray) -> None:
    """Name the rows of a panel by attributes, the first at the top; in grey what models are not compared by."""
    axes.set_yticks(range(len(order)), [named(results.attributes[number]) for number in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    for label, number in zip(axes.get_yticklabels(), order, strict=True):
        label.set_color("#222222" if results.comparable[number] else style.FAINT)
