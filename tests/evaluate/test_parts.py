"""Lanes are scored as many at a time as memory allows, by prediction, and by halves where that was too many."""

import itertools

import jax
import numpy as np
import pytest

from jaxvae.data.grid import assemble
from jaxvae.evaluate import parts
from jaxvae.training import memory
from jaxvae.training.memory import Memory
from jaxvae.types import InputError, Program

PROGRAM = Program("mlp", "beta_vae", (4, 4, 1), latent_dim=5)
IMAGES = assemble("noise", np.random.default_rng(0).integers(0, 255, (100, 4, 4, 1), np.uint8), annotation="none")


def test_what_is_kept_of_a_lane_is_its_codes_and_what_is_asked_for_beside_them():
    assert parts.code_bytes(PROGRAM, IMAGES, with_logvar=False) == 4 * 100 * 5
    assert parts.code_bytes(PROGRAM, IMAGES, with_logvar=True, each_image=True) == 4 * 100 * (5 + 5 + 2)


@pytest.mark.parametrize(("lanes", "fitting", "most"), [(12, 12, 12), (12, 7, 6), (12, 1, 1), (12, 0.1, 1), (5, 3, 3)])
def test_as_many_are_scored_at_a_time_as_fit(monkeypatch, lanes, fitting, most):
    code = 1000
    room = parts.needed(int(fitting), code).host if fitting >= 1 else 1.0
    monkeypatch.setattr(memory, "available", lambda mesh: Memory(memory.UNKNOWN, room / (1 - memory.MARGIN)))
    assert parts.most_at_once(lanes, code) == most


def test_with_room_for_all_nothing_is_cut(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda mesh: Memory(memory.UNKNOWN, memory.UNKNOWN))
    assert parts.most_at_once(1000, 10**9) == 1000


def test_parts_get_smaller_where_memory_runs_out_and_every_lane_comes_once():
    asked, said = [], []

    def score(start, stop, size):
        asked.append((start, stop, size))
        if size > 3:
            raise jax.errors.JaxRuntimeError("INTERNAL: YNNPACK operation failed")
        return list(range(start, stop))

    assert [*itertools.chain(*parts.in_parts(11, 11, score, said.append))] == list(range(11))
    assert asked == [(0, 11, 11), (0, 6, 6), (0, 3, 3), (3, 6, 3), (6, 9, 3), (9, 11, 3)]
    assert len(said) == 2 and "going on with 6 lanes at a time" in said[0] and "3 lanes" in said[1]


def test_what_is_no_lack_of_memory_is_raised_and_so_is_a_single_lane_that_is_too_large():
    def fails(error):
        def score(start, stop, size):
            raise error

        return score

    with pytest.raises(ZeroDivisionError):
        parts.in_parts(4, 4, fails(ZeroDivisionError()), print)
    with pytest.raises(MemoryError, match="Unable to allocate"):
        parts.in_parts(1, 1, fails(MemoryError("Unable to allocate 3 GiB")), print)
    error = parts.too_large(10**9, "Unable to allocate 3 GiB")
    assert isinstance(error, InputError) and "\n" not in str(error)
    assert all(words in str(error) for words in ("single lane", "Unable to allocate", "GiB", "trained is kept"))


def test_a_part_is_filled_up_by_its_last_lane():
    tree = {"a": np.arange(10).reshape(5, 2), "b": np.arange(5)}
    assert parts.part_of(tree, 1, 3, 2)["b"].tolist() == [1, 2]
    assert parts.part_of(tree, 3, 5, 4)["b"].tolist() == [3, 4, 4, 4]
    assert parts.part_of(tree, 3, 5, 4)["a"].shape == (4, 2)
