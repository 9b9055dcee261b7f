"""What a lane sees: today's draws where nothing is asked, else a coarser grid, a share of the images, or both."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae import objectives
from jaxvae.asked import spec
from jaxvae.data.grid import assemble
from jaxvae.lane import seeing, step
from jaxvae.lane.keys import Stream, key_for
from jaxvae.objectives import estimators
from jaxvae.types import InputError, Program

SIZES = (3, 5, 4)
NAMES = ("shape", "x", "y")
FACTORS = np.array(list(itertools.product(*map(range, SIZES))))


def pictures(count):
    images = np.zeros((count, 8, 8, 1), np.uint8)
    images[np.arange(count), np.arange(count) % 8, np.arange(count) // 8 % 8] = 255
    return images


@pytest.fixture(scope="module")
def grid():
    assert whole().complete_grid
    return whole()


@pytest.fixture(scope="module")
def heap():
    return assemble("heap", pictures(61), annotation="none")


def numbers(sparsity=1, fraction=1.0, seed=0):
    return {"sparsity": np.float32(sparsity), "fraction": np.float32(fraction), "seed": np.uint32(seed)}


@functools.cache
def compiled(what, unordered=("shape",)):
    return jax.jit(functools.partial(what, whole(unordered)))


@functools.cache
def whole(unordered=("shape",)):
    return assemble("grid", pictures(60), FACTORS, NAMES, annotation="factors", unordered=unordered)


def mask(*own):
    return np.asarray(compiled(seeing.seen)(numbers(*own)))


@jax.jit
def drawn(key, hypers):
    return seeing.draw(key, 2000, whole(), hypers)


def kept(sparsity):
    """Return which rows of FACTORS have every s-th value of x and y, and any shape."""
    return (FACTORS[:, 1:] % sparsity == 0).all(1)


@pytest.mark.parametrize("which", ["grid", "heap"])
def test_a_lane_that_sees_all_draws_what_it_always_drew(which, request):
    data = request.getfixturevalue(which)
    draw = jax.jit(lambda key, hypers: seeing.draw(key, 200, data, hypers))
    for seed, number in itertools.product((0, 7, 2**32 - 1), (0, 1, 12345)):
        key = key_for(np.uint32(seed), Stream.BATCH, number)
        found = draw(key, numbers(seed=seed))
        assert found.dtype == jnp.int32
        np.testing.assert_array_equal(found, jax.random.randint(key, (200,), 0, len(data)))


@pytest.mark.parametrize("sparsity", [1, 2, 3, 4, 5, 100])
def test_sparsity_leaves_every_so_many_th_value_of_the_ordered_factors(sparsity):
    np.testing.assert_array_equal(mask(sparsity), kept(sparsity))
    assert int(compiled(seeing.num_seen)(numbers(sparsity))) == kept(sparsity).sum()
    counts = np.bincount(drawn(jax.random.key(1), numbers(sparsity)), minlength=60)
    np.testing.assert_array_equal(counts > 0, kept(sparsity))
    assert counts[kept(sparsity)].std() < 2 * np.sqrt(2000 / kept(sparsity).sum()), "uniform"


@pytest.mark.parametrize("sparsity", [1, 2])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.99])
def test_fraction_leaves_so_many_of_what_sparsity_leaves_each_seed_its_own(sparsity, fraction):
    found = [mask(sparsity, fraction, seed) for seed in range(6)]
    expected = max(1, round(float(np.float32(fraction) * kept(sparsity).sum())))
    assert [one.sum() for one in found] == [expected] * 6
    assert not any(one[~kept(sparsity)].any() for one in found)
    if expected < kept(sparsity).sum() - 1:
        assert len({one.tobytes() for one in found}) > 3
    for seed in range(2):
        counts = np.bincount(drawn(jax.random.key(seed), numbers(sparsity, fraction, seed)), minlength=60)
        np.testing.assert_array_equal(counts > 0, found[seed])


def test_a_smaller_fraction_is_part_of_a_larger_one(heap):
    see = jax.jit(lambda hypers: seeing.seen(heap, hypers))
    small, large = (np.asarray(see(numbers(1, share, 3))) for share in (0.2, 0.5))
    assert small.sum() == 12 and (small <= large).all()


def test_the_shuffle_is_a_permutation_of_any_number_of_places():
    shuffled = jax.jit(lambda seed, number: seeing.shuffle(jax.random.key(seed), jnp.arange(1000), number))
    for number, seed in itertools.product((1, 2, 3, 60, 511, 512, 513, 1000), (0, 1)):
        found = np.asarray(shuffled(seed, number))[:number]
        np.testing.assert_array_equal(np.sort(found), np.arange(number))
    assert (np.asarray(shuffled(0, 1000)) == np.arange(1000)).sum() < 6


def test_the_shuffle_sends_every_place_anywhere_and_pairs_independently():
    """Of 40 places, over 4,000 seeds: each is sent to each as often, and neighbours do not stay together."""
    number, seeds = 40, 4000
    found = np.asarray(
        jax.jit(jax.vmap(lambda seed: seeing.shuffle(jax.random.key(seed), jnp.arange(number), number)))(
            jnp.arange(seeds)
        )
    )
    counts = np.stack([np.bincount(found[:, place], minlength=number) for place in range(number)])
    chi_squared = ((counts - seeds / number) ** 2 / (seeds / number)).sum()
    degrees = (number - 1) ** 2
    assert abs(chi_squared - degrees) < 4 * np.sqrt(2 * degrees)
    distances = np.bincount((found[:, 1] - found[:, 0]) % number, minlength=number)[1:]
    assert ((distances - seeds / (number - 1)) ** 2 / (seeds / (number - 1))).sum() < 39 + 4 * np.sqrt(78)
    together = ((found[:, :20] < 8).sum(1)).var()  # hypergeometric: 8 of 40 drawn, 20 marked
    assert together == pytest.approx(8 * 0.5 * 0.5 * 32 / 39, rel=0.1)


def test_what_does_not_fit_the_data_is_refused(grid, heap):
    def of(data, sparsity, fraction):
        seeing.check(data, {"sparsity": np.float32(sparsity), "fraction": np.float32(fraction)})

    of(grid, [1, 2, 100], [1, 0.5, 0.4])
    of(heap, [1, 1], [1, 1 / 60])
    with pytest.raises(InputError, match=r"sparsity=2: heap is not a complete grid .* sweep fraction instead"):
        of(heap, [1, 2], [1, 1])
    with pytest.raises(
        InputError, match=r"fraction=0.01 of the 61 images of heap that sparsity=1 leaves is less than one image"
    ):
        of(heap, [1, 1], [1, 0.01])
    with pytest.raises(InputError, match=r"fraction=0\.2 of the 3 images of grid that sparsity=100"):
        of(grid, [1, 100], [0.2, 0.2])
    for axis in ("sparsity=0", "sparsity=1.5", "fraction=0", "fraction=1.1"):
        chosen = spec.Spec(sweep=(spec.parse_axis(axis),), architectures=("mlp",), batch_size=8)
        with pytest.raises(InputError, match="takes"):
            spec.expand(chosen, (8, 8, 1), 60)
    with pytest.raises(InputError, match="sweep fraction instead"):  # at the door, and not later
        jaxvae.train(pictures(61), sweep={"sparsity": [1, 2]}, architecture="mlp", batch_size=8, steps=1)


def test_lanes_side_by_side_see_each_their_own(grid):
    """An image that no lane but one sees is lit in no other's batches: the same program, traced numbers."""
    hypers = {
        "sparsity": np.float32([1, 2, 1]),
        "fraction": np.float32([1, 1, 0.1]),
        "seed": np.uint32([0, 0, 5]),
    }
    masks = jax.jit(jax.vmap(lambda own: seeing.seen(grid, own)))(hypers)
    np.testing.assert_array_equal(masks, np.stack([mask(), mask(2), mask(1, 0.1, 5)]))
    assert np.asarray(masks).sum(1).tolist() == [60, 18, 6]


