"""One process of theirs in the race: PyTorch trains and encodes, scikit-learn scores. Prints one JSON line.

Started by race.py with {"started": a monotonic clock, "run": "settings", "training", "dci" or "scores", "kept": a
folder with the images, …}. What it prints is {"once": {part: seconds}, "each": {part: [[seconds a model, …], models]}},
but for "settings", the fastest found.
"""

# ruff: noqa: E402  (the time that imports take is counted)

import json
import pathlib
import sys
import time

asked = json.loads(sys.argv[1])

import itertools
import types

import numpy as np

sys.path[1:1] = [str(pathlib.Path(__file__).resolve().parents[2])]

KEPT, JOB = pathlib.Path(asked["kept"]), asked["job"]
ENCODED_AT_ONCE = (64, 256, 1024)


def since(begin: float) -> float:
    return time.monotonic() - begin


def program():
    """Return what Peer reads of a program."""
    about = json.loads((KEPT / "about.json").read_text(encoding="utf-8"))
    fields = {name: JOB[name] for name in ("architecture", "batch_size", "latent_dim")}
    fields |= {"objective": "beta_vae", "likelihood": "bernoulli", "dtype": "float32", "sizes": {}}
    return types.SimpleNamespace(image_shape=tuple(about["shape"]), **fields), about["binary"]


def hypers(model: int) -> dict[str, float]:
    return {"lr": JOB["lr"], "beta": JOB["betas"][model % len(JOB["betas"])]}


def peer(settings: dict, pixels: np.ndarray):
    import peer_torch

    made, binary = program()
    return peer_torch.Peer(made, pixels, binary, hypers(0), **settings)


def settings() -> dict:
    """Return the fastest of eager and compiled, layouts and threads to train with, and likewise to encode with."""
    import measuring

    train, held_out = (np.load(KEPT / f"{name}.npy", allow_pickle=False) for name in ("train", "held_out"))
    found, cores = [], asked["cores"]
    for compiled, last, threads in itertools.product((False, True), (False, True), sorted({1, cores})):
        if compiled and threads != cores:
            continue
        own = {"compiled": compiled, "channels_last": last, "threads": threads}
        made = peer(own, train)
        steps = measuring.enough(made.run, 1.0)
        spent = measuring.seconds_of(lambda m=made, n=steps: m.run(n), 3) / steps
        found.append((spent, own))
    best = min(found, key=lambda pair: pair[0])[1]
    made, some = peer(best, train), held_out[: 4 * max(ENCODED_AT_ONCE)]
    tried = []
    for compiled, size in itertools.product((False, True), ENCODED_AT_ONCE):
        own = {"at_once": size, "compiled": compiled}
        tried.append((measuring.seconds_of(lambda o=own: made.codes(some, **o), 3), own))
    return {"train": best, "encode": min(tried, key=lambda pair: pair[0])[1]}


def training() -> dict:
    """Train, encode and keep the codes of a few models one after another, then draw the figure."""
    train, held_out = (np.load(KEPT / f"{name}.npy", allow_pickle=False) for name in ("train", "held_out"))
    own, encode = asked["settings"]["train"], asked["settings"]["encode"]
    made = peer(own, train)
    start, trained, encoded = since(asked["started"]), [], []
    for model in range(JOB["trained"]):
        begin = time.monotonic()
        made.begin(hypers(model), seed=model)
        made.run(JOB["steps"])
        trained.append(since(begin))
        begin = time.monotonic()
        codes = made.codes(held_out, **encode)
        encoded.append(since(begin))
        np.save(KEPT / f"codes_{model}.npy", codes)
    begin = time.monotonic()
    draw()
    drawn = since(begin)
    once = {"start": start, "figures": drawn}
    once["compiling"] = sum(max(0.0, spent[0] - np.median(spent[1:])) for spent in (trained, encoded))
    later = {"training": trained[1:], "encoding": encoded[1:]}
    return {"once": once, "each": {part: (spent, len(spent)) for part, spent in later.items()}}


