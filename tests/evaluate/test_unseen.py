"""Scores of seen and of unseen images: which images those are, and that each number is of them alone."""

import itertools
import pathlib
import tarfile
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import jaxvae
from jaxvae.data.grid import assemble
from jaxvae.data.splitting import rows_of
from jaxvae.evaluate import unseen
from jaxvae.evaluate.encoding import Encoded
from jaxvae.parallel.lanes import make_mesh, put_lanes
from jaxvae.types import InputError
from jaxvae.workdir.plan import fingerprint

SIZES = (3, 8, 8)
FACTORS = np.array(list(itertools.product(*map(range, SIZES))))
HELD = (FACTORS[:, 0] == 1) & (FACTORS[:, 1] > 3)
RULE = "shape=1,y>3"


@pytest.fixture(scope="module")
def data():
    pictures = np.zeros((len(FACTORS), 8, 8, 1), np.uint8)
    for picture, (shape, y, x) in zip(pictures, FACTORS, strict=True):
        picture[y, x] = 255
        picture[(y + shape) % 8, (x + 1) % 8] = 200
    return assemble("squares", pictures, FACTORS, ("shape", "y", "x"), annotation="factors", unordered=("shape",))


def sweep_of(trained_on, *lanes, hold_out=()):
    lanes = [{"lane": number} | lane for number, lane in enumerate(lanes)]
    return types.SimpleNamespace(lanes=lanes, spec={"hold_out": list(hold_out)}, trained_on=fingerprint(trained_on))


def encoded_of(codes, reconstruction, kl):
    """Return what `encode` would of R lanes; the mesh is one that pads them."""
    mesh = make_mesh(len(codes), jax.devices()[:1])
    means, *losses = (put_lanes(np.asarray(array, np.float32), mesh) for array in (codes, reconstruction, kl))
    return Encoded(means, None, None, None, None, {}, tuple(losses))


def test_what_a_lane_has_seen_follows_from_its_numbers(data):
    lanes = ({"sparsity": 2.0, "seed": 1}, {"fraction": 0.25, "seed": 1}, {"fraction": 0.25, "seed": 2}, {"seed": 0})
    coarse, some, others, everything = unseen.seen_images(sweep_of(data, *lanes), data)
    np.testing.assert_array_equal(coarse, (FACTORS[:, 1:] % 2 == 0).all(1))
    assert some.sum() == others.sum() == 48 and (some != others).any() and everything.all()


def test_what_is_held_out_no_lane_has_seen(data):
    rest = rows_of(data, np.flatnonzero(~HELD))
    whole, part = unseen.seen_images(sweep_of(rest, {"seed": 0}, {"fraction": 0.5, "seed": 0}, hold_out=[RULE]), data)
    np.testing.assert_array_equal(whole, ~HELD)
    assert part.sum() == 80 and not part[HELD].any()


def test_nothing_is_apart_where_all_saw_all_or_other_images(data):
    other = rows_of(data, np.arange(100))
    assert unseen.seen_images(sweep_of(data, {"seed": 0}, {"seed": 1, "sparsity": 1.0}), data) is None
    assert unseen.seen_images(sweep_of(data, {"fraction": 0.5}), other) is None
    assert unseen.seen_images(sweep_of(data, {"seed": 0}, hold_out=["colour=3"]), data) is None
    saved = types.SimpleNamespace(lanes=[{"lane": 0, "seed": 0, "beta": 1.0}], spec={}, trained_on=None)
    assert unseen.seen_images(saved, data) is None, "of an earlier version"


def test_losses_are_means_over_as_many_seen_as_unseen_images(data):
    rng = np.random.default_rng(0)
    nll, kl = rng.normal(size=(2, 3, 192))
    coarse = (FACTORS[:, 1:] % 2 == 0).all(1)
    nll[0, coarse], nll[0, ~coarse] = 1.0, 3.0  # whichever are drawn
    masks = [coarse, np.ones(192, bool), ~HELD]
    rows = unseen.score_apart(encoded_of(rng.normal(size=(3, 192, 4)), nll, kl), data, masks, ())
    assert (rows[0]["reconstruction_seen"], rows[0]["reconstruction_unseen"]) == (1.0, 3.0)
    assert set(rows[1].values()) == {None} and [*rows[1]] == unseen.columns((), data)
    assert rows[2]["reconstruction_unseen"] == pytest.approx(nll[2, HELD].mean(), rel=1e-6)
    assert rows[2]["kl_unseen"] == pytest.approx(kl[2, HELD].mean(), rel=1e-6)
    sample = rows[2]["kl_seen"]
    assert sample != pytest.approx(kl[2, ~HELD].mean(), rel=1e-9) and abs(sample) < 1
    known, new = unseen._draw(np.random.default_rng(1).permutation(192), ~HELD)
    assert len(known) == len(new) == HELD.sum() and HELD[new].all() and not HELD[known].any()


