"""What the commands have in common: one line and code 2 for what cannot be done. Knows no command."""

import argparse
import sys

from jaxvae.types import InputError
from jaxvae.words import one_line, printable_lines

REFUSED = 2
"""The exit code of a command that was asked for what it cannot do."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors, said in one line like all others, instead of a usage on several."""

    def error(self, message: str):
        raise InputError(message)


def say(line: str) -> None:
    """Print what there is to say, at once, whatever characters names bring along."""
    print(printable_lines(line), flush=True)


def refuse(command: str, error: Exception | str) -> int:
    """Print one line to stderr, and return the exit code."""
    print(f"{command}: {one_line(error)}", file=sys.stderr)
    return REFUSED
