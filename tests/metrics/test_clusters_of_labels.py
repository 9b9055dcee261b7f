"""Metrics of labels against scikit-learn, what they must say of known codes, and where they are left out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from jaxvae.data import from_arrays, load
from jaxvae.evaluate import choose_metrics
from jaxvae.learners import distances
from jaxvae.metrics import METRICS, knn, linear_probe, points, score, score_lanes, silhouette
from jaxvae.types import Factors, InputError

NAMES = ("neighbours", "linear_probe", "silhouette")
KEYS = ("knn_accuracy", "linear_probe", "silhouette")
NUM_ROWS = 700
RANDOM = np.random.default_rng(0)
LABELS = np.column_stack([RANDOM.integers(5, size=NUM_ROWS), RANDOM.random(NUM_ROWS) < 0.2]).astype(np.int32)
SIZES = (5, 2)
CENTRES, OTHER = RANDOM.normal(size=(5, 6)), RANDOM.normal(size=(2, 6))
NOISE = RANDOM.normal(size=(NUM_ROWS, 6))


def mixed(noise):
    return CENTRES[LABELS[:, 0]] + OTHER[LABELS[:, 1]] + noise * NOISE


KINDS = {
    "apart": mixed(0.1),
    "noisy": mixed(0.7),
    "far from zero": 1e3 + mixed(0.7),
    "some latents off": mixed(0.5) * np.array([1, 1, 1, 1e-3, 1e-3, 0]),
    "random": NOISE,
    "one alive": mixed(0.7) * (np.arange(6) == 2),
    "classes themselves": np.column_stack([LABELS, *4 * [np.zeros(NUM_ROWS)]]),
    "two rings": np.column_stack([np.cos(7 * NOISE[:, :1]), np.sin(7 * NOISE[:, :1])] + 4 * [NOISE[:, :1] * 0])
    * (1 + 2 * LABELS[:, 1:]),
}
KINDS = {kind: codes.astype(np.float32) for kind, codes in KINDS.items()}
FACTORS = Factors(jnp.asarray(LABELS), SIZES)


def halves(codes, labels=LABELS, sizes=SIZES):
    """Return (codes, factors) of the first 400 rows and of the others."""
    return [(codes[part], Factors(jnp.asarray(labels[part]), sizes)) for part in (slice(400), slice(400, None))]


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_are_scikit_learns(kind):
    train, test = halves(KINDS[kind])
    told = [
        KNeighborsClassifier(10, algorithm="brute")
        .fit(train[0].astype(float), column)
        .score(test[0].astype(float), own)
        for column, own in zip(np.asarray(train[1].values).T, np.asarray(test[1].values).T, strict=True)
    ]
    found = float(_accuracy_of_neighbours(train, test))
    # Of points as far, of which there are hundreds, scikit-learn takes others.
    assert found == pytest.approx(np.mean(told), abs=1e-6 if kind != "classes themselves" else 0.02)


_accuracy_of_neighbours = jax.jit(functools.partial(knn.accuracy_of_neighbours, num_neighbours=10))


@pytest.mark.parametrize("kind", KINDS)
def test_the_probe_is_scikit_learns(kind):
    train, test = halves(KINDS[kind])
    mean, deviation = train[0].mean(0, dtype=float), train[0].std(0, dtype=float)
    alive = deviation > 0
    fitted, asked = ((part[0][:, alive] - mean[alive]) / deviation[alive] for part in (train, test))
    told = [
        LogisticRegression(tol=1e-6, max_iter=1000).fit(fitted, column).score(asked, own)
        for column, own in zip(np.asarray(train[1].values).T, np.asarray(test[1].values).T, strict=True)
    ]
    assert float(jax.jit(linear_probe.accuracy_of_probe)(train, test)) == pytest.approx(np.mean(told), abs=0.004)


@pytest.mark.parametrize("kind", KINDS)
def test_silhouettes_are_scikit_learns(kind):
    expected = np.mean([silhouette_score(KINDS[kind].astype(float), column) for column in LABELS.T])
    assert _silhouette(KINDS[kind], FACTORS, jax.random.key(0))["silhouette"] == pytest.approx(expected, abs=2e-4)


_silhouette = jax.jit(silhouette.mean_silhouette)


def test_a_class_of_one_point_counts_nothing():
    labels = np.where(np.arange(NUM_ROWS) == 3, 4, LABELS[:, 0] % 4)[:, None]  # class 4 has one point
    factors = Factors(jnp.asarray(labels), (7,))  # 5 and 6 none
    expected = silhouette_score(KINDS["noisy"].astype(float), labels[:, 0])
    found = _silhouette(KINDS["noisy"], factors, jax.random.key(0))["silhouette"]
    assert found == pytest.approx(expected, abs=1e-5)
    alone = Factors(jnp.arange(NUM_ROWS)[:, None], (NUM_ROWS,))
    assert silhouette.silhouettes(KINDS["noisy"], alone).any() == False  # noqa: E712


def test_distances_are_numpys_where_digits_are_few():
    for scale, offset in ((1e-30, 0), (1, 0), (1e30, 0), (1, 1e4)):
        codes = (KINDS["noisy"] * np.float32(scale) + np.float32(offset)).astype(np.float32)
        exact = codes.astype(float)
        exact = np.square(exact[:, None] - exact[:50]).sum(-1)
        one, other = distances.in_one_unit(jnp.asarray(codes), jnp.asarray(codes[:50]))
        found = np.asarray(distances.squared_distances(one, other), float)
        np.testing.assert_allclose(found / found.max(), exact / exact.max(), atol=2e-6)
        assert (np.diagonal(found) == 0).all()


@pytest.mark.parametrize("number", [1, 255, 256, 257, 1000])
def test_blocks_put_together_are_the_whole(number):
    rows = (jnp.arange(number), jnp.ones((number, 3)))
    found = distances.over_blocks(lambda block: block[0][:, None] + block[1], rows)
    np.testing.assert_array_equal(found, rows[0][:, None] + rows[1])


def test_of_votes_as_many_the_least_wins():
    votes = jnp.array([[[3], [1], [3], [1]], [[2], [2], [0], [4]], [[4], [3], [2], [1]]], jnp.int32)
    assert knn.majority(votes, 5).ravel().tolist() == [1, 2, 1]


# Known codes, at the door.


@pytest.fixture(scope="module")
def lanes():
    codes = [*KINDS.values(), np.full((NUM_ROWS, 6), 0.1, np.float32), KINDS["noisy"] * np.float32(1e30)]
    codes.append(np.where(np.arange(NUM_ROWS)[:, None] == 5, np.float32(np.inf), KINDS["noisy"]))
    scores = score_lanes(np.stack(codes), FACTORS, NAMES, seed=0, lanes_at_once=4)
    assert list(scores) == list(KEYS)
    kinds = (*KINDS, "constant", "huge", "not finite")
    return {kind: {key: float(values[i]) for key, values in scores.items()} for i, kind in enumerate(kinds)}


def test_what_they_say_of_known_codes(lanes):
    largest = np.mean([np.bincount(column).max() / NUM_ROWS for column in LABELS.T])
    assert lanes["apart"]["knn_accuracy"] > 0.99 and lanes["apart"]["linear_probe"] > 0.95
    assert lanes["classes themselves"]["knn_accuracy"] == 1.0
    for key in ("knn_accuracy", "linear_probe"):
        assert lanes["random"][key] < largest + 0.05 and lanes["constant"][key] < largest + 0.05
    assert abs(lanes["random"]["silhouette"]) < 0.02 and lanes["constant"]["silhouette"] == 0.0
    # Rings within each other have neighbours of their own, no hyperplane between them, and no middle.
    rings = score(KINDS["two rings"], LABELS[:, 1:], names=NAMES)
    assert rings["knn_accuracy"] > 0.99 and rings["linear_probe"] < 0.85 and rings["silhouette"] < 0.5
    for key in KEYS:
        assert lanes["huge"][key] == pytest.approx(lanes["noisy"][key], abs=0.005), key
        assert np.isnan(lanes["not finite"][key])
        assert lanes["far from zero"][key] == pytest.approx(lanes["noisy"][key], abs=0.005), key


def test_a_latent_that_is_off_does_not_count_for_neighbours(lanes):
    off = np.concatenate([KINDS["noisy"], 1e-3 * RANDOM.normal(size=(NUM_ROWS, 60))], axis=1).astype(np.float32)
    found = score(off, LABELS, names=("neighbours", "silhouette"))
    assert found["knn_accuracy"] == pytest.approx(lanes["noisy"]["knn_accuracy"], abs=0.01)
    assert found["silhouette"] == pytest.approx(lanes["noisy"]["silhouette"], abs=1e-3)


def test_a_label_that_does_not_vary_is_left_out():
    held = np.column_stack([LABELS, np.full(NUM_ROWS, 3)])
    found, expected = (score_lanes(KINDS["noisy"][None], Factors(jnp.asarray(values), sizes), NAMES, seed=0)
                       for values, sizes in ((held, (*SIZES, 4)), (LABELS, SIZES)))  # fmt: skip
    for key in KEYS:
        assert found[key][0] == pytest.approx(expected[key][0], abs=1e-5)
    nothing = score_lanes(KINDS["noisy"][None], Factors(jnp.asarray(held[:, 2:]), (4,)), NAMES, seed=0)
    assert all(values[0] == 0.0 for values in nothing.values())


@pytest.mark.parametrize("num_rows", [2, 3, 13, 400])
def test_no_point_is_fitted_and_reported(num_rows):
    number = jnp.arange(num_rows, dtype=jnp.int32)[:, None]
    numbered = number.astype(jnp.float32), Factors(number, (num_rows,))
    train, test = points.draw_held_out(*numbered, jax.random.key(0), None, 10)
    fitted, reported = (set(np.asarray(part[0]).ravel().tolist()) for part in (train, test))
    assert not fitted & reported and len(fitted) == min(10, num_rows // 2)
    assert len(reported) == min(10, num_rows - num_rows // 2)


def test_held_out_points_are_those_given():
    given = score(KINDS["apart"], LABELS, names="neighbours", test_codes=KINDS["random"], test_factors=LABELS)
    assert given["knn_accuracy"] < 0.7 < score(KINDS["apart"], LABELS, names="neighbours")["knn_accuracy"]


# Where they are left out.


def test_sweeps_score_them_on_labels_and_on_factors_where_asked():
    images = np.zeros((40, 4, 4), np.uint8)
    digits = from_arrays(images, labels=np.arange(40) % 3)
    assert set(NAMES) <= set(choose_metrics(None, digits)[0])
    sprites = load("mini_sprites")
    chosen, omitted = choose_metrics(None, sprites)
    assert not set(NAMES) & set(chosen) and "where asked for" in omitted["silhouette"]
    assert choose_metrics(NAMES, sprites) == (NAMES, {})
    _, omitted = choose_metrics(None, from_arrays(images))
    assert "needs labels of the images" in omitted["neighbours"]
    many = from_arrays(np.zeros((1200, 4, 4), np.uint8), labels=np.arange(1200))
    assert "1200 values, more than 1000" in choose_metrics(None, many)[1]["linear_probe"]


def test_without_labels_they_are_refused():
    with pytest.raises(InputError, match="'neighbours' needs factors"):
        score(KINDS["noisy"], names="neighbours")
    assert set(KEYS) <= set(score(KINDS["noisy"], LABELS, names=[*NAMES, "active_units"]))
    assert all(METRICS[name].of_labels for name in NAMES)
