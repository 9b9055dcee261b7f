"""What faces cannot tell: scores of navigation on codes whose truth is known, by a judge who reads it off."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.data import from_arrays, load
from jaxvae.navigate import nearest_factors, study
from jaxvae.navigate.attributes import attributes_of
from jaxvae.types import InputError
from known_codes import ATTRIBUTES, NUM_LATENTS, KnownCoder, few_sprites, turned, turned_in_pairs

NUM = len(ATTRIBUTES)
CODERS = ("factors", "turned", "in pairs", "shuffled", "dead", "stretched")


@pytest.fixture(scope="module")
def data():
    return few_sprites()


@pytest.fixture(scope="module")
def found(data):
    """A study of all coders, and the number of each."""
    shuffled = np.random.default_rng(0).permutation(len(data))
    coders = (
        KnownCoder(data),
        KnownCoder(data, turned(0)),
        KnownCoder(data, turned_in_pairs()),
        KnownCoder(data, order=shuffled),
        KnownCoder(data, dead=1),
        KnownCoder(data, np.diag([1, 1, 3, 1, 0.5])),
    )
    models = dict(zip(CODERS, coders, strict=True))
    judge = nearest_factors(data, ATTRIBUTES)
    return study(models, data, ATTRIBUTES, scorer=judge, faces=32, resamples=4, bootstraps=50, say=lambda line: None)


def of(values, coder):
    return values[CODERS.index(coder)]


def test_the_judge_reads_factors_off_images_and_off_what_is_near_them(data):
    judge = nearest_factors(data, ATTRIBUTES)
    rows = np.random.default_rng(0).permutation(len(data))[:300]
    images = np.asarray(data.batch(rows))
    np.testing.assert_array_equal(judge.nearest(images), rows)
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, images.shape)
    np.testing.assert_array_equal(judge.nearest(0.8 * images + 0.1 + noise), rows)
    scores = judge(images)
    assert scores.shape == (300, NUM) and scores.dtype == np.float32
    np.testing.assert_array_equal(scores > 0, attributes_of(data, ATTRIBUTES).values[rows])
    np.testing.assert_array_equal(scores[:, 0], np.asarray(data.factors)[rows, 0] == 2)
    whole = judge(np.asarray(data.batch(np.arange(len(data)))))
    np.testing.assert_allclose(whole[:, 1:].std(0), 1.0, atol=1e-5)


def test_the_judge_of_a_large_grid_is_that_of_its_bits(data, monkeypatch):
    images = np.asarray(data.batch(np.arange(0, len(data), 41))) * 0.9
    plain = nearest_factors(data).nearest(images)
    monkeypatch.setattr("jaxvae.navigate.truth.UNPACKED_BYTES", 0)
    monkeypatch.setattr(
        "jaxvae.navigate.truth.BLOCK_PIXELS", 1000 * 1024
    )  # the last block begins within the one before
    np.testing.assert_array_equal(nearest_factors(data).nearest(images[:50]), plain[:50])


def test_a_stride_leaves_every_value_of_every_factor(data):
    judge = nearest_factors(data, stride=7)
    seen = judge.nearest(np.asarray(data.batch(np.arange(64))))
    assert (seen % 7 == 0).all() and "330 images" in repr(judge)
    factors = np.asarray(data.factors)[::7]
    assert [len(np.unique(column)) for column in factors.T] == list(data.factor_sizes)


def test_the_judge_of_mini_sprites_is_right():
    data = load("mini_sprites")
    rows = np.random.default_rng(0).permutation(len(data))[:64]
    judge = nearest_factors(data)
    shapes = ("shape=square", "shape=ellipse", "shape=heart")
    assert judge.attributes == (*shapes, "scale>1", "orientation>3", "x_position>7", "y_position>7")
    np.testing.assert_array_equal(judge.nearest(np.asarray(data.batch(rows))), rows)


def test_grey_images_are_compared_too():
    pictures = np.stack([np.full((4, 4), level, np.uint8) for level in (0, 80, 160, 240)])
    grid = from_arrays(pictures, factors=np.arange(4)[:, None], factor_names=["light"])
    judge = nearest_factors(grid)
    np.testing.assert_array_equal(judge.nearest(np.full((2, 4, 4, 1), [[[[0.36]]], [[[0.9]]]])), [1, 3])
    assert judge.attributes == ("light>1",)


def test_the_judge_refuses_what_it_cannot_judge(data):
    with pytest.raises(InputError, match="did you mean 'shape=2'"):
        nearest_factors(data, ["shapes=2"])
    with pytest.raises(InputError, match="stride must be a whole number in 1 … 2304"):
        nearest_factors(data, stride=0)
    with pytest.raises(InputError, match=r"takes images \[B, 32, 32, 1\], got \(2, 8, 8, 1\)"):
        nearest_factors(data)(np.zeros((2, 8, 8, 1)))
    labelled = from_arrays(np.zeros((6, 4, 4), np.uint8), factors=np.arange(6)[:, None] % 3)
    with pytest.raises(InputError, match="not a complete grid"):
        nearest_factors(labelled)


@pytest.mark.parametrize("coder", ["factors", "dead", "stretched"])
def test_codes_that_are_the_factors_score_best_of_all(coder, found):
    normals, single = (
        (of(kind.selectivity.value, coder), of(kind.gap.value, coder)) for kind in (found.normals, found.single)
    )
    for selectivity, gap in (normals, single):
        assert (selectivity > 0.95).all() and (gap > 0.95).all()
    np.testing.assert_allclose(single[0], normals[0], atol=0.05)
    assert of(found.normals.steerable, coder).all() and (of(found.normals.certainty, coder) > 0.9).all()
    assert (of(found.normals.leakage.value, coder) < 0.05).all()
    boundaries = found.boundaries
    assert (of(boundaries.area, coder) > 0.99).all() and (of(boundaries.accuracy, coder) > 0.99).all()
    assert (of(boundaries.alignment, coder) > 0.99).all() and (of(boundaries.participation, coder) < 1.05).all()
    assert (of(boundaries.stability, coder) > 0.99).all()
    np.testing.assert_array_equal(of(boundaries.best_latents, coder), range(NUM_LATENTS))
    np.testing.assert_allclose(of(boundaries.cosines, coder), np.eye(NUM), atol=0.05)


def test_conditioning_the_factors_changes_nothing(found):
    conditioned = found.conditioned
    np.testing.assert_allclose(of(conditioned.left, "factors"), 1.0, atol=0.01)
    np.testing.assert_allclose(of(conditioned.gain.value, "factors"), 0.0, atol=0.02)
    np.testing.assert_allclose(of(conditioned.kept, "factors"), 1.0, atol=0.02)


def test_what_moves_factors_is_found_again_by_the_encoder(found):
    trip = found.round_trip
    assert (of(trip.drift.value, "factors") < 0.05).all()
    # A move ends where the grid does, so what is found is what moved the score: one standard deviation, the target;
    # that of one shape in three is 0.47 of its 0/1 and a move of 1.2 between classes.
    ordered = slice(1, None)
    moved = of(trip.found.value, "factors") * of(found.normals.step.value, "factors")
    np.testing.assert_allclose(moved[ordered], 1.0, atol=0.35)
    assert (of(trip.pixels.value, "factors") > 0.05).all()


def test_a_normal_finds_turned_factors_and_no_single_latent_does(found):
    for coder, size in (("turned", slice(None)), ("in pairs", slice(1, None))):
        boundaries = found.boundaries
        assert (of(found.normals.selectivity.value, coder) > 0.95).all()
        assert of(found.normals.steerable, coder).all()
        assert (of(found.single.selectivity.value, coder)[size] < 0.7).all()
        assert (of(boundaries.alignment, coder)[size] < 0.97).all()
        assert of(boundaries.participation, coder)[size].mean() > 1.9
        assert (of(boundaries.stability, coder) > 0.99).all()
        assert (of(found.round_trip.drift.value, coder) < 0.05).all()
    assert of(found.single.selectivity.value, "in pairs")[0] > 0.95  # the shape was left alone
    np.testing.assert_allclose(of(found.boundaries.participation, "in pairs")[1:], 2.0, atol=0.1)


def test_codes_of_other_images_tell_nothing_and_move_nothing(found):
    coder = "shuffled"
    assert (np.abs(of(found.boundaries.area, coder) - 0.5) < 0.12).all()
    assert not of(found.normals.steerable, coder).any()
    assert of(found.normals.selectivity.value, coder).mean() < 2.2 / NUM  # 1/A by chance, on 32 images
    assert np.abs(of(found.boundaries.stability, coder)).mean() < 0.6
    assert (of(found.judge.rebuilt_area, coder) > 0.99).all()  # … and yet every picture comes back as it was
    assert not found.comparable.any() and np.isnan(found.means["normals"].value).all()


def test_a_dead_latent_is_said_to_be_and_gets_no_weight(found):
    assert found.alive.shape == (len(CODERS), NUM_LATENTS + 1)
    assert of(found.alive, "dead").tolist() == [True] * NUM_LATENTS + [False]
    np.testing.assert_array_equal(found.boundaries.normals[..., -1], 0.0)
    np.testing.assert_array_equal(found.boundaries.resampled[..., -1], 0.0)


def test_the_scale_of_a_latent_changes_no_score(found):
    for kind in (found.normals, found.single, found.conditioned.cleanness):
        for field in ("selectivity", "gap", "leakage", "step"):
            value = getattr(kind, field).value
            np.testing.assert_allclose(of(value, "stretched"), of(value, "factors"), atol=0.02)


def test_a_study_says_who_judged(found):
    assert found.spec["scorer"] == "nearest of 2304 images of few_sprites"


def test_a_judge_is_asked_by_name(data):
    judge = nearest_factors(data, ATTRIBUTES[::-1])
    with pytest.raises(InputError, match=r"unknown attribute of the scorer 'shape=1'"):
        study([KnownCoder(data)], data, [*ATTRIBUTES[1:], "shape=1"], scorer=judge)
    few = {"faces": 4, "resamples": 2, "bootstraps": 2, "say": lambda line: None}
    same = nearest_factors(data, ATTRIBUTES[1:3])
    by_name, directly = (study([KnownCoder(data)], data, ATTRIBUTES[1:3], scorer=s, **few) for s in (judge, same))
    assert (by_name.normals.matrix == directly.normals.matrix).all()
    assert jnp.isfinite(judge(np.zeros((1, 32, 32, 1)))).all()  # nothing at all is nearest to something
