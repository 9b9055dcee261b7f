"""What every metric promises, the public door, lanes, and behaviour at the edges."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvae.metrics import METRICS, score, score_lanes, scoring
from jaxvae.types import Factors

SIZES = (3, 4, 5, 6)
GRID = np.stack(np.unravel_index(np.arange(360), SIZES), axis=1).astype(np.int32)
FACTORS = Factors(jnp.asarray(GRID), SIZES)

OF_ONE = tuple(name for name, metric in METRICS.items() if metric.of_codes)
OF_CLASSES = tuple(name for name in OF_ONE if not METRICS[name].needs_binary)  # GRID has no factor of two values

# Fewer samples than the reference's, for tests that are not about sampling; equal counts share their compiled parts.
FEW = {
    "beta_vae": {"num_train": 300, "num_eval": 300, "batch_size": 16},
    "factor_vae": {"num_train": 300, "num_eval": 300, "num_variance": 300, "batch_size": 16},
    "mig": {"num_points": 1_000},
    "dci": {"num_train": 300, "num_test": 300, "num_rounds": 10, "num_bins": 32},
    "mig_sampled": {"num_samples": 1_000},
    "sap": {"num_train": 1_000, "num_test": 500},
    "modularity": {"num_points": 1_000},
    "explicitness": {"num_train": 1_000, "num_test": 500},
    "irs": {"num_points": 1_000},
    "gaussian_tc": {"num_points": 1_000},
    "mutual_information": {"num_points": 1_000},
}


def quick(name):
    """Return a metric of one model with few samples; where it asks for log-variances they are those of narrow q."""
    function = functools.partial(METRICS[name].function, **FEW.get(name, {}))
    if not METRICS[name].needs_logvar:
        return function
    return lambda codes, factors, key, **rest: function(codes, factors, key, logvar=jnp.full(codes.shape, -6.0), **rest)


@functools.partial(jax.jit, static_argnames="names")
def quick_scores(codes, factors, key, test=None, names=OF_ONE):
    """Return the scores of metrics of one model with few samples, in one compile a shape."""
    scores = {}
    for name in names:
        scores |= quick(name)(codes, factors, key, test=test)
    return scores


def base_codes():
    """Return f32[360, 6]: the factors under noise, a latent of noise alone and a dead one."""
    random = np.random.default_rng(0)
    unit = (GRID - GRID.mean(0)) / GRID.std(0) + 0.3 * random.normal(size=GRID.shape)
    noise, dead = random.normal(size=(360, 1)), 0.01 * random.normal(size=(360, 1))
    return np.concatenate([unit, noise, dead], axis=1).astype(np.float32)


BASE = base_codes()
ORDER = [5, 2, 0, 4, 3, 1]
LANES = {
    "base": BASE,
    "permuted": BASE[:, ORDER],
    "flipped": BASE * np.array([-1, 1, -1, 1, 1, -1], np.float32),
    "scaled": BASE * np.array([4, 0.5, 8, 2, 16, 8], np.float32),
    "shifted": BASE + np.array([3, -2, 1, 0, 5, 1], np.float32),
    "zeros": np.zeros_like(BASE),
    "constant": np.full_like(BASE, 0.1),
    "duplicated": np.repeat(BASE[:, :3], 2, axis=1),
    "one alive": BASE * np.array([0, 0, 1, 0, 0, 0], np.float32),
    "classes": np.concatenate([GRID, GRID[:, :2]], axis=1).astype(np.float32),
    "huge": BASE * np.float32(1e30),
    "tiny": BASE * np.float32(1e-30),
    "far away": BASE * np.float32(1e-3) + np.float32(1e4),
    "not finite": np.where(np.arange(360)[:, None] == 7, np.float32(np.nan), BASE),
}


@pytest.fixture(scope="module")
def lanes():
    """Return {lane: {key: score}}, all of LANES side by side in one compiled call."""
    codes = jnp.asarray(np.stack(list(LANES.values())))
    with pytest.MonkeyPatch.context() as patch:  # trees of 10,000 points take long
        patch.setitem(METRICS.data, "dci", METRICS["dci"]._replace(function=quick("dci")))
        logvar = jnp.full(codes.shape, -6.0)
        scores = score_lanes(codes, FACTORS, OF_CLASSES, seed=0, logvar=logvar, lanes_at_once=len(LANES))
    return {lane: {key: values[i] for key, values in scores.items()} for i, lane in enumerate(LANES)}


# Contracts, for every metric that is listed.


@pytest.mark.parametrize("name", METRICS)
def test_signature(name):
    parameters = list(inspect.signature(METRICS[name].function).parameters.values())
    if METRICS[name].of_clusters:
        assert [p.name for p in parameters] == ["clusters", "labels", "num_clusters"]
        return
    second = "kl" if METRICS[name].of_siblings else "factors"
    assert [p.name for p in parameters[:3]] == ["codes", second, "key"]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters[3:])
    options = {p.name: p.default for p in parameters[3:]}
    assert METRICS[name].of_siblings or options["test"] is None
    assert ("logvar" in options) == METRICS[name].needs_logvar


@pytest.mark.parametrize("name", METRICS)
def test_docstring_says_what_the_number_means(name):
    text = inspect.getdoc(METRICS[name].function)
    for part in ("Range", "hance level", "Args:", "Differs from", "References:"):
        assert part in text


@pytest.mark.parametrize("name", OF_ONE)
def test_compiled_equals_eager_and_returns_its_keys(name):
    key = jax.random.key(3)
    eager, compiled = quick(name)(jnp.asarray(BASE), FACTORS, key), jax.jit(quick(name))(BASE, FACTORS, key)
    assert set(eager) == set(compiled) == set(METRICS[name].keys)
    for value in (*eager.values(), *compiled.values()):
        assert value.shape == () and value.dtype == jnp.float32 and np.isfinite(value)
    for result in METRICS[name].keys:
        assert float(eager[result]) == pytest.approx(float(compiled[result]), abs=1e-2 if name == "beta_vae" else 1e-5)


def test_keys_are_the_names_and_belong_to_one_metric():
    keys = [key for metric in METRICS.values() for key in metric.keys]
    assert len(keys) == len(set(keys))
    assert {"beta_vae", "factor_vae", "mig", "active_units"} <= set(METRICS) & set(keys)


# What must not matter, and what must.


@pytest.mark.parametrize("variant", ["permuted", "flipped", "scaled", "shifted"])
def test_axes_have_no_order_sign_or_unit(lanes, variant):
    base, other = lanes["base"], lanes[variant]
    assert other["mig"] == pytest.approx(base["mig"], abs=2e-3)
    for key in ("modularity", "mutual_information", "gaussian_tc", "sap_continuous", "explicitness"):
        assert other[key] == pytest.approx(base[key], abs=2e-3), key
    if variant != "scaled":  # an absolute threshold and an L2 penalty look at the scale
        assert other["active_units"] == base["active_units"] == 5
        assert other["factor_vae"] == pytest.approx(base["factor_vae"], abs=1e-3)
        assert other["beta_vae"] == pytest.approx(base["beta_vae"], abs=1e-2)
        assert other["irs"] == pytest.approx(base["irs"], abs=1e-3)
        assert other["sap"] == pytest.approx(base["sap"], abs=1e-3) or variant == "shifted"  # a penalised intercept
    else:
        assert other["active_units"] == 5  # 8 times the dead latent is still below the threshold


@pytest.mark.parametrize("lane", ["zeros", "constant"])
def test_collapse_scores_nothing(lanes, lane):
    nothing = ("mig", "factor_vae", "active_units", "sap", "sap_continuous", "modularity", "irs")
    for key in (*nothing, "gaussian_tc", "mutual_information"):
        assert lanes[lane][key] == 0.0, key
    assert lanes[lane]["explicitness"] == 0.5
    assert lanes[lane]["beta_vae"] == pytest.approx(1 / len(SIZES), abs=0.03)


@pytest.mark.parametrize("lane", [lane for lane in LANES if lane != "not finite"])
def test_finite_codes_have_finite_scores(lanes, lane):
    for key, value in lanes[lane].items():
        assert np.isfinite(value), key
        most = {"active_units": 6, "mutual_information": np.log(20), "gaussian_tc": 5 * 11.6}.get(key, 1)
        assert (-1 if key == "silhouette" else 0) <= value <= most + 1e-5, key


def test_known_codes(lanes):
    assert lanes["classes"]["factor_vae"] == pytest.approx(1.0, abs=1e-3)
    assert lanes["duplicated"]["mig"] == pytest.approx(0.0, abs=1e-3)
    assert lanes["one alive"]["active_units"] == 1
    assert lanes["one alive"]["factor_vae"] == pytest.approx(1 / len(SIZES), abs=0.03)
    assert lanes["huge"]["mig"] == pytest.approx(lanes["base"]["mig"], abs=1e-2)


def test_a_lane_that_is_not_finite_says_so_and_leaves_the_others_alone(lanes):
    assert all(np.isnan(value) for value in lanes["not finite"].values())


# Lanes.


def test_a_lane_scores_as_it_does_alone(lanes):
    alone = score(BASE, GRID, names=("factor_vae", "mig", "active_units"))
    assert list(alone) == ["factor_vae", "mig", "active_units"]
    for key, value in alone.items():
        assert lanes["base"][key] == pytest.approx(value, abs=1e-5)


def test_lanes_in_turn_score_as_side_by_side(lanes):
    chosen = ["base", "zeros", "classes", "not finite"]
    codes = np.stack([LANES[lane] for lane in chosen])
    found = score_lanes(codes, FACTORS, ("mig", "active_units"), seed=0, lanes_at_once=3)  # of four
    for name, values in found.items():
        np.testing.assert_allclose(values, [lanes[lane][name] for lane in chosen], atol=1e-5)


def test_lanes_on_several_devices_score_as_on_one(lanes):
    names = ("mig", "active_units")
    chosen = ["base", "zeros", "classes", "not finite", "huge", "one alive"]
    mesh = Mesh(np.array(jax.devices()[:4]), ("lane",))
    codes = np.stack([LANES[lane] for lane in (*chosen, "base", "base")])
    codes = jax.device_put(codes, NamedSharding(mesh, PartitionSpec("lane")))[:6]  # six lanes on four devices
    scores = score_lanes(codes, FACTORS, names, seed=0)
    for name in names:
        np.testing.assert_allclose(scores[name], [lanes[lane][name] for lane in chosen], atol=1e-5)


def test_another_seed_draws_otherwise_and_compiles_nothing(monkeypatch):
    codes, factors = (np.repeat(array, 30, axis=0) for array in (BASE, GRID))  # more rows than are drawn
    codes = codes + np.linspace(0, 1e-2, len(codes), dtype=np.float32)[:, None]
    first = score(codes, factors, names="mig", seed=0)

    def compiles(*_):
        raise AssertionError("compiled once more")

    monkeypatch.setattr(scoring, "_lowered", compiles)
    assert score(codes, factors, names="mig", seed=0) == first
    assert score(codes, factors, names="mig", seed=1) != first


# Data at the edge. Twice as many values are declared as occur, so that one compile serves every case of this shape.

DECLARED = tuple(2 * size for size in SIZES)
KEY = jax.random.key(0)


def declared(values):
    return Factors(jnp.asarray(values, jnp.int32), DECLARED)


def test_a_declared_value_that_never_occurs_changes_nothing():
    at_the_start, with_gaps = quick_scores(BASE, declared(GRID), KEY), quick_scores(BASE, declared(GRID * 2 + 1), KEY)
    for name, value in at_the_start.items():
        assert float(value) == pytest.approx(float(with_gaps[name]), abs=1e-5), name
    plain = jax.jit(quick("mig"))(BASE, FACTORS, KEY)
    assert float(at_the_start["mig"]) == pytest.approx(float(plain["mig"]), abs=1e-6)


def test_a_factor_of_one_value_is_no_factor():
    values = GRID.copy()
    values[:, 2:] = [1, 0]
    scores = quick_scores(BASE, declared(values), KEY)
    two = jax.jit(quick("mig"))(BASE, Factors(jnp.asarray(values[:, [0, 1, 3]]), (3, 4, 1)), KEY)
    assert float(scores["mig"]) == pytest.approx(float(two["mig"]), abs=1e-6)
    # Were the constant ones drawn, nothing could tell them apart and half the points would be guessed.
    assert scores["factor_vae"] > 0.9 and scores["beta_vae"] > 0.9


def test_no_factor_varies():
    scores = quick_scores(BASE, declared(np.full_like(GRID, 2)), KEY)
    for name, metric in METRICS.items():
        if metric.needs_factors:
            assert all(scores[key] == 0.0 for key in metric.keys), name


def test_rows_that_are_no_grid():
    kept = np.random.default_rng(0).integers(360, size=50)  # most combinations are missing, others come many times
    rows = np.resize(kept, 360)
    codes = BASE.copy()
    codes[:, :4] = GRID[rows]
    scores = quick_scores(codes, declared(GRID[rows]), KEY)
    assert scores["factor_vae"] > 0.95 and scores["beta_vae"] > 0.9


def test_one_latent():
    score_one = jax.jit(lambda codes: [quick(name)(codes, FACTORS, KEY)[name] for name in ("mig", "factor_vae")])
    mig, factor_vae = score_one(GRID[:, :1].astype(np.float32))
    assert float(mig) == pytest.approx(1 / 4, abs=0.02)  # all of factor 0, and no second latent to share it
    assert float(factor_vae) == pytest.approx(1 / 4, abs=0.1)


def test_one_factor_and_fewer_rows_than_a_vote_takes():
    codes = np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)
    scores = quick_scores(codes, Factors(jnp.array([[0], [1]], jnp.int32), (2,)), KEY)
    assert scores["factor_vae"] == scores["beta_vae"] == scores["active_units"] == scores["explicitness"] == 1.0
    assert scores["modularity"] == 0.5  # a latent that tells and one that is constant
    assert float(scores["sap"]) == pytest.approx(0.5, abs=0.1)  # ahead of a guess
    assert float(scores["irs"]) == pytest.approx(1.0, abs=1e-5)
    assert scores["mutual_information"] == 0.0
    assert float(scores["gaussian_tc"]) == pytest.approx(0.0, abs=1e-6)
    assert float(scores["mig"]) == pytest.approx(1.0, abs=1e-4)


def test_held_out_points_are_what_is_evaluated():
    codes = np.concatenate([GRID, BASE[:, 4:]], axis=1).astype(np.float32)
    unfitted = ("mig", "modularity", "irs", "mutual_information", "gaussian_tc")
    names = ("factor_vae", "beta_vae", "explicitness", "sap", *unfitted)
    same = quick_scores(codes, declared(GRID), KEY, (codes, declared(GRID)), names=names)
    swapped = quick_scores(codes, declared(GRID), KEY, (codes[:, [1, 0, 3, 2, 4, 5]], declared(GRID)), names=names)
    for name in ("factor_vae", "beta_vae"):
        assert same[name] > 0.95 and swapped[name] < 0.1
    assert same["explicitness"] > 0.9 and swapped["explicitness"] < 0.6
    assert same["sap"] > swapped["sap"] + 0.1
    for name in (*unfitted, "sap_continuous"):
        assert same[name] == swapped[name]


# The door.


def test_factors_may_be_numbered_in_any_way():
    expected = score(BASE, GRID, names="mig")
    assert score(BASE.astype(np.float64), GRID.astype(np.int64) * 7 - 3, names=["mig"]) == expected
    assert score(jnp.asarray(BASE), jnp.asarray(GRID), names=("mig", "mig")) == expected


def test_truth_values_are_factors():
    attributes = GRID[:, :2] > 0
    assert score(BASE, attributes, names=["mig"]) == score(BASE, attributes.astype(int), names=["mig"])


@pytest.mark.parametrize("factors", [None, np.zeros((360, 0), int)])
def test_without_factors_what_needs_none_is_computed(factors):
    scores = score(BASE, factors)
    assert set(scores) == {"active_units", "gaussian_tc", "mutual_information"} and scores["active_units"] == 5.0


def test_held_out_factors_are_numbered_with_the_others(monkeypatch):
    passed = {}

    def score_nothing(codes, factors, names, seed, *, test, logvar):
        passed.update(factors=factors, test=test)
        return {}

    monkeypatch.setattr(scoring, "score_lanes", score_nothing)
    train, test = np.array([[5], [9], [5]]), np.array([[7], [9]])  # each has a value that the other lacks
    score(np.zeros((3, 2)), train, test_codes=np.ones((2, 2)), test_factors=test)
    assert passed["factors"].values.ravel().tolist() == [0, 2, 0] and passed["factors"].sizes == (3,)
    assert passed["test"][1].values.ravel().tolist() == [1, 2] and passed["test"][1].sizes == (3,)
    assert passed["test"][0].shape == (1, 2, 2)


def bad(value, row=3, latent=1):
    codes = BASE.copy()
    codes[row, latent] = value
    return codes


REFUSALS = {
    "codes of rank 1": ({"codes": BASE[:, 0]}, "codes must be [N, D]"),
    "no latent": ({"codes": BASE[:, :0]}, "codes must be [N, D]"),
    "one row": ({"codes": BASE[:1], "factors": GRID[:1]}, "at least two rows"),
    "text": ({"codes": np.full((360, 2), "a")}, "codes must be real numbers"),
    "complex": ({"codes": BASE.astype(complex)}, "codes must be real numbers"),
    "NaN": ({"codes": bad(np.nan)}, "1 are not, the first in row 3, latent 1"),
    "infinity": ({"codes": bad(np.inf)}, "codes must be finite"),
    "too large": ({"codes": bad(1.0).astype(np.float64) * 1e300}, "finite in float32"),
    "factors of rank 1": ({"factors": GRID[:, 0]}, "factors must be [N, K]"),
    "factors of text": ({"factors": np.full((360, 2), "a")}, "factors must be numbers, got <U1"),
    "factors not known": ({"factors": np.where(GRID == 5, np.nan, GRID)}, "60 are not, the first in row 5, factor 3"),
    "too few rows": ({"factors": GRID[:-1]}, "359 rows for 360"),
    "unknown": ({"names": ("mgi",)}, "did you mean 'mig'?"),
    "no factors": ({"factors": None, "names": ("mig",)}, "'mig' needs factors"),
    "several models": ({"names": ("udr",)}, "give the codes of all of them to jaxvae.metrics.score_siblings"),
    "log-variances of rank 1": ({"logvar": BASE[:, 0]}, "logvar must be [N, D]"),
    "log-variances of others": ({"logvar": BASE[:, :2]}, "logvar has shape (360, 2), codes has (360, 6)"),
    "log-variances not finite": ({"logvar": bad(np.nan)}, "logvar must be finite"),
    "factor names": ({"factor_names": ("shape", "size")}, "2 names for 4 factors"),
    "test codes alone": ({"test_codes": BASE}, "without test_factors"),
    "test factors alone": ({"test_factors": GRID}, "without test_codes"),
    "test latents": ({"test_codes": BASE[:, :2], "test_factors": GRID}, "test_codes has 2 latents, codes has 6"),
    "test columns": ({"test_codes": BASE, "test_factors": GRID[:, :2]}, "test_factors has 2 factors, factors has 4"),
    "test rows": ({"test_codes": BASE, "test_factors": GRID[:9]}, "9 rows for 360"),
    "test NaN": ({"test_codes": bad(np.nan), "test_factors": GRID}, "test_codes must be finite"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_scored_is_refused_in_one_line_before_any_compile(case, monkeypatch):
    monkeypatch.setattr(scoring, "_score_each", None)
    arguments, expected = REFUSALS[case]
    arguments = {"codes": BASE, "factors": GRID} | arguments
    with pytest.raises(ValueError) as error:
        score(arguments.pop("codes"), arguments.pop("factors"), **arguments)
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_an_identifier_is_no_factor():
    codes, identifier = np.zeros((20_000, 1), np.float32), np.arange(20_000)[:, None]
    with pytest.raises(ValueError, match="factor 'person' takes 20000 values"):
        score(codes, identifier, factor_names=["person"])


@pytest.mark.parametrize(
    ("codes", "factors", "expected"),
    [
        (BASE, FACTORS, "codes must be"),
        (BASE[None, :-1], FACTORS, "do not fit 359 rows"),
        (BASE[None], Factors(jnp.asarray(GRID), (3, 4)), "2 sizes"),
    ],
)
def test_lanes_that_do_not_fit_are_refused(codes, factors, expected):
    with pytest.raises(ValueError, match=expected):
        score_lanes(codes, factors, ("mig",), seed=0)
