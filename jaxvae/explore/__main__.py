"""Turn a model's latents in the browser: `jaxvae explore FOLDER`.

FOLDER is that of a sweep, of a saved model, or of a network published with disentangling-vae; FOLDER:beta=4,seed=0 is
one lane. Several may be given, to be put side by side. The page is this machine's own: nothing is fetched from the
internet, nothing is sent there, and nothing is written.
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's start-up chatter is for XLA's developers

from jaxvae import commands, data, navigate, plugins
from jaxvae.data import telling
from jaxvae.explore import shelf
from jaxvae.explore.desk import Desk
from jaxvae.navigate import opening
from jaxvae.parallel import terminal
from jaxvae.parallel.machine import keep_compiled
from jaxvae.types import InputError

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
"""What keeps Gradio and what it brings along from telling anybody anything, whatever the environment says."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        given = _parser().parse_args(arguments)
        if not given.models:
            raise InputError(f"no folder was given; give {opening.EXAMPLE}")
        port = _port(given.port)
        os.environ.update(QUIET)
        try:
            from jaxvae.explore import page, serving
        except ImportError as error:
            if (error.name or "").partition(".")[0] in ("gradio", "fastapi", "uvicorn"):
                print("jaxvae explore needs Gradio: pip install 'jaxvae[explore]'", file=sys.stderr)
                return commands.REFUSED
            raise
        telling.show(commands.say)
        keep_compiled(None)
        plugins.load([name for text in given.plugins for name in text.split(",")])
        listening = serving.bind(given.host, port)
        places = [part for text in given.models for part in opening.split(text)]
        stock = shelf.stock(places, given.dataset, given.data_dir)
        desk = Desk(stock, navigate.load(given.directions) if given.directions else None)
        commands.say(f"{len(stock.choices)} to choose from; {stock.data or stock.note}")
        desk.warm_up()
        serving.serve(page.build(desk, " ".join(places)), listening, commands.say)
    except (InputError, OSError) as error:
        return commands.refuse("jaxvae explore", error)
    except KeyboardInterrupt:
        pass  # how a page is put away
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = commands.Parser(
        allow_abbrev=False,
        prog="jaxvae explore",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="*", metavar="FOLDER", help="what to explore")
    parser.add_argument(
        "--dataset",
        help="data set to start from images of; by default the one that the first FOLDER was trained on. "
        f"{', '.join(data.DATASETS)}",
    )
    parser.add_argument("--data_dir", help="folder of the data set's files, as for jaxvae")
    parser.add_argument(
        "--directions", metavar="FOLDER", help="a finished study of attributes (python -m jaxvae.navigate --out=FOLDER)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (default %(default)s, which only this machine can reach; at any other one whoever "
        "reaches it can turn the latents)",
    )
    parser.add_argument("--port", help="port; 0 for any free one. Default: the first free one from 7860")
    parser.add_argument("--plugins", action="append", default=[], metavar="A,B,…", help="plug-ins that a sweep needs")
    return parser


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number < 2**16:
        raise InputError(f"--port={text}: expected a whole number in 0 … 65535")
    return number


if __name__ == "__main__":
    with terminal.steadied():
        sys.exit(main())
