"""Factors that are numbers: values as they are given, and continuous ones."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.metrics import METRICS, checking, score, score_lanes, scoring
from jaxvae.metrics.__main__ import main as score_file
from jaxvae.types import Factors, InputError
from reference import classic, disentanglement

RANDOM = np.random.default_rng(0)
WITH_GAPS = RANDOM.choice([0, 45, 46, 315], size=600), RANDOM.choice(np.arange(30) ** 2, size=600)
WITH_GAPS = np.stack(WITH_GAPS, axis=1)
CONTINUOUS = RANDOM.uniform(-1, 1, size=(600, 2)) * [1, 1e-3] + [0, 5]
CLASSES = RANDOM.integers(4, size=(600, 1))


def codes_of(factors):
    """Return f32[600, 3]: each factor under noise, and a latent of noise alone."""
    unit = (factors - factors.mean(0)) / factors.std(0)
    noise = np.random.default_rng(1).normal(size=(600, 3))
    return (np.pad(unit[:, :2], ((0, 0), (0, 3 - min(2, unit.shape[1])))) + 0.7 * noise).astype(np.float32)


OF_NUMBERS = tuple(name for name, metric in METRICS.items() if metric.takes_numbers and not metric.needs_binary)
few = functools.partial(score, names=OF_NUMBERS)


def test_values_are_read_as_given_at_both_doors():
    codes = codes_of(WITH_GAPS)
    expected = classic.sap_continuous(codes, WITH_GAPS)
    sizes = tuple(int(values.max()) + 1 for values in WITH_GAPS.T)
    swept = score_lanes(codes[None], Factors(jnp.asarray(WITH_GAPS, jnp.int32), sizes), ("sap",), seed=0)
    assert few(codes, WITH_GAPS)["sap_continuous"] == pytest.approx(expected, abs=1e-5)
    assert swept["sap_continuous"][0] == pytest.approx(expected, abs=1e-5)
    renumbered = np.stack([np.unique(values, return_inverse=True)[1] for values in WITH_GAPS.T], axis=1)
    assert abs(classic.sap_continuous(codes, renumbered) - expected) > 0.02, "else this tests nothing"


def test_bins_of_many_values_are_those_of_the_values_given():
    codes, values = codes_of(WITH_GAPS), WITH_GAPS[:, 1:]
    assert few(codes, values)["irs"] == pytest.approx(classic.irs(codes, values), abs=1e-3)
    renumbered = np.unique(values, return_inverse=True)[1].reshape(-1, 1)
    assert abs(classic.irs(codes, renumbered) - classic.irs(codes, values)) > 0.02, "else this tests nothing"


@pytest.mark.parametrize("change", [lambda v: v * 10**6 + 2 * 10**9, lambda v: -3 * v, lambda v: v * 1e300, np.float32])
def test_numbers_have_no_unit_and_no_offset(change):
    codes = codes_of(WITH_GAPS)
    expected, found = few(codes, WITH_GAPS), few(codes, change(WITH_GAPS))
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=2e-3 if key == "irs" else 1e-5), key  # bins from the other end


def test_continuous_factors():
    codes = codes_of(CONTINUOUS)
    found = few(codes, CONTINUOUS)
    binned = np.stack([disentanglement.discretise(values) for values in CONTINUOUS.T], axis=1)
    assert found["mig"] == pytest.approx(disentanglement.mig_of_points(codes, binned), abs=1e-4)
    assert found["modularity"] == pytest.approx(classic.modularity(codes, binned), abs=1e-4)
    assert found["irs"] == pytest.approx(classic.irs(codes, CONTINUOUS), abs=1e-3)
    assert found["sap"] == found["sap_continuous"] == pytest.approx(classic.sap_continuous(codes, CONTINUOUS), abs=1e-5)


def test_sap_takes_each_factor_for_what_it_is():
    """As its paper does: the squared correlation of a continuous factor, the accuracy of classes."""
    both = np.concatenate([CLASSES, CONTINUOUS[:, :1]], axis=1)
    codes = codes_of(both)
    held_out = {"test_codes": codes, "test_factors": both}
    machine = classic.sap(codes, CLASSES, codes, CLASSES, classic.exact_machine)
    found = few(codes, both, **held_out)["sap"]
    assert found == pytest.approx((machine + classic.sap_continuous(codes, both[:, 1:])) / 2, abs=1e-3)


OF_CLASSES = [name for name, metric in METRICS.items() if metric.of_codes and metric.needs_factors]
OF_CLASSES = [name for name in OF_CLASSES if not METRICS[name].takes_numbers]


@pytest.mark.parametrize("name", OF_CLASSES)
def test_metrics_of_classes_refuse_continuous_factors_by_name(name, monkeypatch):
    monkeypatch.setattr(scoring, "_score_each", None)
    both, names = np.concatenate([CLASSES, CONTINUOUS], axis=1), ["kind", "x", "y"]
    with pytest.raises(InputError, match=rf"'{name}' needs factors that are classes, and factor 'x' is continuous"):
        score(codes_of(both), both, names=name, factor_names=names, logvar=np.zeros((600, 3)))
    factors = Factors(jnp.zeros((600, 1), jnp.int32), (20,), numbers=jnp.zeros((600, 1)), continuous=(True,))
    with pytest.raises(InputError, match=rf"'{name}' needs factors that are classes, and factor 0 is continuous"):
        score_lanes(np.zeros((1, 600, 3)), factors, (name,), seed=0, logvar=np.zeros((1, 600, 3)))


def test_by_default_what_continuous_factors_allow_is_scored(tmp_path, capsys):
    codes = codes_of(CONTINUOUS)
    expected = {key for name in (*OF_NUMBERS, "active_units", "gaussian_tc", "mutual_information") for key in
                METRICS[name].keys}  # fmt: skip
    assert set(score(codes, CONTINUOUS)) == expected
    np.savez(tmp_path / "codes.npz", codes=codes, factors=CONTINUOUS)
    assert score_file([str(tmp_path / "codes.npz")]) == 0
    assert "left out: dci (needs factors (classes))" in capsys.readouterr().out


WHAT = {
    "whole numbers": (np.arange(600.0), False),
    "few fractions": (np.resize(np.linspace(0.5, 1, 6), 600), False),
    "a fraction for every five rows": (np.resize(np.arange(120) / 7, 600), False),
    "more fractions": (np.resize(np.arange(121) / 7, 600), True),
    "identifiers": (np.arange(600) * 5_000, False),
}


@pytest.mark.parametrize("kind", WHAT)
def test_what_is_taken_as_continuous(kind):
    column, continuous = WHAT[kind]
    found = checking.number_values(column[:, None])
    assert found.continuous == ((True,) if continuous else ())
    assert found.sizes == ((20,) if continuous else (len(np.unique(column)),))


def test_class_numbers_need_no_numbers_beside_them():
    assert checking.number_values(CLASSES + 7).numbers is None
    assert checking.number_values(CLASSES > 1).numbers is None
    assert checking.number_values(CLASSES * 2).numbers is not None
    assert checking.number_values(np.zeros((3, 0), np.int32)).numbers is None


@pytest.mark.parametrize("scale", [1e-300, 1e-18, 1.0, 1e300])
def test_continuous_factors_have_no_unit(scale):
    found = checking.number_values(CONTINUOUS * scale)
    plain = checking.number_values(CONTINUOUS)
    np.testing.assert_allclose(found.numbers, plain.numbers, atol=1e-6)
    assert (found.values == plain.values).mean() > 0.99 and found.continuous == (True, True)