def test_training_is_that_of_the_images_that_are_seen(grid):
    """A lane of sparsity 2 loses what it loses on the coarse grid alone: the same draws of the same images."""
    coarse = assemble("coarse", pictures(60)[kept(2)], FACTORS[kept(2)] // [1, 2, 2], NAMES, annotation="factors")
    program = Program("mlp", "beta_tcvae", (8, 8, 1), latent_dim=3, batch_size=16)

    @jax.jit
    def losses(hypers):
        state = step.init_state(program, hypers).replace(step=3)
        return [
            step.loss(state.params, program, data, hypers | own, state)[1][0]
            for data, own in ((grid, numbers(2)), (coarse, numbers()), (grid, numbers()))
        ]

    found, expected, other = losses(step.hyper_defaults(program) | numbers())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)
    assert abs(found["loss"] - other["loss"]) > 1e-3


@pytest.mark.parametrize(
    "weights",
    [estimators.stratified_log_weights, estimators.own_and_others_log_weights, estimators.uniform_log_weights],
)
def test_weights_of_estimators_take_a_traced_number_of_images(weights):
    for number in (8, 100, 737_280):
        np.testing.assert_allclose(jax.jit(weights, static_argnums=0)(8, number), weights(8, number), rtol=1e-6)
    assert np.isfinite(jax.jit(weights, static_argnums=0)(8, 3)).all()  # fewer images than a batch holds
    if weights is not estimators.uniform_log_weights:
        np.testing.assert_allclose(jnp.exp(weights(8, 100)).sum(1), 1, rtol=1e-5)


def test_the_context_knows_the_number_that_is_seen(grid, monkeypatch):
    told = []
    real = objectives.Objective.penalty

    def spy(self, out, extra, critic, hypers, ctx):
        told.append(ctx.num_images)
        return real(self, out, extra, critic, hypers, ctx)

    monkeypatch.setattr(objectives.Objective, "penalty", spy)
    program = Program("mlp", "vae", (8, 8, 1), latent_dim=2, batch_size=4)

    @jax.jit
    def number(hypers):
        state = step.init_state(program, hypers)
        step.loss(state.params, program, grid, hypers, state)
        return told.pop()

    for own, expected in ((numbers(2), 18), (numbers(1, 0.5), 30), (numbers(), 60)):
        assert int(number(step.hyper_defaults(program) | own)) == expected


def test_all_factors_are_ordered_where_none_is_named():
    np.testing.assert_array_equal(compiled(seeing.seen, ())(numbers(2)), (FACTORS % 2 == 0).all(1))
