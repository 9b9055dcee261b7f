"""Rows of pictures: images moved along attributes and along single latents. Knows arrays of images, no judge."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae.navigate import Navigation
from jaxvae.report import images, style, wording
from jaxvae.report.navigation import looks, reading

MAX_LATENTS = 12
ROW_OF_LABELS = 1.75  # inches
LARGEST, SMALLEST = 0.7, 0.5  # inches of a tile


@style.styled
def plot_edits(results: Navigation, attribute: int, num_images: int = 2) -> Figure:
    """Images moved along attributes.

    Held-out images beside what each model decodes when their codes are moved along the normal of the attribute's
    boundary, in steps of one standard deviation of the codes, from less of the attribute to more; in the middle is the
    reconstruction. A good direction changes the attribute and nothing else. Orange marks: the steps at which the
    judge's score has moved by the target, mean over all edited images both ways (where there are none, it never does).
    Selectivity is the attribute's share of all that this moves: 0 to 1, chance 1/A, more is better.
    """
    moved = results.shown.edits[:, attribute, :num_images]
    num_models, num_images, num_steps, height, width = moved.shape[:5]
    block = num_steps + 2  # a column for the image, and one of paper between images
    pictures = np.full((num_models, num_images * block - 1, *moved.shape[3:]), 255, np.uint8)
    for number in range(num_images):
        pictures[0, number * block] = results.shown.originals[number]
        pictures[:, number * block + 1 : number * block + 1 + num_steps] = moved[:, number]
    columns = pictures.shape[1]
    tile = float(np.clip(10.2 / columns, SMALLEST, LARGEST))
    made = style.figure(ROW_OF_LABELS + tile * columns, 0.75 + 1.08 * tile * num_models * height / width)
    axes = made.add_subplot()
    across, down = _strip(axes, pictures)
    steps, positions = _names_of_steps(results.shown.positions), results.shown.positions
    axes.set_xticks(
        np.concatenate([across[number * block : number * block + 1 + num_steps] for number in range(num_images)]),
        ["image", *steps] * num_images,
    )
    axes.set_yticks(down, [_said(results, model, attribute) for model in range(num_models)])
    axes.tick_params(axis="y", labelsize=10)
    for model, label in enumerate(axes.get_yticklabels()):
        label.set_color(looks.colour(model))
    mark = {"markersize": 5, "markeredgewidth": 0, "color": style.QUALITATIVE[1], "clip_on": False}
    for model, number in np.ndindex(num_models, num_images):
        if results.normals.steerable[model, attribute]:
            step = float(results.normals.step.value[model, attribute])
            own = across[number * block + 1 : number * block + 1 + num_steps]
            below = down[model] + height / 2 + 0.5 * images.GAP * width
            axes.plot(np.interp([-step, step], positions, own), [below] * 2, "^", **mark)
    made.suptitle(reading.named(results.attributes[attribute]), x=0.01, ha="left", fontsize=14, fontweight="bold")
    return made


def _said(results: Navigation, model: int, attribute: int) -> str:
    """Return the name of a model and how selective its normal is."""
    selectivity = results.normals.selectivity.value[model, attribute]
    if not results.normals.steerable[model, attribute]:
        return f"{results.models[model]}\nunsteerable"
    return f"{results.models[model]}\nselectivity {wording.fixed(float(selectivity), 3)}"


def _strip(axes: Axes, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    across, down = images.tiles(axes, pictures.astype(np.float32) / 255)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    return across, down


def _names_of_steps(positions: np.ndarray) -> list[str]:
    names = [f"{position:+g}".replace("-", "−") if position else "0" for position in np.round(positions, 2).tolist()]
    return [*names[:-1], f"{names[-1]} sd"]


@style.styled
def plot_latents(results: Navigation) -> dict[str, Figure]:
    """Single latents beside attributes.

    Left: the code of one image moved along each single latent, from the one that changes most pixels to the one that
    changes fewest, turned so that more of the attribute is to the right. Right: the same code moved along the normal of
    that readable attribute whose normal leans most on this latent; n is its component there, at most 1. Where n is near
    1 both rows are the same; a model whose single latents were attributes would look the same left and right.
    """
    made = {}
    for model, name in enumerate(results.models):
        if results.alive[model].any():
            made[name] = _latents(results, model)
    return made


def _latents(results: Navigation, model: int) -> Figure:
    pictures = results.shown.latents[model]
    alive = np.flatnonzero(results.alive[model])
    change = np.square(np.diff(pictures[alive][:, [0, -1]].astype(np.float32), axis=1)).mean((1, 2, 3, 4))
    order = alive[np.argsort(-change, kind="stable")][:MAX_LATENTS]
    among = np.flatnonzero(results.readable) if results.readable.any() else np.arange(len(results.attributes))
    components = results.boundaries.normals[model, among]  # [a, D]
    leaning = np.abs(components[:, order]).argmax(0)
    signed = components[leaning, order]
    alone = np.stack([pictures[d] if n >= 0 else pictures[d, ::-1] for d, n in zip(order, signed, strict=True)])
    directed = results.shown.edits[model, among[leaning], 0]
    rows, steps, height, width = alone.shape[:4]
    tile = float(np.clip(9.0 / (2 * steps), SMALLEST, LARGEST))
    made = style.figure(1.2 + ROW_OF_LABELS + tile * 2 * (steps + 0.2), 1.0 + 1.08 * tile * rows * height / width)
    grid = made.add_gridspec(1, 2)
    left = made.add_subplot(grid[0])
    across, down = _strip(left, alone)
    left.set_xticks(across, _names_of_steps(results.shown.positions))
    left.set_yticks(down, [f"{'+' if n >= 0 else '−'}z{d}" for d, n in zip(order, signed, strict=True)])
    left.set_title("single latent", loc="left", fontsize=12)
    right = made.add_subplot(grid[1])
    across, down = _strip(right, directed)
    right.set_xticks(across, _names_of_steps(results.shown.positions))
    right.yaxis.tick_right()
    right.tick_params(length=0)
    words = [
        f"{reading.named(results.attributes[among[a]])}\nn = {wording.fixed(abs(float(n)), 2)}"
        for a, n in zip(leaning, signed, strict=True)
    ]
    right.set_yticks(down, words)
    right.tick_params(axis="y", labelsize=10)
    right.set_title("attribute that leans on it", loc="left", fontsize=12)
    rest = len(alive) - rows
    more = f"; {rest} more latents not shown" if rest else ""
    made.suptitle(f"{results.models[model]}{more}", x=0.01, ha="left", fontsize=14, fontweight="bold")
    return made
