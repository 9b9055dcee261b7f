"""The race: one job from nothing to scores and figures on disk, ours and theirs. Knows no flags and no drawing.

The job is a question as studies ask it: a grid of betas and seeds, trained, scored on held-out images by five metrics,
drawn. Ours is the command in a process of its own, first without kept programs and then with those just kept, which
says itself where its time went. Theirs is PyTorch, scikit-learn and matplotlib (race_torch.py): one model after
another, scores over all cores. Contestants run one after another, never at the same time.

Theirs would take an hour. So of parts that repeat identically, a model's training, encoding and scores, a few are
measured and the median is taken times the number of models, which every line says. What favours them is left in their
favour: their settings are found and the images written to disk beforehand and not counted; they compute no losses of
the held-out images, write no checkpoint and draw one figure, where ours does all that run_sweep.py does.
"""

import dataclasses
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np

import jobs
import measuring
from jaxvae import data, ledger
from jaxvae.parallel.machine import num_cores

HERE = pathlib.Path(__file__).resolve().parent
OURS, THEIRS = "jaxvae", "PyTorch and scikit-learn"
OWN = ("cold", "warm")
RUNS = ("cold", "training", "dci", "scores", "warm")
"""What is run, in this order, so that theirs lies between ours; each one takes some minutes."""
SCORES = ("mig", "dci", "sap", "factor_vae", "beta_vae")
OF_LEDGER = {
    **{"start": "start", "data": "start", "compile": "compiling", "train": "training", "encode": "encoding"},
    **{"draw": "figures", "write": "figures"},
    **{f"{ledger.SCORE}{name}": name for name in SCORES},
}
"""Parts that our command tells of -> parts of the race; what is not here is the rest."""
VERSIONS = ("python", "jax", "jaxlib", "flax", "torch", "scikit-learn")  # those that kept lines must agree in


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be done; by default at the quickstart's length (jaxvae/quickstart.flags).

    Attributes:
        validation: the share of the images that lanes are not trained but scored on.
        trees: of a boosted classifier and class, for their DCI alone; scikit-learn's default is disentanglement_lib's.
        trained, boosted, scored: of how many models their training and encoding, DCI, and other scores are measured.
    """

    dataset: str = "sprites"
    architecture: str = "burgess"
    betas: tuple[float, ...] = (1, 2, 3, 4, 6, 8, 12, 16)
    seeds: int = 3
    steps: int = 1200
    batch_size: int = 32
    lr: float = 2e-3
    latent_dim: int = 10
    validation: float = 0.03
    trees: int = 100
    trained: int = 4
    boosted: int = 2
    scored: int = 4

    @property
    def models(self) -> int:
        """How many models are trained."""
        return len(self.betas) * self.seeds

    def told(self) -> dict:
        """Return the job as lines have it."""
        held_out = round(self.validation * math.prod(data.load(self.dataset, "train", None).factor_sizes))
        return json.loads(json.dumps(dataclasses.asdict(self) | {"models": self.models, "held_out": held_out}))

    def flags(self) -> list[str]:
        """Return the job as run_sweep.py takes it. In turn is the faster way on CPUs, as the quickstart has it."""
        return [
            *(f"--{name}={getattr(self, name)}" for name in ("dataset", "architecture", "steps", "batch_size", "lr")),
            *(f"--{name}={getattr(self, name)}" for name in ("latent_dim", "validation")),
            "--objective=beta_vae",
            f"--sweep=beta={','.join(map(str, self.betas))}",
            f"--sweep=seed=0:{self.seeds}",
            f"--metrics={','.join(SCORES)}",
            *["--lanes=map"] * (jax.default_backend() == "cpu"),
        ]


QUICK = Job(
    dataset="mini_sprites", betas=(1, 4), seeds=2, steps=20, validation=0.2, trees=1, trained=2, boosted=1, scored=1
)


def run(job: Job, out: pathlib.Path, which: list[str], add: Callable[[dict], None]) -> None:
    """Run what is asked for, of RUNS, and add a line for each part of it.

    Args:
        job: what is to be done.
        out: where programs and codes are kept from one call to the next.
        which: of RUNS; others than "cold" and "training" need what those leave in `out`.
        add: takes lines.
    """
    kept = out / "race"
    kept.mkdir(parents=True, exist_ok=True)
    about = {"suite": "race", "job": job.told(), "ran": time.strftime("%Y-%m-%d %H:%M:%S")}
    for name in RUNS:
        if name not in which:
            continue
        found = ours(job, kept, name) if name in OWN else theirs(job, kept, name)
        for line in found:
            add(about | {"run": name} | line)


def ours(job: Job, kept: pathlib.Path, name: str) -> list[dict]:
    """Run the command, and return a line for each of the parts, which add up to the life of its process."""
    programs = kept / "programs"
    if name == "cold":
        shutil.rmtree(programs, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        spent = jobs.run(job.flags(), pathlib.Path(folder) / "sweep", programs.resolve())
    parts: dict[str, float] = {}
    for told, seconds in spent.items():
        if told not in ("whole", "first line"):
            part = OF_LEDGER.get(told, "the rest")
            parts[part] = parts.get(part, 0.0) + seconds
    parts["the rest"] += spent["whole"] - sum(parts.values())
    about = {"implementation": OURS, "start": name, "measured": 1, "times": 1}
    return [about | {"part": part, "seconds": seconds} for part, seconds in parts.items()]


def theirs(job: Job, kept: pathlib.Path, name: str) -> list[dict]:
    """Run one of their processes and return a line for each of its parts."""
    asked = {"kept": str(kept.resolve()), "job": dataclasses.asdict(job), "cores": num_cores()}
    if name == "training":
        images(job, kept)
        with tempfile.TemporaryDirectory() as programs:
            environment = {"TORCHINDUCTOR_CACHE_DIR": programs}
            asked["settings"] = child("race_torch.py", asked | {"run": "settings"}, environment)
    with tempfile.TemporaryDirectory() as programs:  # a cold start for them as well
        told = child("race_torch.py", asked | {"run": name}, {"TORCHINDUCTOR_CACHE_DIR": programs})
    about = {"implementation": THEIRS} | ({"settings": asked["settings"]} if "settings" in asked else {})
    lines = [
        about | {"part": part, "seconds": spent, "measured": 1, "times": 1} for part, spent in told["once"].items()
    ]
    for part, (each, measured) in told["each"].items():
        seconds = job.models * statistics.median(each)
        lines.append(about | {"part": part, "seconds": seconds, "measured": measured, "times": job.models})
        lines[-1]["seconds_each"] = measuring.spread(each)
    return lines


def images(job: Job, kept: pathlib.Path) -> None:
    """Write the images and factors that a job trains and scores on to where their processes read them."""
    train, held_out = data.split_off(data.load(job.dataset, "train", None), job.validation)
    for name, array in (("train", train.pixels), ("held_out", held_out.pixels), ("factors", held_out.factors)):
        np.save(kept / f"{name}.npy", np.asarray(array))
    (kept / "about.json").write_text(json.dumps({"shape": train.shape, "binary": train.binary}), encoding="utf-8")


def child(script: str, asked: dict, environment: dict[str, str]) -> dict:
    """Run a script of this folder in a process of its own with one JSON argument, and return the JSON it prints last.

    It is told when it was started, so that the time until its first line of Python counts too.
    """
    own = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | environment
    command = [sys.executable, HERE / script, json.dumps(asked | {"started": time.monotonic()})]
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{script}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def kept_lines(path: pathlib.Path, job: Job, machine: dict, runs: list[str]) -> list[dict]:
    """Return the newest lines of these runs that a file of results has of the same job, machine and versions.

    Args:
        path: results.jsonl, may be absent.
        job: what was to be done.
        machine: what measuring.machine says now.
        runs: of RUNS.
    """
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    asked, newest = job.told(), {}
    for line in lines:
        if line["suite"] != "race" or line["run"] not in runs or line["job"] != asked:
            continue
        same = all(line["versions"].get(name) == machine["versions"].get(name) for name in VERSIONS)
        if same and line["device"] == machine["device"]:
            newest.setdefault(line["run"], {}).setdefault(line["ran"], []).append(line)
    return [line for of_run in newest.values() for line in of_run[max(of_run)]]
