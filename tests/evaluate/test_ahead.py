"""What is compiled while lanes train is what scoring then needs."""

import numpy as np
import pytest

import jaxvae
from jaxvae.evaluate import ahead
from jaxvae.parallel import compiling
from jaxvae.report import saving

RNG = np.random.default_rng(0)
IMAGES, FACTORS = RNG.integers(0, 255, (48, 8, 8), np.uint8), RNG.integers(0, 3, (48, 2))


def train(folder, **given):
    sizes = {"architecture": "mlp", "latent_dim": 3, "batch_size": 8}
    return jaxvae.train(IMAGES, factors=FACTORS, workdir=folder, say=None, **sizes, **given)


def programs():
    return {known_by for known_by in compiling._begun() if known_by[0] in ("encode", "metric")}


@pytest.mark.parametrize(
    ("objective", "seeds", "given"),
    [
        ("beta_vae,factor_vae", 2, {"metrics": "mig,udr", "critic_width": 8, "critic_depth": 2}),
        # a prior of its own; log-variances, and a gap to the training set
        pytest.param("vade", 1, {"metrics": "mig", "num_clusters": 2}, marks=pytest.mark.slow),
        pytest.param("vae", 5, {"metrics": "mig_sampled", "validation": 0.25}, marks=pytest.mark.slow),
    ],
    ids=["one prior", "own prior", "log-variances"],
)
def test_programs_that_scoring_needs_are_begun_before(objective, seeds, given, monkeypatch, tmp_path):
    monkeypatch.setattr(saving, "PLOTS", {})
    begin, begun = ahead.begin, set()

    def begin_at_once(*arguments):
        before = programs()
        list(begin(*arguments))
        begun.update(programs() - before)
        return iter(())

    monkeypatch.setattr(ahead, "begin", begin_at_once)
    compiling._begun().clear()
    train(tmp_path / "sweep", objective=objective, sweep={"seed": range(seeds)}, steps=2, **given)
    assert begun and programs() == begun


def test_what_fails_ahead_stops_no_training(monkeypatch, tmp_path):
    monkeypatch.setattr(saving, "PLOTS", {})
    tried = []

    def fails(*_):
        tried.append(True)
        raise MemoryError("no room")
        yield

    monkeypatch.setattr(ahead, "begin", fails)
    sweep = train(tmp_path / "sweep", objective="vae", steps=30, metrics="mig", log_every=30)
    assert tried and sweep.results[0]["status"] == "ok" and sweep.results[0]["mig"] is not None
