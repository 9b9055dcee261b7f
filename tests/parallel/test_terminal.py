"""What is printed never fails: signs that an encoding lacks, readers that are gone, streams that are closed."""

import io
import os

import pytest

from jaxvae.parallel import terminal


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("β = 4 ± 0.5, 2 × 3 … — ─", "ascii", "beta = 4 +- 0.5, 2 x 3 ... - -"),
        ("β é 中 \udcff", "latin-1", "beta é ? ?"),
        ("é 中", "ascii", "e ?"),
        ("plain", "no such encoding", "plain"),
        ("± ", None, "+- "),
    ],
)
def test_a_terminal_that_lacks_a_sign_gets_another(text, encoding, shown):
    assert terminal.spelled(text, encoding) == shown


def broken_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w", encoding="ascii")


def test_a_reader_that_is_gone_costs_nothing():
    with broken_pipe() as stream:
        for text in ("±\n", "more\n" * 10_000):
            terminal.write(stream, text)
        stream.write("and what Python itself still flushes at exit")


@pytest.mark.parametrize("gone", ["none", "closed", "full"])
def test_so_does_a_stream_that_is_closed_or_full(gone):
    stream = {"none": lambda: None, "closed": io.StringIO, "full": lambda: open("/dev/full", "w")}[gone]()  # noqa: SIM115
    if gone == "closed":
        stream.close()
    terminal.write(stream, "a line\n")
    if gone == "full":
        os.close(os.dup(stream.fileno()))
        with pytest.raises(OSError, match="No space"):
            stream.close()


def test_say_keeps_to_its_own_errors():
    heard = []
    terminal.steady(heard.append)("one")
    assert heard == ["one"] and terminal.steady(print) is terminal.line

    def fails(error):
        def say(text):
            raise error

        return terminal.steady(say)

    fails(BrokenPipeError())("lost")
    fails(UnicodeEncodeError("ascii", "±", 0, 1, ""))("lost")
    with pytest.raises(KeyError):  # a mistake of whoever listens is not hidden
        fails(KeyError())("lost")


def test_a_command_prints_through_it(monkeypatch):
    kept = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", kept)
    with broken_pipe() as stream:
        monkeypatch.setattr("sys.stderr", stream)
        with terminal.steadied():
            import sys

            print("4 ± 1")
            print("lost", file=sys.stderr)
            sys.stdout.writelines(["a", "b\n"])
            assert not terminal.is_live(print) and sys.stdout.encoding == "ascii"
    assert kept.buffer.getvalue() == b"4 +- 1\nab\n"
    monkeypatch.setattr("sys.stdout", None)
    terminal.line("nowhere")
    assert not terminal.is_live(print)
