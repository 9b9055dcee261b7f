"""How models and attributes look in all figures alike. Knows no numbers."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from jaxvae.navigate import Navigation
from jaxvae.report import style
from jaxvae.report.navigation.reading import named

FAR_APART = 0.7  # of a row, what the marks of all models share


def colour(model: int) -> str:
    """Return the colour of a model."""
    return style.QUALITATIVE[model % len(style.QUALITATIVE)]


def marker(model: int) -> str:
    """Return the mark of a model; with the second round of colours marks move on by one, so that no two look alike."""
    return style.MARKERS[(model + model // len(style.QUALITATIVE)) % len(style.MARKERS)]


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
