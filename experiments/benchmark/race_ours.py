"""Run run_sweep.py's command in this process and say how long its parts take. Prints one JSON line.

Started by race.py with {"started": seconds since the epoch, "flags": the command line, "kept": a folder}. The parts add
up to the whole, from the start of the process to the report on disk:

    start      imports, devices, the data set rendered
    compiling  training's programs, the mode and memory
    training   steps, as run.json has it
    encoding   held-out images encoded and reconstructed by all lanes, and some of training, compiled first
    scores     all metrics of all lanes in one call, compiled first
    figures    the table, every figure of the report, and the page
    the rest   checkpoints written and read, lanes put on show

With "apart", names of scores, it computes each one alone instead, compiled anew, of the codes that were kept.
"""

# ruff: noqa: E402  (the time that imports take is counted)

import contextlib
import json
import pathlib
import sys
import time

asked = json.loads(sys.argv[1])
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import jax
import numpy as np

spent: dict[str, float] = {}
seen: dict[str, tuple] = {}


def watch(module, name: str, part: str) -> None:
    """Add the seconds of every call of a module's function to a part."""
    whole = getattr(module, name)

    def timed(*args, **kwargs):
        begin = time.time()
        spent.setdefault("start", begin - asked["started"])
        try:
            return whole(*args, **kwargs)
        finally:
            spent[part] = spent.get(part, 0.0) + time.time() - begin
            seen.setdefault(part, (args, kwargs))  # the first, which is of the evaluation set

    setattr(module, name, timed)


def whole(flags: list[str], kept: pathlib.Path) -> dict[str, float]:
    """Run the command; return seconds by part. Codes and factors are kept once the clock has stopped."""
    from jaxvae import cli, metrics, report
    from jaxvae.evaluate import scoring
    from jaxvae.training import loop

    watch(loop, "fit", "fitting")
    watch(scoring, "encode", "encoding")
    watch(metrics, "score_lanes", "scores")
    watch(report, "write_all", "figures")
    sys.argv = ["run_sweep.py", *flags]
    with contextlib.redirect_stdout(sys.stderr):
        try:
            cli.run_command()
        except SystemExit as left:
            if left.code:
                raise
    total = time.time() - asked["started"]
    workdir = next(flag.partition("=")[2] for flag in flags if flag.startswith("--workdir="))
    told = json.loads((pathlib.Path(workdir) / "run.json").read_text(encoding="utf-8"))
    spent["training"] = sum(told["seconds"].values())
    spent["compiling"] = spent.pop("fitting") - spent["training"]
    spent["the rest"] = total - sum(spent.values())
    (codes, factors, *_), _ = seen["scores"]
    np.savez(kept / "ours.npz", codes=np.asarray(codes), factors=np.asarray(factors.values), sizes=factors.sizes)
    return spent


def apart(names: list[str], kept: pathlib.Path) -> dict[str, float]:
    """Return the seconds that each score of all lanes takes by itself, its compilation included."""
    from jaxvae import metrics
    from jaxvae.parallel import lanes
    from jaxvae.parallel.machine import use_every_core
    from jaxvae.types import Factors

    use_every_core()
    held = np.load(kept / "ours.npz")
    factors = Factors(jax.numpy.asarray(held["factors"]), tuple(map(int, held["sizes"])))
    codes = lanes.put_lanes(held["codes"], lanes.make_mesh(len(held["codes"])))
    for name in names:
        begin = time.time()
        metrics.score_lanes(codes, factors, (name,), seed=0)
        spent[name] = time.time() - begin
    return spent


if __name__ == "__main__":
    folder = pathlib.Path(asked["kept"])
    print(json.dumps(apart(asked["apart"], folder) if "apart" in asked else whole(asked["flags"], folder)))
