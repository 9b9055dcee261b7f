"""Every door runs in 32 bits, whatever `jax_enable_x64` says; the few that do not compute anything are named here."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae import data, evaluate, metrics, navigate, objectives, report
from jaxvae.data.grid import assemble

NOTHING_IS_COMPUTED = {
    "load_plugins": "runs files",
    "objective": "looks at names",
    "load_sweep": "reads JSON and tables",
    "missing_input": "looks at names",
    "choose_metrics": "looks at names",
    "from_table": "reads tables",
    "respond": "NumPy in double precision",
    "load": "of a study: reads NumPy arrays",
    "explained": "words",
    **dict.fromkeys(
        ("notebook_table", "save_figures", "summary", "terminal_table", "time_line"),
        "words and pictures of NumPy arrays",
    ),
    **dict.fromkeys(("write_all", "write_navigation", "write_report"), "words and pictures of NumPy arrays"),
}
METHODS = {
    jaxvae.Model: {"save"},
    jaxvae.Sweep: {"table", "tabled", "missing_plugins"},
    data.Dataset: {"values_of"},
    navigate.Classifier: {"save"},
}
"""Classes whose methods are doors, and which of those compute nothing."""


def test_every_door_runs_in_32_bits():
    for module in (jaxvae, data, evaluate, metrics, navigate, objectives, report):
        for name in module.__all__:
            door = getattr(module, name)
            if inspect.isfunction(door) and not hasattr(door, "in_32_bits"):
                assert name in NOTHING_IS_COMPUTED, f"{module.__name__}.{name} does not say its types"
    for kind, exempt in METHODS.items():
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_") or name == "__call__":
                assert hasattr(method, "in_32_bits") or name in exempt, f"{kind.__name__}.{name} does not say its types"


@pytest.fixture(scope="module")
def squares():
    factors = np.array([(y, x) for y in range(3) for x in range(3)])
    images = np.random.default_rng(0).integers(0, 255, (9, 4, 4, 1), np.uint8)
    return assemble("squares", images, factors, ("y", "x"), annotation="factors")


def test_a_data_set_is_the_same(squares):
    def looked_at():
        return squares.images([1, 2]), squares.batch(np.arange(3)), squares.index([[1, 2], [0, 1]])

    plain = looked_at()
    with jax.enable_x64(True):
        wide = looked_at()
        assert jnp.ones(1).dtype == jnp.float64, "what the caller has set stays"
    for ours, theirs in zip(plain, wide, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
