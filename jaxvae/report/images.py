"""Pictures of what lanes make: reconstructions and traversals. Knows arrays of images, no model that made them."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae.report import latents, style, wording
from jaxvae.types import Results, Showcase

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
        across, down = _tiles(axes, pairs)
        axes.set_yticks(down, ["original", "rebuilt"])
        axes.set_xticks(across, [str(index + 1) for index in range(len(across))])
        if row + 1 < len(shown):
            axes.set_xticklabels([])
        else:
            axes.set_xlabel("image")
        axes.set_title(wording.showcase_title(results, showcase), loc="left", fontsize=12)
    return made


@style.styled
def plot_traversals(results: Results) -> dict[str, Figure] | None:
    """Traversals.

    A row is a latent, the most informative at the top with its KL in nats; along the row it moves through the prior
    while all other latents stay at the code of one image. A disentangled latent changes one thing; a latent with no
    KL changes nothing.
    """
    made: dict[str, Figure] = {}
    for showcase in results.showcases:
        if np.size(showcase.traversals) == 0:
            continue
        name = re.sub(r"\W+", "_", showcase.title.lower()).strip("_") or "lane"
        made[name if name not in made else f"{name}_{len(made)}"] = _traversal(results, showcase)
    return made or None


def _traversal(results: Results, showcase: Showcase) -> Figure:
    kl = np.nan_to_num(showcase.kl)
    # Two rows without KL show what "off" looks like; thirty would only push the page down.
    num_rows = min(MAX_ROWS, max(MIN_ROWS, int(np.sum(kl > latents.ACTIVE)) + 2))
    order = np.argsort(-kl, kind="stable")[:num_rows]
    grid = np.asarray(showcase.traversals)[order]
    rows, columns, height, width = grid.shape[:4]
    tile = min(0.65, 9.0 / columns)
    made = style.figure(2.6 + tile * columns, 1.2 + rows * tile * height / width)
    axes = made.add_subplot()
    across, down = _tiles(axes, grid)
    shown = style.thin(across, 9)
    values = np.asarray(showcase.traversal_values, float)
    axes.set_xticks([across[i] for i in shown], [wording.fixed(values[i], 1) for i in shown])
    axes.set_yticks(down, [f"z{latent}   {wording.fixed(float(showcase.kl[latent]), 2)}" for latent in order])
    axes.set_xlabel("value of the latent (standard deviations of the prior)")
    rest = len(showcase.traversals) - rows
    axes.set_ylabel("latent and its KL (nats)" + (f"; {rest} more not shown" if rest else ""))
    axes.set_title(wording.showcase_title(results, showcase), loc="left", fontsize=12)
    return made


def _tiles(axes: Axes, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
