"""Signals: the first one is a request, and where they cannot be caught nothing fails."""

import signal
import threading

from jaxvae.parallel.stopping import KINDS
from jaxvae.training.loop import StopSignals


def handlers():
    return [signal.getsignal(kind) for kind in KINDS]


def test_the_first_signal_is_a_request_and_the_second_is_left_to_what_was_there(capsys):
    before = handlers()
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with StopSignals() as stop:
            assert stop.received is None and handlers() != before
            signal.raise_signal(kind)
            assert stop.received == kind
            assert handlers() == before
        assert handlers() == before
    said = capsys.readouterr()
    assert not said.out and not said.err, "a handler can come in the middle of a print"


def test_a_hangup_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with StopSignals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_signals_are_left_as_they_are():
    before, seen = handlers(), []

    def enter():
        with StopSignals() as stop:
            seen.append((stop.received, handlers()))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(None, before)] and handlers() == before
