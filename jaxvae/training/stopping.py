"""Stopping when asked to: the first signal is a request, the second one kills. Knows nothing of what is stopped."""

import contextlib
import signal
import sys


class Interrupted(Exception):  # noqa: N818  nothing went wrong
    """The sweep was asked to stop, has saved, and can be continued; carries the signal's number."""


class StopSignals:
    """Turns the first SIGINT or SIGTERM into a request that the loop honours; a second one kills as usual.

    Only the main thread of a process can catch signals: entered in another one, it leaves them as they are.
    """

    def __init__(self):
        self.received: int | None = None
        self._before = {}

    def __enter__(self):
        with contextlib.suppress(ValueError):  # raised outside the main thread
            self._before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number, _frame):
        self.received = number
        print("\nstopping: saving what is trained (once more to stop at once)", file=sys.stderr, flush=True)
        self.__exit__()
