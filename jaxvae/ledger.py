"""Where the time of a run goes: a part of it is timed while it lasts, without the parts inside it. Knows no room.

    with ledger.opened() as book:
        with ledger.part("score"):      # anywhere below, in any room
            with ledger.part("compile"):
                ...
    book.seconds()                      # {"score": …, "compile": …, "rest": …}

Where no ledger is open, timing a part does nothing. Only the thread that opened it is timed: what others do meanwhile
is time of the part that waits for them.
"""

import contextlib
import contextvars
import time
from collections.abc import Iterator

import jax

REST, COMPILE = "rest", "compile"

SCORE = "score: "
"""What the name of a part begins with that is of one score."""

_COMPILED = "/jax/core/compile/backend_compile_duration"
"""What JAX calls the seconds that it took to compile a program, or to read a kept one."""

_open: contextvars.ContextVar["Ledger | None"] = contextvars.ContextVar("ledger", default=None)


class Ledger:
    """Seconds of each part, which add up to all there were since it was opened.

    Args:
        before: seconds of parts that are over already.
    """

    def __init__(self, before: dict[str, float] | None = None):
        self._spent = dict(before or {})
        self._inside: list[str] = []
        self._since = time.perf_counter()

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each part until now, those of no part as "rest", in the order of their beginnings."""
        self._turn()
        rest = {REST: self._spent[REST]} if REST in self._spent else {}
        return {name: spent for name, spent in self._spent.items() if name != REST} | rest

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part."""
        self._turn()
        self._inside.append(name)
        self._spent.setdefault(name, 0.0)
        try:
            yield
        finally:
            self._turn()
            self._inside.pop()

    def compiled(self, seconds: float) -> None:
        """Take the seconds that JAX has just spent compiling out of the part that asked for it."""
        if self._inside[-1:] == [COMPILE]:
            return
        self._turn()
        around = self._inside[-1] if self._inside else REST
        self._spent[around] -= seconds
        self._spent[COMPILE] = self._spent.get(COMPILE, 0.0) + seconds

    def _turn(self) -> None:
        now = time.perf_counter()
        current = self._inside[-1] if self._inside else REST
        self._spent[current] = self._spent.get(current, 0.0) + now - self._since
        self._since = now


@contextlib.contextmanager
def opened(before: dict[str, float] | None = None) -> Iterator[Ledger]:
    """Open a ledger, or go on with the one that is open.

    Args:
        before: seconds of parts that are over already; for a new ledger.
    """
    if (already := _open.get()) is not None:
        yield already
        return
    book = Ledger(before)
    token = _open.set(book)
    try:
        yield book
    finally:
        _open.reset(token)


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Time a part, where a ledger is open."""
    book = _open.get()
    with book.part(name) if book else contextlib.nullcontext():
        yield


def seconds() -> dict[str, float]:
    """Return the seconds of each part until now; {} where no ledger is open."""
    book = _open.get()
    return book.seconds() if book else {}


def _listen(event: str, seconds: float, **_: object) -> None:
    book = _open.get()
    if event == _COMPILED and book:
        book.compiled(seconds)


jax.monitoring.register_event_duration_secs_listener(_listen)
