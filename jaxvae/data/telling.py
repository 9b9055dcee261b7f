"""What loading has to say: terms of use, progress of a long decoding, a cache that cannot be written. Knows no source.

It goes to the logger "jaxvae.data", which shows warnings only until a command, or a user, wants to see the rest.
"""

import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

LOGGER = logging.getLogger("jaxvae.data")


_draw: Callable[..., AbstractContextManager[Callable[[int], Any]]] | None = None


def draw_by(line: Callable[..., AbstractContextManager[Callable[[int], Any]]]) -> None:
    """Let progress be drawn by `line(doing, total, unit, plain=…)`, as jaxvae.parallel.live has it."""
    global _draw
    _draw = line


def progress(doing: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Callable[[int], Any]]:
    """Say how far something is while the block lasts, if that is long: on a terminal, else to the logger.

    What it gives is called with how much more is done.
    """
    if _draw is None:
        return contextlib.nullcontext(lambda num=1: None)
    return _draw(doing, total, unit, plain=lambda text: LOGGER.info("%s", text))


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
