"""Whole jobs: a command from its start to its report, in processes of their own, and where their time goes.

Each is run without kept programs and then with those just kept, and says itself where its time went (run.json).
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import measuring

STUDY = (
    "--dataset=mini_sprites",
    "--objective=beta_vae",
    "--architecture=burgess",
    "--sweep=beta=0.5,1,2,3,4,6,8,16",
    "--sweep=seed=0:3",
    "--lanes=map",
    "--steps=1200",
    "--batch_size=32",
    "--lr=2e-3",
    "--metrics=beta_vae,factor_vae,mig,dci,sap,modularity,active_units,udr",
)
JOBS: dict[str, tuple[str, ...]] = {"quickstart": (), "study of 24 lanes": STUDY}
QUICK = ("--steps=4", "--metrics=mig", "--architecture=mlp", "--objective=beta_vae", "--sweep=beta=1,2")


def measure(repeats: int, quick: bool, wanted: Callable[[str], bool]) -> Iterator[dict]:
    """Yield a line for each wanted job, cold and warm: seconds of every part, and what is not training over training.

    The whole is from the start of the process to its end.
    """
    for name, arguments in JOBS.items():
        if not wanted(name):
            continue
        found: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as kept:
                for cache, runs in found.items():
                    workdir = pathlib.Path(kept) / cache
                    runs.append(run(QUICK if quick else arguments, workdir, pathlib.Path(kept) / "programs"))
        for cache, runs in found.items():
            parts = dict.fromkeys(part for spent in runs for part in spent)
            ratios = [(spent["whole"] - spent["train"]) / spent["train"] for spent in runs]
            yield {
                "suite": "job",
                "implementation": "jaxvae",
                "job": name,
                "cache": cache,
                "repeats": len(runs),
                "seconds": {part: measuring.spread([spent.get(part, 0.0) for spent in runs]) for part in parts},
                "not_training_over_training": measuring.spread(ratios),
            }


def run(arguments: Sequence[str], workdir: pathlib.Path, programs: pathlib.Path) -> dict[str, float]:
    """Run the command; return the seconds of its parts, to the first line, and of the whole process.

    Args:
        arguments: the command's, but for those below.
        workdir: the sweep's folder.
        programs: where compiled programs are kept.
    """
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment |= {"PYTHONPATH": str(measuring.ROOT)}
    command = [sys.executable, "-m", "jaxvae", *arguments, f"--workdir={workdir}", f"--compilation_cache={programs}"]
    begin = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        job.stdout.readline()
        first = time.perf_counter() - begin
        _, said = job.communicate()
    whole = time.perf_counter() - begin
    if job.returncode:
        raise RuntimeError(f"{' '.join(command)}: {said.strip().splitlines()[-1]}")
    told = json.loads((workdir / "run.json").read_text(encoding="utf-8"))
    return {"first line": first, "whole": whole} | told["environment"]["spent"]
