"""Charts of 256 colours, a third of the size: the page of a large sweep would take too long to open. Knows no plot.

Colours are gathered in boxes of 4 x 4 x 4, and those that matter most are kept: a colour weighs as many pixels as
have it, times how far it is from the nearest one that is kept already, so that a red mark of few pixels stays red.
"""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

LARGE = 400_000  # bytes; smaller charts stay as they are
MOST = 80_000_000  # pixels; larger ones stay too, which Pillow takes for an attack
COLOURS = 256
_STRIP = 1 << 22  # pixels that are looked at together
_BITS = 6  # of a channel


def paletted(png: bytes) -> bytes:
    """Return a PNG with at most 256 colours, the most frequent ones as they are; the same bytes where it is small."""
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))  # of the header chunk, IHDR
    if len(png) <= LARGE or width * height > MOST:
        return png
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    counts, sums = np.zeros(1 << 3 * _BITS, int), np.zeros((3, 1 << 3 * _BITS))
    for strip in _strips(pixels):
        boxes = _boxes(strip)
        counts += np.bincount(boxes, minlength=len(counts))
        for channel in range(3):
            sums[channel] += np.bincount(boxes, strip[:, channel], minlength=len(counts))
    there = np.flatnonzero(counts)
    colours = (sums[:, there] / counts[there]).T
    palette = np.round(_kept(colours, counts[there])).astype(np.uint8)
    lookup = np.zeros(len(counts), np.uint8)
    lookup[there] = _nearest(colours, palette.astype(float))
    indices = b"".join(lookup[_boxes(strip)].tobytes() for strip in _strips(pixels))
    made, file = Image.frombytes("P", (pixels.shape[1], pixels.shape[0]), indices), io.BytesIO()
    made.putpalette(palette.tobytes())
    made.save(file, format="PNG")
    return min(file.getvalue(), png, key=len)


def _strips(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the pixels u8[N, 3] of some rows after the other."""
    rows = max(1, _STRIP // pixels.shape[1])
    for start in range(0, len(pixels), rows):
        yield pixels[start : start + rows].reshape(-1, 3)


def _boxes(pixels: np.ndarray) -> np.ndarray:
    """Return the number of the box of each pixel."""
    red, green, blue = (pixels[:, channel].astype(np.int32) >> 8 - _BITS for channel in range(3))
    return (red << 2 * _BITS) | (green << _BITS) | blue


def _kept(colours: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the colours [P, 3] that are kept of the mean colours [B, 3] of boxes."""
    chosen = [int(np.argmax(counts))]
    far = np.square(colours - colours[chosen[0]]).sum(1)
    while len(chosen) < min(COLOURS, len(colours)):
        chosen.append(int(np.argmax(counts * far)))
        far = np.minimum(far, np.square(colours - colours[chosen[-1]]).sum(1))
    return colours[chosen]


def _nearest(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the place in the palette of the colour nearest to each of the colours."""
    return np.argmin(np.square(palette).sum(1) - 2 * colours @ palette.T, axis=1)
