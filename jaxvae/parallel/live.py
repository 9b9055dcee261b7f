"""A line that says what is going on, how fast, and for how long still, where it lasts. Knows nothing of what goes on.

    with live.heard_by(say):                               # once, by who has somebody to say it to
        with live.line("scoring", 60, "lanes") as tick:    # anywhere below, in any room
            tick(5)

On a terminal it is one line, drawn anew each second by a thread of its own, and gone when the block ends. Elsewhere it
is a plain line, at most one every PLAIN seconds, when there is something new to say. Where nobody hears, nothing
happens.
"""

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator

from jaxvae.parallel import terminal

PATIENCE = 2.0
"""Seconds for which nothing is said: what is over by then needs no words."""

PERIOD, PLAIN = 1.0, 10.0
"""Seconds between two looks of a line on a terminal, and between two lines elsewhere."""

_now = time.perf_counter

_say: contextvars.ContextVar[Callable[[str], None] | None] = contextvars.ContextVar("say", default=None)
_outer: contextvars.ContextVar["Line | None"] = contextvars.ContextVar("line", default=None)


class Line:
    """What is said of one thing that goes on.

    Args:
        doing: in a few words, "compiling beta_vae_conv".
        total: how much there is to do; None where nobody knows.
        unit: what that is counted in.
        say: prints a line, where there is no terminal.
    """

    def __init__(self, doing: str, total: int | None, unit: str, say: Callable[[str], None] | None = None):
        self.total = total
        self._doing, self._unit, self._say = doing, unit, say
        self._done, self._begun = 0, _now()
        self._said = self._begun
        self._drawn, self._ended, self.covered = False, False, False
        self._stop = threading.Event()

    def tick(self, num: int = 1) -> None:
        """Note that so much more is done; say so where that is due and there is no terminal. Any thread may."""
        with terminal.LOCK:
            self._done += num
            due = self._say is not None and not self.covered and not self._ended and _now() - self._said >= PLAIN
            if due:
                self._said = _now()
                self._say(f"  {self.text()}")

    def text(self) -> str:
        """Return what there is to say now."""
        spent = max(_now() - self._begun, 1e-9)
        if not self.total:
            return f"{self._doing}  {clock(spent)}"
        line = f"{self._doing}  {self._done:,}/{self.total:,} {self._unit}".rstrip()
        if not self._done:
            return f"{line}  {clock(spent)}"
        rate = self._done / spent
        shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        return f"{line}  {shown} {self._unit}/s  ETA {clock(max(0, self.total - self._done) / rate)}"

    def show(self) -> None:
        """Draw the line on the terminal, if it is old enough, not over, and no other one stands for it."""
        with terminal.LOCK:
            if not self._ended and not self.covered and _now() - self._begun >= PATIENCE:
                terminal.replace(self.text())
                self._drawn = True

    def start(self) -> None:
        """Draw the line each PERIOD from now on, until it ends."""
        threading.Thread(target=self._draw, name="live line", daemon=True).start()

    def end(self) -> None:
        """Take the line away; nothing is written of it from here on."""
        with terminal.LOCK:
            self._ended = True
            self._stop.set()
            if self._drawn:
                terminal.replace("")

    def _draw(self) -> None:
        while not self._stop.wait(PERIOD):
            self.show()


@contextlib.contextmanager
def heard_by(say: Callable[[str], None] | None) -> Iterator[None]:
    """Let lines be said inside, as `say` says any; None for nobody."""
    token = _say.set(say)
    try:
        yield
    finally:
        _say.reset(token)


@contextlib.contextmanager
def line(
    doing: str, total: int | None = None, unit: str = "", *, plain: Callable[[str], None] | None = None
) -> Iterator[Callable[[int], None]]:
    """Say what goes on while the block lasts; give what notes that so much more is done.

    Of lines inside one another the outermost that counts something is said, else the outermost.

    Args:
        doing, total, unit: see Line.
        plain: prints a line where there is no terminal, instead of `say` of `heard_by`.
    """
    say, outer = _say.get(), _outer.get()
    is_live = say is not None and terminal.is_live(say)
    say = None if is_live else plain or say
    if (say is None and not is_live) or (outer is not None and (outer.total or not total)):
        yield lambda num=1: None
        return
    own = Line(doing, total, unit, say)
    token = _outer.set(own)
    try:
        if outer is not None:
            outer.covered = True
        if is_live:
            own.start()
        yield own.tick
    finally:
        own.end()
        _outer.reset(token)
        if outer is not None:
            outer.covered = False


def clock(seconds: float) -> str:
    """Return seconds as "1:02:03", "2:03" or "3 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
