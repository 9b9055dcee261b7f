"""What the studies beside this file share: their flags, where their sweeps lie, intervals, tables. Not a study itself.

Every sweep lies in a folder of its own name below --runs, and `jaxvae.train` goes on from what it finds there: a study
that was killed continues, and two that ask for the same sweep train it once. `SHARED` holds those that several ask for.
"""

import csv
import json
import pathlib
import sys

import numpy as np
from absl import flags
from matplotlib.figure import Figure

import jaxvae
from jaxvae.report.drawing import save_figure

flags.DEFINE_string("data_dir", None, "Folder of the data set's official files, where it is not rendered.")
flags.DEFINE_string("runs", "runs/studies", "Where sweeps are kept, a folder each; studies share them.")
flags.DEFINE_string("out", None, "Where table and figures go. Default: a folder of the study's name below --runs.")
flags.DEFINE_bool("quick", False, "A few steps of a few lanes: whether it runs, not what it finds.")
FLAGS = flags.FLAGS

SHARED = {
    "digits_mlp": {
        "data": "mnist",
        "objective": "beta_vae",
        "architecture": "mlp",
        "sweep": {"beta": [0.001, 0.01, 0.1, 1, 2, 4, 10], "seed": range(3)},
        "latent_dim": 10,
        "steps": 3000,
        "batch_size": 128,
        "lr": 1e-3,
        "lanes": "map",
    },
    "sprites_methods": {
        "data": "mini_sprites",
        "objective": "vae,beta_vae,factor_vae,beta_tcvae,hfvae,dd_vae",
        "architecture": "burgess",
        "sweep": {
            "seed": range(3),
            "beta_vae:beta": [4],
            "factor_vae:gamma": [5],
            "factor_vae:critic_lr": [1e-3],
            "beta_tcvae:beta": [4],
            "hfvae:beta": [4],
            "dd_vae:spike": [0.2],
        },
        "latent_dim": 10,
        "steps": 2000,
        "batch_size": 32,
        "lr": 1e-3,
        "critic_width": 128,
        "critic_depth": 3,
        "lanes": "map",
    },
}
"""Arguments of `jaxvae.train` by the name of a sweep."""

QUICK = {"steps": 20, "batch_size": 16}


def trained(name: str, data=None, *, quick: dict | None = None, **choices) -> jaxvae.Sweep:
    """Train, go on with, or open the sweep of this name.

    Args:
        name: of its folder below --runs, "_quick" added with --quick. A name means one sweep: what was trained
            otherwise there is refused.
        data: as for `jaxvae.train`; by default the sweep is the one in SHARED.
        quick: what is otherwise with --quick, beside few steps.
        **choices: of `jaxvae.train`; above those of SHARED where the name is in it.

    A sweep that is there, scored, and was asked for in the same words is opened as it is: `jaxvae.train` would score it
    again, which takes minutes.
    """
    choices = SHARED.get(name, {}) | choices
    data = choices.pop("data") if data is None else data
    if FLAGS.quick:
        name, choices = f"{name}_quick", choices | QUICK | (quick or {})
    if isinstance(data, str):
        choices.setdefault("data_dir", FLAGS.data_dir)
    path = pathlib.Path(FLAGS.runs) / name
    words = repr((data, sorted((key, value) for key, value in choices.items() if key != "data_dir")))
    asked = path / "asked.txt"
    if asked.exists() and asked.read_text(encoding="utf-8") == words and (path / "results.csv").exists():
        return jaxvae.load_sweep(path)
    sweep = jaxvae.train(data, workdir=path, **choices)
    asked.write_text(words, encoding="utf-8")
    return sweep


def digits() -> tuple[jaxvae.data.Dataset, jaxvae.data.Dataset]:
    """Return MNIST's training and test sets."""
    return tuple(jaxvae.data.load("mnist", split, FLAGS.data_dir) for split in ("train", "test"))


def folder() -> pathlib.Path:
    """Return the folder that this study writes to, made where it is not there."""
    study = pathlib.Path(sys.argv[0]).stem + "_quick" * FLAGS.quick
    path = pathlib.Path(FLAGS.out) if FLAGS.out else pathlib.Path(FLAGS.runs) / study
    path.mkdir(parents=True, exist_ok=True)
    return path


def keep(name: str, thing: Figure | list[dict]) -> pathlib.Path:
    """Write a figure as NAME.png, or rows as NAME.csv, into the study's folder."""
    if isinstance(thing, Figure):
        return save_figure(thing, folder() / f"{name}.png")
    path = folder() / f"{name}.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in thing for key in row)))
        writer.writeheader()
        writer.writerows(thing)
    return path


def remembered(name: str, work, *args, **kwargs):
    """Return what work(*args, **kwargs) gives, JSON types; from NAME.json in the study's folder where it is there."""
    path = folder() / f"{name}.json"
    if not path.exists():
        found = work(*args, **kwargs)
        begun = path.with_suffix(".begun")
        begun.write_text(json.dumps(found, indent=1), encoding="utf-8")
        begun.rename(path)
    return json.loads(path.read_text(encoding="utf-8"))


def said(values, digits: int = 3) -> str:
    """Return "median [least, greatest]" of some numbers, those that are not finite left out."""
    found = [float(value) for value in values if value is not None and np.isfinite(value)]
    if not found:
        return "none"
    return f"{np.median(found):.{digits}g} [{min(found):.{digits}g}, {max(found):.{digits}g}]"


def interval(values, statistic=np.mean, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0):
    """Return (statistic, low, high) of numbers [N], or of rows [N, …]: percentiles over bootstrap resamples of rows."""
    values = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    drawn = [statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(resamples)]
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(statistic(values)), float(low), float(high)


def difference(first, second, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0):
    """Return (difference of means, low, high) of two independent groups of runs, each resampled by itself."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    rng = np.random.default_rng(seed)
    means = [part[rng.integers(len(part), size=(resamples, len(part)))].mean(1) for part in (first, second)]
    low, high = np.quantile(means[0] - means[1], [(1 - level) / 2, (1 + level) / 2])
    return float(first.mean() - second.mean()), float(low), float(high)


def table(rows: list[dict]) -> str:
    """Return rows as text, a column for each key."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([_cell(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _cell(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
