"""What loading has to say: terms of use, progress of a long decoding, a cache that cannot be written. Knows no source.

It goes to the logger "jaxvae.data", which shows warnings only until a command, or a user, wants to see the rest.
"""

import logging
from collections.abc import Callable

LOGGER = logging.getLogger("jaxvae.data")


class _Saying(logging.Handler):
    def __init__(self, say: Callable[[str], None]):
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


def show(say: Callable[[str], None] = print) -> None:
    """Let every line be said from now on, as a command does."""
    LOGGER.handlers = [_Saying(say)]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
