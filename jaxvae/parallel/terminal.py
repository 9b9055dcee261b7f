"""What is said on a terminal: nothing that cannot be written there is ever an error. Knows nothing else.

A pipe's reader goes away (`| head`, Ctrl-C on `| tee`), a terminal is closed, a disk is full, a locale has no "±": none
of it may cost what was being trained.
"""

import contextlib
import errno
import os
import shutil
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from jaxvae.words import printable, printable_lines

INSTEAD = {
    "±": "+-", "×": "x", "·": "*", "…": "...", "—": "-", "–": "-", "−": "-", "─": "-", "→": "->", "≤": "<=", "≥": ">=",
    "‘": "'", "’": "'", "“": '"', "”": '"', "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "η": "eta",
    "λ": "lambda", "μ": "mu", "σ": "sigma", "Σ": "sum", "∞": "inf", "√": "sqrt", "∈": "in",
}  # fmt: skip
"""What stands for signs that an encoding lacks."""


def spelled(text: str, encoding: str | None) -> str:
    """Return text in signs that an encoding has: what stands for them, letters without accents, else "?"."""
    try:
        "".encode(encoding := encoding or "ascii")
    except LookupError:
        encoding = "ascii"

    def one(sign: str) -> str:
        for other in (sign, INSTEAD.get(sign), unicodedata.normalize("NFKD", sign)):
            if other is not None:
                with contextlib.suppress(UnicodeError):
                    return other.encode(encoding, "strict" if other == sign else "ignore").decode(encoding) or "?"
        return "?"

    return "".join(map(one, text))


def write(stream: TextIO | None, text: str) -> None:
    """Write text to a stream that may lack its signs, be closed, or be no longer there."""
    if stream is None:  # closed before Python started
        return
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(spelled(text, getattr(stream, "encoding", None)))
        stream.flush()
    except (OSError, ValueError) as error:  # a ValueError says that the stream is closed
        _let_go(stream, error)


def _let_go(stream: TextIO, error: Exception) -> None:
    """Send what a stream that nobody reads any more still holds nowhere; Python would complain at exit."""
    if getattr(error, "errno", None) in (errno.EPIPE, errno.EIO, errno.EBADF, errno.ECONNRESET):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


LOCK = threading.RLock()
"""Held while something is printed of which only a part would make no sense."""

_ERASED = "\r\x1b[2K"
_replaced = False  # whether what stands in the last line is to be replaced


def line(text: Any = "") -> None:
    """Print a line, as `print` does, where it can be printed; in the place of one that `replace` has put there."""
    global _replaced
    with LOCK:
        before, _replaced = _ERASED * _replaced, False
        write(sys.stdout, f"{before}{printable_lines(text)}\n")


def replace(text: str) -> None:
    """Show a text on a terminal in the place of the last one that was shown so, cut to its width; "" for none."""
    global _replaced
    with LOCK:
        if text or _replaced:
            _replaced = bool(text)
            write(sys.stdout, _ERASED + printable(text)[: shutil.get_terminal_size().columns - 1])


def steady(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return what says a line as `say` does, and is silent where that cannot write.

    What a terminal would obey is spelled out: names of data and of files are other people's.
    """
    if say in (print, line):
        return line

    def said(text: str) -> None:
        with contextlib.suppress(OSError, UnicodeError):
            say(printable_lines(text))

    return said


def is_live(say: Callable[[str], None]) -> bool:
    """Return whether lines go to a terminal, on which one can be replaced by the next."""
    try:
        return say in (print, line) and sys.stdout is not None and sys.stdout.isatty()
    except ValueError:  # closed
        return False


class _Steady:
    """A stream that never fails; in all else the one it stands for."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        write(self._stream, text)
        return len(text)

    def writelines(self, lines) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        write(self._stream, "")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def steadied() -> Iterator[None]:
    """Let nothing that a command prints fail, whoever prints it."""
    _open_what_is_closed()
    with contextlib.ExitStack() as stack:
        if sys.stdout is not None:
            stack.enter_context(contextlib.redirect_stdout(_Steady(sys.stdout)))
        if sys.stderr is not None:
            stack.enter_context(contextlib.redirect_stderr(_Steady(sys.stderr)))
        yield


def _open_what_is_closed() -> None:
    """Give standard streams that were closed a place; else a file that is opened takes it, and is printed to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