def draw() -> None:
    """Draw scores against beta, the mean over seeds and their standard deviation; of invented scores."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(13, 3), layout="constrained")
    for axes, name in zip(made.subplots(1, 5), ("MIG", "DCI", "SAP", "FactorVAE", "beta-VAE"), strict=True):
        scores = np.random.default_rng(0).random((JOB["seeds"], len(JOB["betas"])))
        axes.errorbar(JOB["betas"], scores.mean(0), scores.std(0), marker="o", capsize=3)
        axes.scatter(np.tile(JOB["betas"], JOB["seeds"]), scores.ravel(), alpha=0.4)
        axes.set(xlabel="beta", title=name)
    made.savefig(KEPT / "figure.png", dpi=150)


def points(number: int):
    """Return codes [N, D] of so many models, N factors, and 10,000 rows to fit and 5,000 others to report."""
    codes = [np.load(KEPT / f"codes_{model}.npy", allow_pickle=False) for model in range(number)]
    rows = np.random.default_rng(0).permutation(len(codes[0]))
    fit, report = (10_000, 5_000) if len(rows) >= 15_000 else (2 * len(rows) // 3, len(rows) // 3)
    return codes, np.load(KEPT / "factors.npy", allow_pickle=False), rows[:fit], rows[fit : fit + report]


def dci() -> dict:
    """Fit the boosted classifiers of several models over all cores, the longest first; a model costs its share."""
    from joblib import Parallel, delayed

    from reference import dci as restated

    number = JOB["boosted"]
    codes, factors, fit, report = points(number)
    own = {"n_estimators": JOB["trees"]}
    tasks = sorted(itertools.product(range(number), range(factors.shape[1])), key=lambda t: -factors[:, t[1]].max())
    once = {"start": since(asked["started"])}
    begin = time.monotonic()
    fitted = Parallel(n_jobs=asked["cores"])(
        delayed(restated.boosted)(
            codes[m][fit], factors[fit, k : k + 1], codes[m][report], factors[report, k : k + 1], **own
        )
        for m, k in tasks
    )
    by_task = dict(zip(tasks, fitted, strict=True))
    for m in range(number):
        columns = [by_task[m, k] for k in range(factors.shape[1])]
        restated.scores(np.hstack([one[0] for one in columns]), np.hstack([one[1] for one in columns]))
    return {"once": once, "each": {"dci": ([since(begin) / number], number)}}


def scores() -> dict:
    """Score several models over all cores, a score after another; a model costs its share."""
    from joblib import Parallel, delayed

    import race_scores
    from reference import classic, disentanglement

    number = JOB["scored"]
    codes, factors, fit, report = points(number)

    def sap(own):
        given = own[fit], factors[fit], own[report], factors[report]
        return classic.sap(*given, classic.scikit_learn_machine), classic.sap_continuous(own[fit], factors[fit])

    work = {
        "mig": lambda own: disentanglement.mig_of_points(own[fit], factors[fit]),
        "sap": sap,
        "factor_vae": lambda own: race_scores.factor_vae(own, factors, np.random.default_rng(0)),
        "beta_vae": lambda own: race_scores.beta_vae(own, factors, np.random.default_rng(0)),
    }
    with Parallel(n_jobs=asked["cores"]) as pool:
        pool(delayed(len)(own) for own in codes)  # starts the processes
        once, each = {"start": since(asked["started"])}, {}
        for name, score in work.items():
            each[name] = []
            for _ in range(3):
                begin = time.monotonic()
                pool(delayed(score)(own) for own in codes)
                each[name].append(since(begin) / number)
    return {"once": once, "each": {name: (spent, number) for name, spent in each.items()}}


if __name__ == "__main__":
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests"))
    print(json.dumps({"settings": settings, "training": training, "dci": dci, "scores": scores}[asked["run"]]()))
