"""Compare finished sweeps: `jaxvae compare runs/a runs/b --out=runs/both`.

Lanes of all of them stand in one report.html and one results.csv, each with the sweep that it is from. The sweeps have
to be scored, on the same images and by the same version; they are only read. OUT is a new folder, or an earlier
comparison's, which is replaced.
"""

import argparse
import sys

from jaxvae import commands, plugins
from jaxvae.data import telling
from jaxvae.parallel import terminal
from jaxvae.parallel.machine import keep_compiled
from jaxvae.study.comparing import compare
from jaxvae.types import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    with terminal.steadied():
        try:
            given = _parser().parse_args(arguments)
            if not given.out:
                raise InputError("--out is missing: the folder for the report")
            telling.show(commands.say)
            keep_compiled(None, commands.say)
            plugins.load((given.plugins or "").split(","))
            compare(given.sweeps, given.out, say=commands.say)
        except (InputError, OSError) as error:
            return commands.refuse("jaxvae compare", error)
        except KeyboardInterrupt:
            print("stopped; the same command writes the report anew", file=sys.stderr)
            return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = commands.Parser(
        allow_abbrev=False,
        prog="jaxvae compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweeps", nargs="*", metavar="FOLDER", help="of a sweep; two or more")
    parser.add_argument("--out", metavar="FOLDER", help="for the report")
    parser.add_argument("--plugins", metavar="A,B,…", help="files and modules to run first, as for jaxvae")
    return parser
