"""What a data set raises at the door: always one line that names the file and what to do. Knows no source."""

import contextlib
from collections.abc import Iterator

from jaxvae.types import InputError

_LONGEST_REASON = 300  # characters; TFDS and h5py can put whole arrays into a message


class DataError(InputError):
    """Data that cannot be used as it is, or an argument that names none; its message is one line with the remedy."""


class DataNotFoundError(DataError, FileNotFoundError):
    """No data where it was looked for; the message says where to get it."""


def reason(error: BaseException) -> str:
    """Return class and message of an error on one line."""
    text = " ".join(str(error).split())
    if len(text) > _LONGEST_REASON:
        text = text[:_LONGEST_REASON] + " …"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def damage(what, remedy: str) -> Iterator[None]:
    """Turn whatever a decoder raises inside the block into one DataError "<what> cannot be read (…): <remedy>".

    Only for blocks that do nothing but call a reader: gzip, zip, HDF5, Pillow and TFDS raise a dozen unrelated classes
    for a bad file (OSError, EOFError, zlib.error, KeyError, SyntaxError, RuntimeError, …), so all of them are taken.
    """
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        # "from None": the reader's own traceback says nothing that the line does not.
        raise DataError(f"{what} cannot be read ({reason(error)}): {remedy}") from None
