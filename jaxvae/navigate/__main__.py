"""Study attributes in latent spaces: `python -m jaxvae.navigate --models=A,B --dataset=celeb_a_whole --out=runs/faces`.

A model is a lane of a sweep (runs/x:beta=4,seed=0; runs/x:* for all), a saved model's folder, or the folder of a
network published with disentangling-vae. The first one is what others are compared with. OUT then holds faces.html,
table.csv, figures/, the judge, and all arrays, which `jaxvae.navigate.load` opens; the same command goes on where it
was cut off.
"""

import argparse
import inspect
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's start-up chatter is for XLA's developers

from jaxvae import commands, data, navigate, report
from jaxvae.arguments import as_path
from jaxvae.data import telling
from jaxvae.data.grid import Dataset, join
from jaxvae.navigate import opening
from jaxvae.parallel import terminal
from jaxvae.parallel.machine import keep_compiled
from jaxvae.types import InputError, look_up


def _path(text: str) -> pathlib.Path:
    return as_path("--out", text)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        given = _parser().parse_args(arguments)
        for needed in ("models", "dataset", "out"):
            if not getattr(given, needed):
                raise InputError(f"--{needed} is missing; see --help")
        telling.show(commands.say)
        keep_compiled(None)
        models = opening.open_models([part for text in given.models for part in opening.split(text)])
        images, held_out = load(given.dataset, given.data_dir)
        commands.say(f"{images}\n{len(models)} models: {', '.join(models)} -> {given.out}")
        for name, model in models.items():
            known = model.about.get("dataset")
            if known in data.DATASETS and known != given.dataset:
                commands.say(f"note: {name} was trained on {known}, and is shown {given.dataset}")
        results = navigate.study(
            models,
            images,
            given.attributes and list(filter(None, given.attributes.split(","))),
            held_out=held_out,
            conditions=conditions(given.condition),
            scorer=given.classifier and navigate.load_classifier(given.classifier),
            faces=given.faces,
            resamples=given.resamples,
            bootstraps=given.bootstraps,
            classifier_steps=given.classifier_steps,
            mirror=not given.no_mirror,
            target=given.target,
            seed=given.seed,
            out=given.out,
            overwrite=given.overwrite,
            say=commands.say,
        )
        commands.say(f"page: {report.write_navigation(results, given.out)}")
    except (InputError, OSError) as error:
        return commands.refuse("jaxvae.navigate", error)
    except KeyboardInterrupt:
        print("stopped; finished parts are kept, the same command goes on from there", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = commands.Parser(
        allow_abbrev=False,
        prog="python -m jaxvae.navigate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = {name: known.default for name, known in inspect.signature(navigate.study).parameters.items()}
    parser.add_argument("--models", action="append", default=[], metavar="A,B,…", help="models; repeatable")
    parser.add_argument("--dataset", help=f"data with labels: {', '.join(data.DATASETS)}")
    parser.add_argument("--data_dir", help="folder of the data set's files, as for jaxvae")
    parser.add_argument("--out", type=_path, metavar="FOLDER", help="where everything is kept")
    parser.add_argument("--attributes", metavar="A,B,…", help="attributes; by default all that vary")
    parser.add_argument(
        "--classifier",
        metavar="FOLDER",
        help="a judge that another study of this data trained (OUT/classifier); by default one is trained",
    )
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="A:B,C",
        help="move A without B and C; repeatable. By default without the three attributes whose normals are nearest",
    )
    for name, meaning in (
        ("faces", "held-out images that are edited"),
        ("resamples", "refits of each boundary, to halves of the images"),
        ("bootstraps", "resamples of the edited images, for intervals"),
        ("classifier_steps", "updates of the judge, of 64 images each"),
        ("seed", "of everything that is drawn"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default[name], help=f"{meaning} (default %(default)s)")
    parser.add_argument(
        "--target",
        type=float,
        default=default["target"],
        help="matched effect, standard deviations of an attribute's score over real images (default %(default)s)",
    )
    parser.add_argument("--no_mirror", action="store_true", help="the attributes of a mirrored image are others")
    parser.add_argument("--overwrite", action="store_true", help="delete another study that FOLDER holds")
    return parser


def load(name: str, data_dir: str | None) -> tuple[Dataset, Dataset | None]:
    """Return the images to fit on, of the training and validation splits, and of the test split where there is one.

    Raises:
        InputError: the data set is unknown, not there or damaged.
    """
    splits = look_up("data set", name, data.DATASETS).splits
    images = data.load(name, "train", data_dir)
    if "validation" in splits:
        images = join(images, data.load(name, "validation", data_dir))
    return images, data.load(name, "test", data_dir) if "test" in splits else None


def conditions(given: list[str]) -> dict[str, list[str]] | None:
    """Return {attribute: others} of "A:B,C".

    Raises:
        InputError: a text is of another form.
    """
    found = {}
    for text in given:
        name, sign, others = text.partition(":")
        found[name] = [other for other in others.split(",") if other]
        if not sign or not name or not found[name]:
            raise InputError(f"--condition={text}: write A:B,C, to move A without B and C")
    return found or None


if __name__ == "__main__":
    with terminal.steadied():
        sys.exit(main())
