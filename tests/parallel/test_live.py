"""Nothing long is silent: a live line on a terminal, plain lines elsewhere, none where it is short or nobody hears."""

import io
import os
import sys
import threading
import time
import types

import pytest

from jaxvae.parallel import compiling, live, terminal
from jaxvae.parallel.compiling import Wanted
from jaxvae.types import Program

ERASED = "\r\x1b[2K"


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(live, "_now", made)
    return made


@pytest.fixture
def screen(monkeypatch):
    made = Terminal()
    # pytest puts a stdout of its own in place between a fixture and its test.
    monkeypatch.setattr(terminal, "sys", types.SimpleNamespace(stdout=made))
    monkeypatch.setattr(terminal, "_replaced", False)
    monkeypatch.setattr(live.Line, "start", lambda self: shown.append(self))
    shown.clear()
    return made


shown = []  # lines that would be drawn by a thread of their own


def test_a_line_says_how_fast_and_how_long_still(clock, screen):
    with live.heard_by(print), live.line("scoring", 60, "lanes") as tick:
        (line,) = shown
        tick(5)
        clock.now += 1.9
        line.show()
        assert screen.getvalue() == "", "what may be over soon needs no words"
        clock.now += 1.1
        tick(10)
        line.show()
        assert screen.getvalue() == f"{ERASED}scoring  15/60 lanes  5 lanes/s  ETA 9 s"
        clock.now += 4000.0
        assert line.text() == "scoring  15/60 lanes  0.0037 lanes/s  ETA 3:20:09"
    assert screen.getvalue().endswith(f"ETA 9 s{ERASED}"), "and is gone when all is done"


def test_without_a_count_it_says_for_how_long(clock, screen):
    with live.heard_by(terminal.line), live.line("compiling beta_vae_conv"):
        clock.now += 75.0
        shown[0].show()
    assert screen.getvalue() == f"{ERASED}compiling beta_vae_conv  1:15{ERASED}"


def test_nothing_is_drawn_when_it_has_ended(clock, screen):
    with pytest.raises(KeyboardInterrupt), live.heard_by(print), live.line("scoring", 3, "lanes") as tick:
        clock.now += 5.0
        raise KeyboardInterrupt
    tick(1)
    shown[0].show()
    assert screen.getvalue() == "", "it was never drawn, so there is nothing to take away either"


def test_what_is_printed_takes_its_place(clock, screen):
    with live.heard_by(print), live.line("scoring", 3, "lanes"):
        clock.now += 5.0
        shown[0].show()
        terminal.line("scoring beta_vae_conv")
        terminal.line("more")
        shown[0].show()
    assert screen.getvalue() == (
        f"{ERASED}scoring  0/3 lanes  5 s{ERASED}scoring beta_vae_conv\nmore\n{ERASED}scoring  0/3 lanes  5 s{ERASED}"
    )


def test_it_is_cut_to_the_terminal(clock, screen, monkeypatch):
    monkeypatch.setattr(terminal.shutil, "get_terminal_size", lambda: os.terminal_size((20, 24)))
    with live.heard_by(print), live.line("decoding a long name", 3, "pictures"):
        clock.now += 5.0
        shown[0].show()
        assert screen.getvalue() == f"{ERASED}decoding a long nam"


def test_of_lines_inside_one_another_one_is_drawn(clock, screen):
    with live.heard_by(print), live.line("reading faces"):
        with live.line("decoding", 4, "pictures") as tick:
            with live.line("compiling"), live.line("more", 9, "lanes"):
                assert len(shown) == 2
            clock.now += 4.0
            tick(2)
            for line in shown:
                line.show()
            assert screen.getvalue() == f"{ERASED}decoding  2/4 pictures  0.5 pictures/s  ETA 4 s"
        shown[0].show()
        assert screen.getvalue().endswith(f"{ERASED}reading faces  4 s")


def test_elsewhere_there_is_a_plain_line_every_ten_seconds(clock):
    said = []
    with live.heard_by(said.append), live.line("scoring", 60, "lanes") as tick:
        for _ in range(9):
            clock.now += 1.0
            tick()
        assert said == []
        for _ in range(20):
            clock.now += 1.0
            tick()
    assert said == ["  scoring  10/60 lanes  1 lanes/s  ETA 50 s", "  scoring  20/60 lanes  1 lanes/s  ETA 40 s"]
    tick()


def test_a_room_may_have_a_place_of_its_own_for_plain_lines(clock, screen):
    said = []
    for say in (None, said.append):
        with live.heard_by(say), live.line("decoding", 2, "cars", plain=said.append) as tick:
            clock.now += 10.0
            tick()
    assert said == ["  decoding  1/2 cars  0.1 cars/s  ETA 10 s"] * 2
    with live.heard_by(print), live.line("decoding", 2, "cars", plain=said.append):
        assert len(shown) == 1, "a terminal has it live"


def test_where_nobody_hears_nothing_happens(clock, screen):
    for line in (live.line("scoring", 2, "lanes"), live.heard_by(None)):
        with line, live.line("scoring", 2, "lanes") as tick:
            clock.now += 100.0
            tick()
    assert screen.getvalue() == "" and not shown


def drawing():
    return [thread for thread in threading.enumerate() if thread.name == "live line"]


def test_the_thread_that_draws_it_ends_with_it(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(live, "PERIOD", 0.001)
    monkeypatch.setattr(live, "PATIENCE", 0.0)
    with live.heard_by(print), live.line("scoring", 2, "lanes"):
        (thread,) = drawing()
        while len(screen.getvalue()) < 200:
            time.sleep(0.001)
    written = screen.getvalue()
    assert written.endswith(ERASED)
    thread.join(10)
    assert not drawing() and screen.getvalue() == written


def test_no_thread_runs_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with live.heard_by(print), live.line("scoring", 2, "lanes"):
        assert not drawing()


def test_what_is_compiled_is_called_by_its_objective_and_architecture():
    program = Program(architecture="conv", objective="beta_vae", image_shape=(8, 8, 1))
    own = Wanted(("steps", program, 3), lambda: None)
    other = Wanted(("metric", 3), lambda: None)
    assert compiling._called([other, own]) == "beta_vae_conv"
    assert compiling._called([other]) == "1 program" and compiling._called([other, other]) == "2 programs"
