"""Signals: the first one is a request, and where they cannot be caught nothing fails."""

import os
import signal
import threading

import pytest

from jaxvae.training.loop import StopSignals


def test_the_first_signal_is_a_request_and_the_second_kills_as_usual(capsys):
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as stop:
        assert stop.received is None
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.received == signal.SIGINT and "once more" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_signals_are_left_as_they_are():
    before, seen = signal.getsignal(signal.SIGINT), []

    def enter():
        with StopSignals() as stop:
            seen.append((stop.received, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(None, before)] and signal.getsignal(signal.SIGINT) is before
