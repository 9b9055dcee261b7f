"""Run run_sweep.py's command in this process and say how long its parts take. Prints one JSON line.

Started by race.py with {"started": seconds since the epoch, "flags": the command line, "apart": scores}. The parts add
up to the whole, from the start of the process to the report on disk:

    start      imports, devices, the data set rendered
    compiling  training's programs, the mode and memory
    training   steps, as run.json has it
    encoding   held-out images encoded and reconstructed by all lanes, and some of training, compiled first
    scores     all metrics of all lanes in one call, compiled first
    figures    the table, every figure of the report, and the page
    the rest   checkpoints written and read, lanes put on show

`apart` is of each score alone in seconds, compiled anew, after the whole is over.
"""

import contextlib
import json
import pathlib
import sys
import time

asked = json.loads(sys.argv[1])
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

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


def main() -> None:
    """Run the command, then each score apart."""
    from jaxvae import cli, metrics, report
    from jaxvae.evaluate import scoring
    from jaxvae.training import loop

    score_lanes = metrics.score_lanes
    watch(loop, "fit", "fitting")
    watch(scoring, "encode", "encoding")
    watch(metrics, "score_lanes", "scores")
    watch(report, "write_all", "figures")
    sys.argv = ["run_sweep.py", *asked["flags"]]
    with contextlib.redirect_stdout(sys.stderr):
        try:
            cli.run_command()
        except SystemExit as left:
            if left.code:
                raise
    whole = time.time() - asked["started"]
    workdir = next(flag.partition("=")[2] for flag in asked["flags"] if flag.startswith("--workdir="))
    told = json.loads((pathlib.Path(workdir) / "run.json").read_text(encoding="utf-8"))
    spent["training"] = sum(told["seconds"].values())
    spent["compiling"] = spent.pop("fitting") - spent["training"]
    spent["the rest"] = whole - sum(spent.values())

    (codes, factors, *_), _ = seen["scores"]
    apart = {}
    for name in asked["apart"]:
        begin = time.time()
        score_lanes(codes, factors, (name,), seed=0)
        apart[name] = time.time() - begin
    print(json.dumps({"seconds": spent, "apart": apart}))


if __name__ == "__main__":
    main()
