"""Signals: the first one is a request, and where they cannot be caught nothing fails."""

import signal
import threading

from jaxvae.training.loop import StopSignals

KINDS = (signal.SIGINT, signal.SIGTERM)


def handlers():
    return [signal.getsignal(kind) for kind in KINDS]


def test_the_first_signal_is_a_request_and_the_second_is_left_to_what_was_there(capsys):
    before = handlers()
    with StopSignals() as stop:
        assert stop.received is None and handlers() != before
        signal.raise_signal(signal.SIGTERM)
        assert stop.received == signal.SIGTERM and "once more" in capsys.readouterr().err
        assert handlers() == before
    assert handlers() == before


def test_outside_the_main_thread_signals_are_left_as_they_are():
    before, seen = handlers(), []

    def enter():
        with StopSignals() as stop:
            seen.append((stop.received, handlers()))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(None, before)] and handlers() == before
