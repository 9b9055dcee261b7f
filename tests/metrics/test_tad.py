"""TAD against its restatement, what it must say of known codes, and where it is left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.data import from_arrays, load
from jaxvae.evaluate import choose_metrics
from jaxvae.learners import ranking
from jaxvae.metrics import METRICS, score, score_lanes, tad
from jaxvae.metrics.__main__ import main as score_file
from jaxvae.types import Factors, InputError
from reference import attributes

NUM_ROWS, NUM_ATTRIBUTES = 1_500, 6
RATES = np.array([0.5, 0.3, 0.1, 0.5, 0.02, 0.8])
RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.random((NUM_ROWS, NUM_ATTRIBUTES)) < RATES).astype(int)
NOISE = RANDOM.normal(size=(NUM_ROWS, 8))
MIXING = np.linalg.qr(RANDOM.normal(size=(NUM_ATTRIBUTES, NUM_ATTRIBUTES)))[0]
COPIED = np.where(RANDOM.random(NUM_ROWS) < 0.9, LABELS[:, 0], 1 - LABELS[:, 0])  # attribute 0, one in ten otherwise
RELATED = np.column_stack([LABELS, COPIED])


def noisy(scale):
    return np.concatenate([LABELS + scale * NOISE[:, :6], NOISE[:, 6:]], axis=1)


KINDS = {
    "perfect": np.concatenate([LABELS + 0.01 * NOISE[:, :6], NOISE[:, 6:]], axis=1),
    "classes themselves": LABELS.astype(float),
    "noisy": noisy(0.7),
    "noisier": noisy(1.5),
    "rotated": LABELS @ MIXING + 0.1 * NOISE[:, :6],
    "duplicated": np.repeat(LABELS + 0.3 * NOISE[:, :6], 2, axis=1),
    "curved": np.tanh(3 * noisy(0.5)) ** 3,
    "many ties": np.round(noisy(0.7)),
    "far from zero": 300 + 0.01 * noisy(0.7),
    "random": NOISE,
    "constant": np.full((NUM_ROWS, 8), 0.1),
    "one alive": noisy(0.2) * (np.arange(8) == 2),
}
KINDS = {kind: codes.astype(np.float32) for kind, codes in KINDS.items()}


def found(codes, labels=LABELS, **rest):
    scores = score(codes, labels, names="tad", **rest)
    assert list(scores) == ["tad", "tad_attributes"]
    return scores["tad"], scores["tad_attributes"]


@pytest.mark.parametrize("labels", [LABELS, RELATED], ids=["independent", "related"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_the_papers_code_says(kind, labels):
    expected = attributes.tad(KINDS[kind].astype(np.float64), labels)
    assert found(KINDS[kind], labels) == pytest.approx(expected, abs=1e-4)


def test_the_areas_are_scikit_learns():
    for codes in KINDS.values():
        table = np.asarray(jax.jit(ranking.areas_of_columns)(codes, LABELS == 1))
        np.testing.assert_allclose(np.maximum(table, 1 - table), attributes.areas(codes, LABELS), atol=1e-5)
    none_and_all = np.stack([np.zeros(NUM_ROWS, bool), np.ones(NUM_ROWS, bool)], axis=1)
    np.testing.assert_array_equal(ranking.areas_of_columns(NOISE.astype(np.float32), none_and_all), 0.5)


def test_known_codes():
    total, number = found(KINDS["perfect"])
    assert number == NUM_ATTRIBUTES and total == pytest.approx(NUM_ATTRIBUTES / 2, abs=0.35)  # noise tells a little
    assert found(KINDS["duplicated"])[0] < 0.2 * total and found(KINDS["duplicated"])[1] == NUM_ATTRIBUTES
    assert found(KINDS["rotated"])[0] < 0.6 * total
    for worthless in ("random", "constant"):
        assert found(KINDS[worthless]) == (0.0, 0.0)
    assert found(KINDS["one alive"]) == (pytest.approx(0.5, abs=0.01), 1.0)


def test_attributes_that_another_one_tells_are_left_out():
    both = found(np.column_stack([KINDS["perfect"], COPIED]), RELATED)
    without = found(KINDS["perfect"][:, 1:], LABELS[:, 1:])
    assert both[1] == without[1] == NUM_ATTRIBUTES - 1
    # Attribute 0 itself goes, and whatever knows of it.
    assert both[0] == pytest.approx(without[0], abs=0.1)
    same = np.repeat(LABELS, 2, axis=1)
    assert found(KINDS["perfect"], same) == (0.0, 0.0)
    share = tad.share_told_by_another(jnp.asarray(RELATED))
    np.testing.assert_allclose(share, attributes.told_by_another(RELATED), atol=1e-5)


def test_axes_have_no_order_sign_or_unit_and_attributes_no_order_or_sense():
    codes = KINDS["noisy"]
    expected = pytest.approx(found(codes), abs=1e-5)
    order = RANDOM.permutation(codes.shape[1])
    assert found(codes[:, order]) == expected
    assert found(codes * np.float32(-1)) == expected
    assert found(np.exp(codes / 4)) == expected  # only the order counts
    for scale in (1e-30, 1e-18, 1e18, 1e30):
        assert found((codes * scale).astype(np.float32)) == expected
    assert found(codes, LABELS[:, ::-1]) == expected
    assert found(codes, 1 - LABELS) == expected
    assert found(codes, LABELS * 40 - 20) == expected
    assert found(codes, LABELS == 1) == expected


def test_factors_of_other_sizes_are_not_looked_at():
    others = np.column_stack([np.zeros(NUM_ROWS), RANDOM.integers(5, size=NUM_ROWS), RANDOM.random(NUM_ROWS)])
    assert found(KINDS["noisy"], np.column_stack([others, LABELS])) == found(KINDS["noisy"])
    constant = found(KINDS["noisy"], np.column_stack([LABELS, np.arange(NUM_ROWS) == 3]))
    assert np.isfinite(constant).all()


def test_one_latent_is_ahead_of_a_guess():
    assert found(LABELS[:, :1].astype(np.float32)) == (0.5, 1.0)


def test_an_attribute_that_does_not_vary_is_left_out():
    held = np.column_stack([LABELS, np.ones(NUM_ROWS, int)])
    factors = Factors(jnp.asarray(held, jnp.int32), (2,) * held.shape[1])
    scores = score_lanes(KINDS["noisy"][None], factors, ("tad",), seed=0)
    assert (scores["tad"][0], scores["tad_attributes"][0]) == pytest.approx(found(KINDS["noisy"]), abs=1e-6)


def test_lanes_score_as_they_do_alone():
    chosen = [kind for kind, codes in KINDS.items() if codes.shape[1] == 8]
    lanes = np.stack([*(KINDS[kind] for kind in chosen), np.full((NUM_ROWS, 8), np.nan, np.float32)])
    factors = Factors(jnp.asarray(LABELS, jnp.int32), (2,) * NUM_ATTRIBUTES)
    scores = score_lanes(lanes, factors, ("tad",), seed=0, lanes_at_once=3)
    for lane, kind in enumerate(chosen):
        assert (scores["tad"][lane], scores["tad_attributes"][lane]) == pytest.approx(found(KINDS[kind]), abs=1e-5)
    assert np.isnan(scores["tad"][-1]) and np.isnan(scores["tad_attributes"][-1])


def test_many_rows_are_drawn_once_each():
    codes, labels = (np.tile(array, (20, 1)) for array in (KINDS["noisy"], LABELS))
    codes = codes + np.linspace(0, 1e-3, len(codes), dtype=np.float32)[:, None]
    one, other = found(codes, labels, seed=0), found(codes, labels, seed=1)
    assert one != other and one == pytest.approx(other, abs=0.1)
    assert one == pytest.approx(found(KINDS["noisy"]), abs=0.1)


# Where it is left out, and where it is not.


def test_without_a_factor_of_two_values_it_is_left_out_or_refused(tmp_path, capsys):
    codes, classes = KINDS["noisy"], RANDOM.integers(3, size=(NUM_ROWS, 2))
    assert "tad" not in score(codes, classes, names=None, logvar=None) and "tad" not in score(codes)
    with pytest.raises(InputError, match="'tad' needs factors of two values and none were given"):
        score(codes, classes, names=("mig", "tad"))
    with pytest.raises(InputError, match="'tad' needs factors and none were given"):
        score(codes, names="tad")
    with pytest.raises(InputError, match="'tad' needs factors of two values"):
        score_lanes(codes[None], Factors(jnp.asarray(classes, jnp.int32), (3, 3)), ("tad",), seed=0)
    assert METRICS["tad"].function(codes, Factors(jnp.asarray(classes), (3, 3)), jax.random.key(0))["tad"] == 0.0
    np.savez(tmp_path / "codes.npz", codes=codes, factors=classes)
    assert score_file([str(tmp_path / "codes.npz")]) == 0
    assert "left out: tad (needs factors of two values)" in capsys.readouterr().out


def test_sweeps_score_it_on_labels_and_say_why_not_elsewhere():
    images = np.zeros((40, 4, 4), np.uint8)
    faces = from_arrays(images, labels=RANDOM.integers(2, size=(40, 3)), factor_names=["smiling", "young", "hat"])
    assert faces.annotation == "labels" and faces.factor_sizes == (2, 2, 2)
    chosen, omitted = choose_metrics(None, faces)
    assert "tad" in chosen and "tad" not in omitted and "labels only" in omitted["mig"]
    _, omitted = choose_metrics(("tad",), load("mini_sprites"))
    assert omitted["tad"] == "needs factors or labels of two values; mini_sprites has no factors of two values"
    _, omitted = choose_metrics(("tad",), from_arrays(images, labels=np.arange(40) % 3))
    assert omitted["tad"].endswith("has no labels of two values")
    _, omitted = choose_metrics(("tad",), from_arrays(images))
    assert omitted["tad"].endswith("has no factors or labels")
