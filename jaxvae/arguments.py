"""What is given from Python, taken or refused in one line: paths, arrays. Knows no room."""

import pathlib
from typing import Any

import numpy as np

from jaxvae.types import InputError

LONGEST = 100  # signs of what was given that an error repeats


def shortened(value: Any) -> str:
    """Return what Python calls a value, on one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:80]} … ({len(text):,} signs)"


def as_path(what: str, value: Any, error: type[InputError] = InputError) -> pathlib.Path:
    """Return a path, ~ as the user's home.

    Args:
        what: what an error calls it.
        value: text or a path.
        error: the kind of error.

    Raises:
        InputError: it is neither, or there is no home.
    """
    try:
        return pathlib.Path(value).expanduser()
    except TypeError:
        raise error(f"{what} must be a path, got {shortened(value)}") from None
    except RuntimeError as reason:  # of a user without an entry
        raise error(f"{what} {value}: {reason}; write it without ~") from None


def as_array(what: str, value: Any, error: type[InputError] = InputError) -> np.ndarray:
    """Return a value as an array of NumPy, of whatever type.

    Raises:
        InputError: it cannot be one: nested lists of unequal lengths, for example.
    """
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        raise error(f"{what} cannot be made an array: rows must be equally long, and of numbers") from None
