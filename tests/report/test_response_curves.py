"""The figure of latents over factors: rows by KL, the factor that a latent carries framed, what is off in grey."""

import dataclasses

import numpy as np
import pytest

from jaxvae.evaluate import respond
from jaxvae.report import PLOTS, responses, style
from jaxvae.types import Results, Showcase

SIZES = (3, 4, 1)
FACTORS = np.array([(a, b, 0) for a in range(3) for b in range(4) for _ in range(5)])
KL = np.array([0.5, 0.001, 3.0])


def results(codes, kl=KL, information=None):
    blank = np.zeros((0, 8, 8, 1))
    found = respond(codes, FACTORS, SIZES)
    shown = Showcase("best", 0, blank, blank, blank, np.zeros(0), kl, information, responses=found)
    lane = {"lane": 0, "objective": "vae", "architecture": "conv", "status": "ok"}
    made = Results({}, {}, [lane], (), (), (), {}, {}, kl[None], [shown])
    made.factor_names = ("shape", "x_position", "colour")
    return made


@pytest.fixture(scope="module")
def codes():
    noise = np.resize([0.02, -0.02, 0.0, 0.02, -0.02], len(FACTORS))  # the same for every value of every factor
    return np.column_stack([FACTORS[:, 0] - 1.0, noise, FACTORS[:, 1] / 2 - 0.75])


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_rows_are_latents_by_kl_and_a_factor_of_one_value_has_no_column(codes):
    (made,) = PLOTS["responses"](results(codes)).values()
    (axes,) = made.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z2   3.00", "z0   0.50", "z1   0.00"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["shape\n0 … 2", "x position\n0 … 3"]
    assert axes.get_yticklabels()[2].get_color() == style.FAINT != axes.get_yticklabels()[0].get_color()


def test_the_factor_that_a_latent_carries_is_framed(codes):
    information = np.array([[1.0, 0, np.nan], [0, 0, np.nan], [0, 0.9, np.nan]])
    (made,) = PLOTS["responses"](results(codes, information=information)).values()
    (axes,) = made.axes
    bold = [text.get_position() for text in axes.texts if text.get_weight() == "bold" and "η" in text.get_text()]
    assert [(int(column), int(row)) for column, row in bold] == [(1, 0), (0, 1)]
    assert sorted(words(axes)) == ["I 0.90", "I 1.00", "η² 1.00", "η² 1.00"]
    best = max(axes.collections, key=lambda one: one.get_linewidth()[0] if one.get_paths() else 0)
    ends = [path.vertices[[0, -1]] for path in best.get_paths()]
    assert len(ends) == 2
    for (_, low), (_, high) in ends:
        assert low - high > 0.45, "rising curves, drawn upwards"


def test_panels_are_all_on_one_scale_and_a_latent_that_is_off_is_flat(codes):
    low, high = responses.extent(respond(codes, FACTORS, SIZES))
    assert (low, high) == (pytest.approx(-1), pytest.approx(1))
    (made,) = PLOTS["responses"](results(codes)).values()
    grey = next(one for one in made.axes[0].collections if one.get_paths() and one.get_linewidth()[0] == 1.0)
    assert all(np.ptp(path.vertices[:, 1]) < 0.02 for path in grey.get_paths())


def test_a_constant_code_and_values_that_never_occur_are_drawn(codes):
    assert list(PLOTS["responses"](results(np.zeros_like(codes), np.zeros(3)))) == ["best"]
    made = results(codes)
    shown = made.showcases[0]
    means = shown.responses.means.copy()
    means[:, 1] = np.nan
    gap = shown._replace(responses=shown.responses._replace(means=means))
    (figure,) = PLOTS["responses"](dataclasses.replace(made, showcases=[gap])).values()
    lines = [path for one in figure.axes[0].collections for path in one.get_paths()]
    assert all(np.isfinite(path.vertices).all() for path in lines)


def test_showcases_without_responses_have_no_figure(codes):
    made = results(codes)
    made.showcases = [made.showcases[0]._replace(responses=None)]
    assert PLOTS["responses"](made) is None
