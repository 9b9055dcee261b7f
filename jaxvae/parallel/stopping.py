"""Stopping when asked to: the first signal is a request, the second one kills. Knows nothing of what is stopped."""

import contextlib
import signal

HANGUP = getattr(signal, "SIGHUP", None)  # not on every system

KINDS = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP else []))
"""Ctrl-C, the end of a job's time, the end of the session that it was started in."""


class Interrupted(Exception):  # noqa: N818  nothing went wrong
    """The sweep was asked to stop, has saved, and can be continued; carries the signal's number."""


class StopSignals:
    """Turns the first signal of KINDS into a request that the loop honours; a second one kills as usual.

    Only the main thread of a process can catch signals: entered in another one, it leaves them as they are. So it does
    with SIGHUP where that is ignored already, as `nohup` has it.
    """

    def __init__(self):
        self.received: int | None = None
        self._before = {}

    def __enter__(self):
        caught = [kind for kind in KINDS if kind != HANGUP or signal.getsignal(kind) != signal.SIG_IGN]
        with contextlib.suppress(ValueError):  # raised outside the main thread
            for kind in caught:
                self._before[kind] = signal.signal(kind, self._on_signal)
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not one of Python's

    def _on_signal(self, number, _frame):
        # It can come at any instruction, in the middle of a print too: it says nothing, and cannot fail.
        self.received = number
        self.__exit__()
