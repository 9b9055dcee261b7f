"""Pictures of anybody's opened: by what is in the file and not by its name, in few formats, with a bound on pixels.

Pillow knows formats that start other programs (an EPS runs Ghostscript); those here are decoded in this process.
"""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import PIL.Image

from jaxvae.data.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")  # a JPEG may turn out as an MPO, which holds several

MOST_BYTES = 2**28
"""Of one picture's file, unpacked where it lies in a .zip."""

MOST_PIXELS = 2**26
"""Of one picture, 8,192 x 8,192: what a network is shown has thousands, and a file of a few bytes can claim more."""


@contextlib.contextmanager
def opened(file: BinaryIO, called: Any, remedy: str) -> Iterator[PIL.Image.Image]:
    """Open a picture, its pixels not decoded yet.

    Args:
        file: its bytes.
        called: what an error calls it.
        remedy: what to do about one that is too large.

    Raises:
        DataError: it has more than MOST_PIXELS.
        Exception: whatever Pillow raises for a file in none of FORMATS, or a damaged one.
    """
    try:
        picture = PIL.Image.open(file, formats=FORMATS)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise _too_large(called, str(error).split("pixels")[0].rsplit("(", 1)[-1].strip(), remedy) from None
    with picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise _too_large(called, f"{picture.width * picture.height:,}", remedy)
        yield picture


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let Pillow refuse, not warn of, pictures that claim very many pixels. Around `opened`, and around its threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        yield


def _too_large(called: Any, pixels: str, remedy: str) -> DataError:
    return DataError(f"{called} has {pixels} pixels, more than the {MOST_PIXELS:,} that are taken: {remedy}")
