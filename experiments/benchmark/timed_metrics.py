"""How fast metrics are scored, against their slow restatements in NumPy and scikit-learn. Knows no model.

The restatements are those that the tests hold the metrics against. They live beside the tests, because nothing that is
installed may need scikit-learn; so this file puts tests/ on the path.
"""

import pathlib
import sys
import time
from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np

import measuring
from jaxvae import metrics
from jaxvae.parallel import lanes
from jaxvae.types import Factors

TESTS = pathlib.Path(__file__).resolve().parents[2] / "tests"
SIZES = (3, 6, 40, 32, 32)  # of dSprites' factors: shape, scale, orientation, x, y
QUICK_SIZES = (2, 3, 4)
NUM_LATENTS = 10
NUM_TRAIN, NUM_TEST = 10_000, 5_000  # points that the restatements are given, as the metrics draw them
LOGVAR = -3.0  # of every posterior, where one is asked for
MOST = 900.0  # seconds that the turns of one metric may take, begun ones excepted


def references() -> dict[str, Callable]:
    """Return {metric: function(codes [R, N, D], sizes, random) that restates it for the first lane}; {} without them.

    Of a metric of siblings it compares all R lanes.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        return {}
    sys.path.append(str(TESTS))
    from reference import classic, dci, disentanglement, informed

    def points(codes, sizes, random, number):
        factors = disentanglement.sample_factors(random, sizes, (number,))
        return disentanglement.encode(codes, factors, sizes), factors

    def whole(restated):
        return lambda codes, sizes, random: restated(codes[0], sizes, random)

    def drawn(restated):
        return lambda codes, sizes, random: restated(*points(codes[0], sizes, random, NUM_TRAIN))

    def fitted(restated):
        return lambda codes, sizes, random: restated(
            *points(codes[0], sizes, random, NUM_TRAIN), *points(codes[0], sizes, random, NUM_TEST)
        )

    def sap(codes, factors, *test):
        return classic.sap(codes, factors, *test, classic.scikit_learn_machine), classic.sap_continuous(codes, factors)

    def sampled(codes, factors, random):
        logvar = np.full(codes.shape, LOGVAR)
        return informed.mig_of_information(informed.sampled_information(codes, logvar, factors, random), factors)

    def udr(codes, sizes, random):
        rows = random.choice(codes.shape[1], min(1_000, codes.shape[1]), replace=False)
        kl = np.ones(codes.shape[::2])
        return [informed.udr(codes[:, rows], kl, kind) for kind in ("spearman", "lasso")]

    return {
        "beta_vae": whole(disentanglement.beta_vae),
        "factor_vae": whole(disentanglement.factor_vae),
        "mig": whole(disentanglement.mig),
        "mig_sampled": lambda codes, sizes, random: sampled(*points(codes[0], sizes, random, NUM_TRAIN), random),
        "dci": whole(dci.dci),
        "sap": fitted(sap),
        "modularity": drawn(classic.modularity),
        "explicitness": fitted(classic.explicitness),
        "irs": drawn(classic.irs),
        "gaussian_tc": drawn(lambda codes, _: classic.gaussian_tc(codes)),
        "mutual_information": drawn(lambda codes, _: classic.mutual_information(codes)),
        "infomec": drawn(informed.infomec),
        "udr": udr,
    }


def scorer(name: str, codes, factors: Factors) -> Callable[[], dict]:
    """Return what scores codes [R, N, D] by one metric."""
    metric = metrics.METRICS[name]
    if metric.of_siblings:
        rows = metrics.sibling_points(codes.shape[1])
        held = np.asarray(codes[:, rows])
        return lambda: metrics.score_siblings(held, names=name)
    logvar = jnp.full_like(codes, LOGVAR) if metric.needs_logvar else None
    return lambda: metrics.score_lanes(codes, factors, (name,), seed=0, logvar=logvar)


def grid(sizes: tuple[int, ...], num_lanes: int) -> tuple[np.ndarray, Factors]:
    """Return codes f32[R, N, 10] of a complete grid and its factors: noisy ones in the first latents, then noise."""
    values = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1).astype(np.int32)
    unit = (values - values.mean(0)) / values.std(0)
    codes = np.random.default_rng(0).normal(size=(num_lanes, len(values), NUM_LATENTS)).astype(np.float32)
    codes[:, :, : len(sizes)] = 0.3 * codes[:, :, : len(sizes)] + unit
    return codes, Factors(jnp.asarray(values), tuple(sizes))


def measure(
    numbers: list[int], repeats: int, seconds: float, quick: bool, wanted: Callable[[str], bool] = lambda name: True
) -> Iterator[dict]:
    """Yield a line for each metric and number of lanes, and for its restatement where there is one.

    Args:
        numbers: of lanes.
        repeats: turns of each contestant.
        seconds: what a turn should last at least.
        quick: a small grid.
        wanted: whether a metric is to be timed; asked when its turn comes.
    """
    sizes = QUICK_SIZES if quick else SIZES
    codes, factors = grid(sizes, max(numbers))
    held = {number: codes[:number] for number in numbers}
    for number in numbers:
        if number > 1:  # over all devices, as a finished sweep has them
            mesh = lanes.make_mesh(number)
            held[number] = lanes.put_lanes(lanes.pad_lanes(codes[:number], lanes.padded_size(number, mesh)), mesh)
    theirs = references()
    for name, metric in metrics.METRICS.items():
        if metric.of_clusters:  # a count and a small assignment problem
            continue
        if metric.needs_binary and 2 not in sizes:
            continue
        if not wanted(name):
            continue
        work, first = {}, {}
        # Siblings are all compared with all.
        tried = [number for number in numbers if number == max(numbers) or not metric.of_siblings]
        for number in tried:
            work[number] = scorer(name, held[number], factors)
            begin = time.perf_counter()
            work[number]()
            first[number] = time.perf_counter() - begin
        if name in theirs:
            work["reference"] = lambda name=name: theirs[name](codes, sizes, np.random.default_rng(0))
        found = measuring.calls_in_turn(work, seconds, repeats, MOST)
        about = {"suite": "metrics", "metric": name, "rows": codes.shape[1], "latents": NUM_LATENTS, "sizes": sizes}
        for number in tried:
            number_held = held[number].shape[0]
            a_lane = [spent / number_held for spent in found[number]]
            line = {"implementation": "jaxvae", "lanes": number_held, "seconds_per_lane": measuring.spread(a_lane)}
            compiling = max(0.0, first[number] - measuring.spread(found[number])["median"])
            line |= {"compile_s": float(f"{compiling:.3g}"), "repeats": len(a_lane)}
            if name in theirs:
                one_of_theirs = [spent / (number_held if metric.of_siblings else 1) for spent in found["reference"]]
                pairs = [them / us for us, them in zip(a_lane, one_of_theirs, strict=True)]
                line |= {"over": "the restatement", "ratio": measuring.spread(pairs)}
            yield about | line
        if name in theirs:
            spent = measuring.spread(one_of_theirs)
            line = {"implementation": "NumPy and scikit-learn", "lanes": 1, "seconds_per_lane": spent}
            yield about | line | {"repeats": len(found["reference"])}
