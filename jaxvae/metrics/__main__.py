"""Score codes of your own: `python -m jaxvae.metrics codes.npz --names=mig,dci`; `--list` says what there is.

The file holds `codes` [N, D], and where they are known `factors` [N, K], `factor_names` (K), `logvar`
[N, D], `test_codes` [M, D] and `test_factors` [M, K]: the arguments of `jaxvae.metrics.score`.
"""

import argparse
import csv
import io
import json
import math
import pathlib
import sys
from typing import Any

import numpy as np

from jaxvae import commands, files, metrics
from jaxvae.arguments import as_path
from jaxvae.data import npy
from jaxvae.metrics import listing
from jaxvae.parallel import terminal
from jaxvae.types import InputError, look_up
from jaxvae.words import cell, one_line, printable

ARRAYS = ("codes", "factors", "factor_names", "logvar", "test_codes", "test_factors")


def _path(text: str) -> pathlib.Path:
    return as_path("a file", text)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = _parser()
    try:
        given = parser.parse_args(arguments)
        if given.list:
            print(listing.table(metrics.METRICS))
            return 0
        if given.codes is None:
            raise InputError("no file was given; see --help")
        names = None if given.names is None else tuple(filter(None, (n.strip() for n in given.names.split(","))))
        if names == ():
            raise InputError(f"--names={given.names} names no metric. Known: {', '.join(metrics.METRICS)}")
        for name in names or ():
            look_up("metric", name, metrics.METRICS)
        if not 0 <= given.seed < 2**32:
            raise InputError(f"--seed must be a whole number from 0, below 2^32, got {given.seed}")
        targets = _targets(given)
        arrays = read(given.codes)
        scores = metrics.score(**arrays, names=names, seed=given.seed)
        about = {"codes": str(given.codes), "seed": given.seed, "points": len(arrays["codes"])}
        _show(scores, arrays, names)
        for kind, target in targets.items():
            _write(target, {"json": as_json, "csv": as_csv}[kind](about, scores))
    except (InputError, OSError) as error:
        return commands.refuse("jaxvae.metrics", error)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = commands.Parser(
        allow_abbrev=False,
        prog="python -m jaxvae.metrics",
        description="Score codes of your own.",
        epilog=f"The .npz holds codes [N, D], and any of {', '.join(ARRAYS[1:])}: see jaxvae.metrics.score. "
        "Without --json and --csv, both are written beside it, as NAME.scores.json and NAME.scores.csv.",
    )
    parser.add_argument("codes", nargs="?", type=_path, metavar="CODES.npz")
    parser.add_argument("--names", metavar="A,B", help="metrics; by default all that the file allows")
    parser.add_argument("--seed", type=int, default=0, help="of the points that metrics draw (default 0)")
    parser.add_argument("--json", type=_path, metavar="FILE", help="where to write the scores as JSON")
    parser.add_argument("--csv", type=_path, metavar="FILE", help="where to write them as a table of one row")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--list", action="store_true", help="print all metrics: keys, needs, range, chance, paper")
    return parser


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file that `jaxvae.metrics.score` takes.

    Raises:
        InputError: it is missing, no .npz, has no codes, or holds Python objects.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there")
    try:
        arrays, names = npy.read(path, ARRAYS)
    except Exception as error:  # a dozen unrelated classes of zip, zlib and NumPy
        reason = one_line(error)[:200] or type(error).__name__
        raise InputError(f"{path} cannot be read as .npz ({reason}); write np.savez({path.stem!r}, codes=…)") from None
    if "codes" not in arrays:
        raise InputError(f"{path} holds {', '.join(names) or 'nothing'}, and no 'codes' [N, D]")
    ignored = [name for name in names if name not in ARRAYS]
    if ignored:
        print(f"not looked at: {printable(', '.join(ignored))} (known are {', '.join(ARRAYS)})")
    if "factor_names" in arrays:
        arrays["factor_names"] = [str(name) for name in np.atleast_1d(arrays["factor_names"])]
    return arrays


def _targets(given: argparse.Namespace) -> dict[str, pathlib.Path]:
    """Return {kind: file} to write to.

    Raises:
        InputError: one is there, or lies in no folder; better known before a minute of scoring than after it.
    """
    targets = {kind: getattr(given, kind) for kind in ("json", "csv") if getattr(given, kind) is not None}
    if not targets:
        targets = {kind: given.codes.with_suffix(f".scores.{kind}") for kind in ("json", "csv")}
    for target in targets.values():
        if not target.parent.is_dir():
            raise InputError(f"{target} cannot be written: there is no folder {target.parent}")
        if target.exists() and not given.overwrite:
            raise InputError(f"{target} is there already; add --overwrite to replace it, or name another file")
        if target.resolve() == given.codes.resolve():
            raise InputError(f"{target} is the file that the codes are read from")
    return targets


def _show(scores: dict[str, float], arrays: dict[str, Any], names: tuple[str, ...] | None) -> None:
    """Print a line for each score, and what was left out and why."""
    rows, dimensions = arrays["codes"].shape
    factors = f", {arrays['factors'].shape[1]} factors" if "factors" in arrays else ""
    held_out = f", {len(arrays['test_codes'])} held out" if "test_codes" in arrays else ""
    print(f"{rows:,} codes of {dimensions} latents{factors}{held_out}\n")
    width = max(map(len, ["score", *scores]))
    described = {key: listing.entry(name, m) for name, m in metrics.METRICS.items() for key in m.keys}
    print(f"{'score':<{width}}    value  range\n{'─' * (width + 39)}")
    for key, value in scores.items():
        print(f"{key:<{width}}  {value:7.4f}  {described[key].range}")
    for name, metric in metrics.METRICS.items() if names is None else ():
        if not set(metric.keys) & set(scores):
            print(f"left out: {name} (needs {described[metric.keys[0]].needs})")


def as_json(about: dict[str, Any], scores: dict[str, float]) -> str:
    """Return a JSON object: what was scored, and its scores under "scores"; null for one that is not a number."""
    return json.dumps(about | {"scores": {key: _finite(value) for key, value in scores.items()}}, indent=2) + "\n"


def as_csv(about: dict[str, Any], scores: dict[str, float]) -> str:
    """Return a heading and one row: what was scored, and its scores; an empty cell for one that is not a number."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*about, *scores], lineterminator="\n")
    writer.writeheader()
    writer.writerow({name: cell(value) for name, value in about.items()} | {k: _finite(v) for k, v in scores.items()})
    return text.getvalue()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write(target: pathlib.Path, text: str) -> None:
    """Write a file whole or not at all."""
    files.replace(target, text)
    print(f"written: {target}")


if __name__ == "__main__":
    with terminal.steadied():
        sys.exit(main())
