"""Pictures of what lanes make: reconstructions, traversals, swapped labels. Knows arrays of images, no model."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxvae.report import latents, style, wording
from jaxvae.types import LabelSwap, Results, Showcase

MIN_ROWS, MAX_ROWS = 10, 20  # of latents in one traversal; the rest say next to nothing
MAX_COLUMNS = 12
GAP = 0.08  # of an image's width, between tiles


@style.styled
def plot_reconstructions(results: Results) -> Figure | None:
    """Originals and reconstructions.

    Images from the evaluation set above what each lane on show makes of them, decoded from the mean of the code.
    """
    shown = [showcase for showcase in results.showcases if len(showcase.originals)]
    if not shown:
        return None
    columns = min(MAX_COLUMNS, max(len(showcase.originals) for showcase in shown))
    height, width = np.shape(shown[0].originals)[1:3]
    tile = min(0.85, 10.0 / columns)
    made = style.figure(1.7 + tile * columns, sum(0.75 + 2 * tile * height / width for _ in shown))
    for row, showcase in enumerate(shown):
        axes = made.add_subplot(len(shown), 1, row + 1)
        pairs = np.stack([showcase.originals[:columns], showcase.reconstructions[:columns]])
        across, down = tiles(axes, pairs)
        axes.set_yticks(down, ["original", "rebuilt"])
        axes.set_xticks(across, [str(index + 1) for index in range(len(across))])
        if row + 1 < len(shown):
            axes.set_xticklabels([])
        else:
            axes.set_xlabel("image")
        axes.set_title(wording.showcase_title(results, showcase), loc="left", fontsize=12)
    return made


@style.styled
def plot_label_swaps(results: Results) -> dict[str, Figure] | None:
    """Labels swapped.

    What conditional models draw when the code of an image stays and the label changes. A row is an image; its
    reconstruction with the true label, in a frame, stands in that label's column. The code keeps what the label does
    not say: on digits, how they are written.
    """
    made: dict[str, Figure] = {}
    for showcase in results.showcases:
        for swap in showcase.swaps:
            name = file_name(showcase.title, swap.name if len(showcase.swaps) > 1 else "")
            made[name if name not in made else f"{name}_{len(made)}"] = _label_swap(results, showcase, swap)
    return made or None


def _label_swap(results: Results, showcase: Showcase, swap: LabelSwap) -> Figure:
    rows, columns, height, width = swap.images.shape[:4]
    originals = np.asarray(showcase.originals)[:rows, None]
    # A column of paper sets the originals apart from what was made.
    grid = np.concatenate([originals, np.ones_like(originals), swap.images], axis=1)
    tile = min(0.75, 9.0 / (columns + 2))
    made = style.figure(1.6 + tile * (columns + 2), 1.2 + rows * tile * height / width)
    axes = made.add_subplot()
    across, down = tiles(axes, grid)
    axes.set_xticks([across[0], *across[2:]], ["image", *map(str, swap.called or swap.values)])
    axes.set_yticks(down, [str(truth) for truth in swap.truth])
    axes.set_xlabel(f"decoded with {swap.name.replace('_', ' ')}")
    axes.set_ylabel(f"true {swap.name.replace('_', ' ')}")
    margin = max(1, round(GAP * width)) / 2
    for place, truth in zip(down, swap.truth, strict=True):
        for column in np.flatnonzero(swap.values == truth):
            corner = (across[column + 2] - width / 2 - margin, place - height / 2 - margin)
            size = (width + 2 * margin, height + 2 * margin)
            axes.add_patch(
                Rectangle(corner, *size, fill=False, edgecolor=style.QUALITATIVE[1], linewidth=2.5, clip_on=False)
            )
    axes.set_title(wording.showcase_title(results, showcase), loc="left", fontsize=12)
    return made


def file_name(*words: str) -> str:
    """Return words as a part of a file's name."""
    return re.sub(r"\W+", "_", " ".join(filter(None, words)).lower()).strip("_") or "lane"


@style.styled
def plot_traversals(results: Results) -> dict[str, Figure] | None:
    """Traversals.

    A row is a latent, the most informative at the top with its KL in nats; along the row it moves through the prior
    that the lane was trained with while all other latents stay at the code of one image. A disentangled latent changes
    one thing; a latent with no KL changes nothing.
    """
    made: dict[str, Figure] = {}
    for showcase in results.showcases:
        if np.size(showcase.traversals) == 0:
            continue
        name = file_name(showcase.title)
        made[name if name not in made else f"{name}_{len(made)}"] = _traversal(results, showcase)
    return made or None


def rows_shown(showcase: Showcase) -> np.ndarray:
    """Return the latents that a traversal shows, the most informative first."""
    kl = np.nan_to_num(showcase.kl)
    # Two rows without KL show what "off" looks like; thirty would only push the page down.
    num_rows = min(MAX_ROWS, max(MIN_ROWS, int(np.sum(kl > latents.ACTIVE)) + 2))
    return np.argsort(-kl, kind="stable")[:num_rows]


def _traversal(results: Results, showcase: Showcase) -> Figure:
    order = rows_shown(showcase)
    grid = np.asarray(showcase.traversals)[order]
    rows, columns, height, width = grid.shape[:4]
    tile = min(0.65, 9.0 / columns)
    made = style.figure(2.6 + tile * columns, 1.2 + rows * tile * height / width)
    axes = made.add_subplot()
    across, down = tiles(axes, grid)
    shown = style.thin(across, 9)
    values = np.asarray(showcase.traversal_values, float)
    axes.set_xticks([across[i] for i in shown], [wording.fixed(values[i], 1) for i in shown])
    axes.set_yticks(down, [f"z{latent}   {wording.fixed(float(showcase.kl[latent]), 2)}" for latent in order])
    axes.set_xlabel("value of the latent (standard deviations from the prior's mean)")
    rest = len(showcase.traversals) - rows
    axes.set_ylabel("latent and its KL (nats)" + (f"; {rest} more not shown" if rest else ""))
    axes.set_title(wording.showcase_title(results, showcase), loc="left", fontsize=12)
    return made


def tiles(axes: Axes, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Show images [rows, columns, H, W, C] as one picture; return the centres of columns and rows.

    One picture is drawn a hundred times faster than an axes for each image, and its tiles cannot drift apart.
    """
    rows, columns, height, width, channels = grid.shape
    gap = max(1, round(GAP * width))
    canvas = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = grid[row, column]
    canvas = np.clip(np.nan_to_num(canvas), 0.0, 1.0)
    picture = canvas[..., :3] if channels >= 3 else canvas[..., 0]
    # The default interpolation is exact for whole-number enlargements and free of moiré for the others.
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return np.arange(columns) * (width + gap) + width / 2 - 0.5, np.arange(rows) * (height + gap) + height / 2 - 0.5
