"""Traversals that move, for talks: looping pictures, each one file. Knows arrays of images, no model."""

import io
import pathlib

import matplotlib  # for its font alone
import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from jaxvae import files
from jaxvae.report import images, wording
from jaxvae.types import Results, Showcase
from jaxvae.words import printable

PLOT = "traversals"
"""The plot in whose section of the page the moving pictures stand."""
MOVING = "_moving"
CAPTION = (
    "The moving pictures show every latent at once, each moved alone from the code of the same image, there and back; "
    "they are files of their own, figures/traversals_….webp."
)

PER_ROW = 5
TILE = 128  # pixels of a tile's longer side at most; images are enlarged by whole numbers
GAP, LINE, MARGIN = 10, 20, 14  # pixels
LEAST_WIDTH = 560  # of a frame, for its title
MILLISECONDS = 110  # a frame is shown
MOST_BYTES = 300_000
INK, FAINT, ACCENT = "#222222", "#B8B8B8", "#0072B2"


def save_all(results: Results, directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Write a moving picture of every lane on show; return {name: path}, named after the still one beside it."""
    found: dict[str, pathlib.Path] = {}
    for showcase in results.showcases:
        if np.size(showcase.traversals) == 0:
            continue
        title = images.file_name(showcase.title)
        name = f"{PLOT}_{title}{MOVING}"
        name = name if name not in found else f"{PLOT}_{title}_{len(found)}{MOVING}"
        data, kind = encoded(frames(results, showcase))
        found[name] = directory / f"{name.removesuffix(MOVING)}.{kind}"
        files.replace(found[name], data)
    return found


def frames(results: Results, showcase: Showcase) -> list[Image.Image]:
    """Return a frame for each value, there and back: the latents that the still figure shows, in its order."""
    order = images.rows_shown(showcase)
    grid = np.asarray(showcase.traversals)[order]
    grid = np.round(255 * np.clip(np.nan_to_num(grid), 0.0, 1.0)).astype(np.uint8)
    times = max(1, TILE // max(grid.shape[2:4]))
    grid = grid.repeat(times, axis=2).repeat(times, axis=3)[..., : 3 if grid.shape[-1] >= 3 else 1]
    grid = np.broadcast_to(grid, (*grid.shape[:-1], 3))
    there = range(len(showcase.traversal_values))
    background, corners = _background(results, showcase, order, grid.shape[2:4])
    return [_frame(background, corners, grid, showcase.traversal_values, n) for n in (*there, *there[-2:0:-1])]


def _background(
    results: Results, showcase: Showcase, order: np.ndarray, tile: tuple[int, int]
) -> tuple[Image.Image, list[tuple[int, int]]]:
    """Return what is the same in every frame, and where the tiles' upper left corners are."""
    columns, rows = min(PER_ROW, len(order)), -(-len(order) // PER_ROW)
    height, width = tile
    whole = max(LEAST_WIDTH, 2 * MARGIN + columns * (width + GAP) - GAP)
    left = (whole - columns * (width + GAP) + GAP) // 2
    top = MARGIN + LINE + GAP
    made = Image.new("RGB", (whole, top + rows * (LINE + height + GAP) + 2 * LINE + MARGIN // 2), "white")
    pen = ImageDraw.Draw(made)
    pen.text((MARGIN, MARGIN), printable(wording.showcase_title(results, showcase)), fill=INK, font=_font(15))
    corners = []
    for place, latent in enumerate(order):
        row, column = divmod(place, PER_ROW)
        x, y = left + column * (width + GAP), top + row * (LINE + height + GAP)
        pen.text((x, y), f"z{latent}   {wording.fixed(float(showcase.kl[latent]), 2)} nats", fill=INK, font=_font(13))
        corners.append((x, y + LINE))
    return made, corners


def _frame(
    background: Image.Image, corners: list[tuple[int, int]], grid: np.ndarray, values: np.ndarray, number: int
) -> Image.Image:
    made = background.copy()
    for corner, strip in zip(corners, grid, strict=True):
        made.paste(Image.fromarray(strip[number]), corner)
    pen = ImageDraw.Draw(made)
    width, height = made.size
    least, most = float(np.min(values)), float(np.max(values))
    share = (float(values[number]) - least) / (most - least) if most > least else 0.5
    y, ends = height - MARGIN - LINE // 2, (MARGIN, width // 3)
    x = ends[0] + share * (ends[1] - ends[0])
    pen.line([(ends[0], y), (ends[1], y)], fill=FAINT, width=3)
    pen.ellipse([x - 6, y - 6, x + 6, y + 6], fill=ACCENT)
    words = f"each latent at {wording.fixed(float(values[number]), 1)} standard deviations of its prior"
    pen.text((ends[1] + 2 * GAP, y - 9), words, fill=INK, font=_font(13))
    return made


def encoded(made: list[Image.Image]) -> tuple[bytes, str]:
    """Return frames as a looping picture and what it is: WebP, exact where that is small enough; else GIF."""
    options = {"save_all": True, "append_images": made[1:], "duration": MILLISECONDS, "loop": 0}
    if not features.check("webp"):
        file = io.BytesIO()
        made[0].save(file, format="GIF", **options)
        return file.getvalue(), "gif"
    for quality in ({"lossless": True}, {"quality": 80}, {"quality": 50}, {"quality": 20}):
        file = io.BytesIO()
        made[0].save(file, format="WEBP", method=2, **options, **quality)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue(), "webp"


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Return the font of all figures, which comes with matplotlib; Pillow's own where it cannot be read."""
    try:
        return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
    except (OSError, ImportError):
        return ImageFont.load_default()
