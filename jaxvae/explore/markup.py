"""Pictures and captions as pieces of HTML that need nothing else. Knows no page and no model."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

CSS = """
.gradio-container { max-width: 1500px !important; width: 100%;
  margin: 0 auto !important; }
.dials .block { padding: .3rem .7rem !important; } .dials .form, .dials { gap: 0 !important; }
#starts { align-items: center; } #from { flex: 0 0 auto; width: auto; } #from p { margin: 0; }
.explore h1 { font-size: 1.25rem; margin: 0; } .explore p { margin: .2rem 0 0; opacity: .8; }
.explore figure { margin: 0; } .explore figcaption { font-size: .8rem; opacity: .8; padding-top: .25rem; }
.explore .pair { display: flex; gap: 1rem; } .explore .pair figure { flex: 1 1 0; min-width: 0; max-width: 340px; }
.explore .strip { display: flex; gap: .3rem; } .explore .strip figure { flex: 1 1 0; min-width: 0; }
.explore .strip figcaption { text-align: center; }
.explore .heading { font-size: .85rem; margin: .9rem 0 .35rem; }
.explore img { width: 100%; display: block; image-rendering: pixelated; border-radius: 3px;
  outline: 1px solid var(--border-color-primary); }
.explore .here img { outline: 3px solid var(--color-accent); }
.explore .here figcaption { font-weight: 600; opacity: 1; }
.explore .none { aspect-ratio: 1; border: 1px dashed var(--border-color-primary); border-radius: 3px; display: flex;
  align-items: center; justify-content: center; opacity: .6; font-size: .85rem; text-align: center; padding: 1rem; }
"""


def png(image: np.ndarray) -> bytes:
    """Return an image f32[H, W, C] in [0, 1] as the bytes of a PNG file, one pixel of it for each; NaN is black."""
    pixels = np.round(255 * np.clip(np.nan_to_num(image), 0.0, 1.0)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., 0]).save(file, "PNG", compress_level=1)
    return file.getvalue()


def tile(image: np.ndarray, caption: str, kind: str = "") -> str:
    """Return an image over its caption; the browser enlarges it pixel by pixel."""
    data = base64.b64encode(png(image)).decode("ascii")
    picture = f'<img decoding="sync" alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f'<figure class="{kind}">{picture}<figcaption>{escape(caption)}</figcaption></figure>'


def pair(original: np.ndarray | None, now: np.ndarray, captions: tuple[str, str]) -> str:
    """Return an image beside what is decoded now; where there is no image, that alone."""
    first = "" if original is None else tile(original, captions[0])
    return f'<div class="explore"><div class="pair">{first}{tile(now, captions[1], "now")}</div></div>'


def strip(images: np.ndarray, captions: Sequence[str], here: int | None, heading: str) -> str:
    """Return images in a row under a heading, one of them marked."""
    tiles = "".join(
        tile(image, caption, "here" if n == here else "")
        for n, (image, caption) in enumerate(zip(images, captions, strict=True))
    )
    words = f'<div class="heading">{escape(heading)}</div>'
    return f'<div class="explore">{words}<div class="strip">{tiles}</div></div>'


def head(title: str, lines: Sequence[str]) -> str:
    """Return a title and paragraphs."""
    return f'<div class="explore"><h1>{escape(title)}</h1></div>{notes(lines)}'


def notes(lines: Sequence[str]) -> str:
    """Return paragraphs."""
    return f'<div class="explore">{"".join(f"<p>{escape(line)}</p>" for line in lines if line)}</div>'