def test_the_probe_is_a_logistic_regression_of_half_of_the_seen_images(data):
    rng = np.random.default_rng(0)
    order = rng.permutation(192)
    factors = FACTORS[order]
    codes = (factors @ rng.normal(size=(3, 4)) + 0.5 * rng.normal(size=(192, 4))).astype(np.float32)
    found = unseen._probe_scores(codes, factors, data)
    right = {"probe_seen": [], "probe_unseen": []}
    for column in range(3):
        told = LogisticRegression(C=1, max_iter=2000).fit(codes[:48], factors[:48, column])
        for name, part in (("probe_seen", slice(48, 96)), ("probe_unseen", slice(96, 144))):
            right[name].append((told.predict(codes[part]) == factors[part, column]).mean())
    assert found == {name: pytest.approx(np.mean(own), abs=0.011) for name, own in right.items()}


def test_the_probe_is_not_asked_for_what_it_cannot_know(data):
    """Codes that hold all factors, seen at every other value: perfect on values that were seen, in any combination."""
    coarse = (FACTORS[:, 1:] % 2 == 0).all(1)
    order = np.random.default_rng(0).permutation(192)
    known, new = unseen._draw(order, coarse)
    rows = np.concatenate([known, new])
    codes = 20 * np.concatenate([np.eye(size)[FACTORS[rows, k]] for k, size in enumerate(SIZES)], axis=1)
    found = unseen._probe_scores(codes.astype(np.float32), FACTORS[rows], data)
    assert found["probe_seen"] > 0.95 and found["probe_unseen"] > 0.95
    assert unseen._probe_scores(codes[:6].astype(np.float32), FACTORS[rows[:6]], data) == {}
    codes[3] = np.nan
    assert np.isnan(list(unseen._probe_scores(codes, FACTORS[rows], data).values())).all()


def test_metrics_of_unseen_images_are_of_the_factors_that_vary_there(data):
    codes = jnp.asarray(FACTORS, jnp.float32) + 0.01
    alone = jaxvae.metrics.score(FACTORS[HELD], FACTORS[HELD], names=("mig",))
    (row,) = unseen.score_apart(
        encoded_of(codes[None], np.zeros((1, 192)), np.zeros((1, 192))), data, [~HELD], ("mig", "irs")
    )
    assert row["mig_unseen"] == pytest.approx(alone["mig"], abs=1e-5) and row["mig_unseen"] > 0.9
    assert "irs_unseen" not in row


def test_a_sweep_says_what_its_lanes_lose_on_what_is_held_out(data, tmp_path, no_figures):
    choices = {
        "architecture": "mlp",
        "latent_dim": 3,
        "batch_size": 16,
        "lr": 1e-3,
        "lanes": "map",
        "metrics": ("mig",),
    }
    given = {"sweep": {"seed": range(2)}, "hold_out": RULE, "steps": 60, "say": None, "workdir": tmp_path / "sweep"}
    sweep = jaxvae.train(data, **choices, **given)
    assert sweep.spec["hold_out"] == [RULE] and len(sweep.results) == 2
    names = ["reconstruction_seen", "reconstruction_unseen", "kl_seen", "kl_unseen", "probe_seen", "probe_unseen"]
    assert [*sweep.results[0]][-7:] == [*names, "mig_unseen"]
    for row in sweep.results:
        assert np.isfinite([row[name] for name in names]).all() and 0 <= row["probe_unseen"] <= 1
        model = sweep.model(row["lane"])
        mean, logvar = map(np.asarray, model.encode(data.images(np.flatnonzero(HELD))))
        kl = 0.5 * (np.square(mean) + np.exp(logvar) - 1 - logvar).sum(1)
        assert row["kl_unseen"] == pytest.approx(kl.mean(), rel=1e-4)
    again = jaxvae.load_sweep(tmp_path / "sweep").rescore("mig", data=data, say=lambda line: None)
    for row, before in zip(again.results, sweep.results, strict=True):
        assert {name: row[name] for name in (*names, "mig_unseen")} == {n: before[n] for n in (*names, "mig_unseen")}
    assert sweep.plot("seen_and_unseen").axes[0].get_xlabel() == "seen images"
    with pytest.raises(InputError, match="hold_out"):
        jaxvae.train(data, **choices, **given | {"hold_out": ()})


@pytest.mark.slow
def test_a_sweep_of_version_0_1_has_lanes_that_saw_all(tmp_path):
    archive = pathlib.Path(__file__).parents[1] / "saved" / "sweep_of_0_1.tar.xz"
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    sweep = jaxvae.load_sweep(tmp_path)
    shape = tuple(sweep.model(0).program.image_shape)
    images = np.random.default_rng(0).integers(0, 255, (20, *shape), np.uint8)
    known = np.arange(20) % 4
    other = assemble("others", images, np.stack([known], 1), ("a",), annotation="factors", factor_sizes=(4,))
    found = sweep.rescore("mig", data=other, say=lambda line: None)
    assert np.isfinite(found.results[0]["reconstruction"]) and not any(map(unseen.is_apart, found.results[0]))
