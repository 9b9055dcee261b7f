"""How fast metrics are scored, against their slow restatements in NumPy and scikit-learn. Knows no model.

The restatements are those that the tests hold the metrics against. They live beside the tests, because nothing that is
installed may need scikit-learn; so this file puts tests/ on the path.
"""

import importlib
import inspect
import pathlib
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np

import measuring
from jaxvae import lanes, metrics
from jaxvae.types import Factors

TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests"
SIZES = (3, 6, 40, 32, 32)  # of dSprites' factors: shape, scale, orientation, x, y
QUICK_SIZES = (2, 3, 4)
NUM_LATENTS = 10
MOST = 900.0  # seconds that the turns of one metric may take, begun ones excepted


def references() -> dict[str, Callable]:
    """Return {metric: function(codes of a complete grid, sizes, random)}, those of tests/reference; {} without it."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        return {}
    sys.path.append(str(TESTS))
    found = {}
    for module in pkgutil.iter_modules([str(TESTS / "reference")]):
        members = vars(importlib.import_module(f"reference.{module.name}"))
        for name in metrics.METRICS.keys() & members.keys():
            if callable(members[name]) and list(inspect.signature(members[name]).parameters)[:2] == ["codes", "sizes"]:
                found[name] = members[name]
    return found


def grid(sizes: tuple[int, ...], num_lanes: int) -> tuple[np.ndarray, Factors]:
    """Return codes f32[R, N, 10] of a complete grid and its factors: noisy ones in the first latents, then noise."""
    values = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1).astype(np.int32)
    unit = (values - values.mean(0)) / values.std(0)
    codes = np.random.default_rng(0).normal(size=(num_lanes, len(values), NUM_LATENTS)).astype(np.float32)
    codes[:, :, : len(sizes)] = 0.3 * codes[:, :, : len(sizes)] + unit
    return codes, Factors(jnp.asarray(values), tuple(sizes))


def measure(numbers: list[int], repeats: int, seconds: float, quick: bool) -> Iterator[dict]:
    """Yield a line for each metric and number of lanes, and for its restatement where there is one.

    Args:
        numbers: of lanes.
        repeats: turns of each contestant.
        seconds: what a turn should last at least.
        quick: a small grid.
    """
    sizes = QUICK_SIZES if quick else SIZES
    codes, factors = grid(sizes, max(numbers))
    held = {number: codes[:number] for number in numbers}
    for number in numbers:
        if number > 1:  # over all devices, as a finished sweep has them
            mesh = lanes.make_mesh(number)
            held[number] = lanes.put_lanes(lanes.pad_lanes(codes[:number], lanes.padded_size(number, mesh)), mesh)
    theirs = references()
    for name in metrics.METRICS:
        work, first = {}, {}
        for number in numbers:
            work[number] = lambda c=held[number], name=name: metrics.score_lanes(c, factors, (name,), seed=0)
            begin = time.perf_counter()
            work[number]()
            first[number] = time.perf_counter() - begin
        if name in theirs:
            work["reference"] = lambda name=name: theirs[name](codes[0], sizes, np.random.default_rng(0))
        found = measuring.calls_in_turn(work, seconds, repeats, MOST)
        about = {"suite": "metrics", "metric": name, "rows": codes.shape[1], "latents": NUM_LATENTS, "sizes": sizes}
        for number in numbers:
            number_held = held[number].shape[0]
            a_lane = [spent / number_held for spent in found[number]]
            line = {"implementation": "jaxvae", "lanes": number_held, "seconds_per_lane": measuring.spread(a_lane)}
            compiling = max(0.0, first[number] - measuring.spread(found[number])["median"])
            line |= {"compile_s": float(f"{compiling:.3g}"), "repeats": len(a_lane)}
            if name in theirs:
                pairs = [them / us for us, them in zip(a_lane, found["reference"], strict=True)]
                line |= {"over": "the restatement", "ratio": measuring.spread(pairs)}
            yield about | line
        if name in theirs:
            spent = measuring.spread(found["reference"])
            line = {"implementation": "NumPy and scikit-learn", "lanes": 1, "seconds_per_lane": spent}
            yield about | line | {"repeats": len(found["reference"])}
