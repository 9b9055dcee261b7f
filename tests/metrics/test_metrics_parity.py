"""Scores against disentanglement_lib restated in NumPy and scikit-learn, same codes, same sample counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.metrics import METRICS, mig, score_lanes
from jaxvae.types import Factors
from reference import disentanglement

SIZES = (3, 4, 5, 6)
GRID = np.stack(np.unravel_index(np.arange(360), SIZES), axis=1).astype(np.int32)
SEEDS = (0, 1, 2)


def make_codes():
    """Return {kind: codes f32[360, 6]} from perfect to worthless; where a kind has no use for a latent it is dead."""
    random = np.random.default_rng(0)
    unit = (GRID - GRID.mean(0)) / GRID.std(0)
    rotation = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2  # every latent mixes all
    dead = 1e-3 * random.normal(size=(360, 6))
    kinds = {
        "perfect": unit,
        "rotated": unit @ rotation,
        "noisy": unit + 1.5 * random.normal(size=unit.shape),
        "two of four factors": np.concatenate([unit[:, :2], unit[:, :1] + 0.3 * random.normal(size=(360, 1))], axis=1),
        "random": random.normal(size=(360, 6)),
    }
    codes = {kind: dead.astype(np.float32) for kind in kinds}
    return {
        kind: np.concatenate([latents, codes[kind][:, latents.shape[1] :]], axis=1).astype(np.float32)
        for kind, latents in kinds.items()
    }


CODES = make_codes()


@pytest.fixture(scope="module")
def ours():
    """Return {metric: {kind: scores over SEEDS}}."""
    names = ("beta_vae", "factor_vae", "mig")
    stacked, factors = jnp.stack(list(CODES.values())), Factors(jnp.asarray(GRID), SIZES)
    by_seed = [score_lanes(stacked, factors, names, seed) for seed in SEEDS]
    return {
        name: {kind: np.array([scores[name][lane] for scores in by_seed]) for lane, kind in enumerate(CODES)}
        for name in names
    }


@pytest.mark.parametrize("kind", CODES)
def test_mig_of_the_same_points(kind):
    points = np.random.default_rng(3).integers(360, size=10_000)
    codes, values = CODES[kind][points], GRID[points]
    found = jax.jit(mig.gap)(codes, Factors(values, SIZES))
    assert float(found) == pytest.approx(disentanglement.mig_of_points(codes, values), abs=1e-5)


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("name", ["beta_vae", "factor_vae", "mig"])
def test_sampled_scores(ours, name, kind):
    reference = getattr(disentanglement, name)
    expected = [reference(CODES[kind], SIZES, np.random.default_rng(seed)) for seed in SEEDS]
    assert ours[name][kind].mean() == pytest.approx(np.mean(expected), abs=0.02)


# The bands of disentanglement_lib's own tests, and what is known of perfect and worthless codes.
def test_perfect_codes_score_high(ours):
    for name in ("beta_vae", "factor_vae", "mig"):
        assert ours[name]["perfect"].min() >= 0.9


def test_worthless_codes_score_chance(ours):
    assert ours["mig"]["random"].max() < 0.05
    for name in ("beta_vae", "factor_vae"):
        assert ours[name]["random"].max() < 1 / len(SIZES) + 0.2


def test_a_rotation_lowers_what_depends_on_axes(ours):
    for name in ("factor_vae", "mig"):
        assert ours[name]["rotated"].max() < ours[name]["perfect"].min() - 0.2


def test_every_score_that_needs_factors_has_a_reference():
    """A new metric has a restatement here or in another file of tests, or says in its docstring why it cannot."""
    compared = {"beta_vae", "factor_vae", "mig"} | {"dci"} | {"mig_sampled", "infomec"}  # in test_metrics_(dci|info).py
    compared |= {"sap", "modularity", "explicitness", "irs"}  # in test_metrics_classic.py
    compared |= {"tad"}  # in test_tad.py
    compared |= {"neighbours", "linear_probe", "silhouette"}  # in test_clusters_of_labels.py
    assert compared == {name for name, metric in METRICS.items() if metric.needs_factors}
