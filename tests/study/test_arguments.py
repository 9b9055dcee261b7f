"""Nonsense given to `jaxvae.train`: one line, before anything is compiled or a folder made."""

import pathlib

import jax
import numpy as np
import pytest

import jaxvae
from jaxvae.study import calling
from jaxvae.types import InputError

NONSENSE = [
    ({"seed": 2**70}, "--seed must be in 0"),
    ({"seed": -1}, "--seed must be in 0"),
    ({"steps": "x"}, "--steps must be a whole number"),
    ({"steps": np.arange(3)}, "expected a single value"),
    ({"steps": 2**40}, "--steps must be at most"),
    ({"log_every": 1.5}, "--log_every must be a whole number"),
    ({"batch_size": True}, "--batch_size must be a whole number"),
    ({"save_seconds": None}, "--save_seconds must be a number"),
    ({"save_seconds": float("nan")}, "--save_seconds must be a number of seconds"),
    ({"max_lanes": True}, "--max_lanes must be"),
    ({"metrics": 5}, "expected a name"),
    ({"metrics": [3]}, "unknown metric '3'"),
    ({"objective": 5}, "expected a name"),
    ({"objective": []}, "names nothing"),
    ({"plugins": 3}, "expected a name"),
    ({"hold_out": 5}, "expected rules"),
    ({"data_dir": 3}, "--data_dir must be a path"),
    ({"lanes": 5}, "must be given by name"),
    ({"dtype": np.float32}, "must be given by name"),
    ({"likelihood": None}, "must be given by name"),
    ({"validation": "x"}, "--validation must be a share"),
    ({"sweep": 3}, "expected a dictionary"),
    ({"sweep": {3: [1]}}, "expected NAME=VALUES"),
    ({"sweep": {"beta": None}}, "must be finite numbers"),
    ({"sweep": {"beta": [[1, 2], [3]]}}, "must be finite numbers"),
    ({"sweep": {"beta": [10**400]}}, "must be finite numbers"),
    ({"sweep": {"beta": [1j]}}, "must be finite numbers"),
    ({"sweep": {"seed": range(10**12)}}, "1,000,000,000,000 values"),
    ({"sweep": {"seed": iter(int, 1)}}, "a sweep takes 200,000 lanes"),
    ({"objective": "vae,beta_vae", "sweep": {"beta": [1]}}, "beta_vae:beta=1"),
    ({"objective": "factor_vae", "critic_width": 8.5}, "expected a whole number"),
    ({"objective": "factor_vae", "critic_width": "8"}, "expected a whole number"),
    ({"critic_width": np.int64(8)}, "means nothing to objective beta_vae"),
    ({"data": None}, "images are object"),
    ({"data": [[1, 2], [3]]}, "cannot be made an array"),
    ({"eval_data": 3}, "eval_data: images are int64"),
    ({"workdir": 3}, "workdir must be a path, got 3"),
    ({"workdir": "a\nb"}, "without control characters"),
    ({"workdir": "a\0b"}, "without control characters"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), NONSENSE, ids=[repr(arguments).partition(" at 0x")[0][:60] for arguments, _ in NONSENSE]
)
def test_nonsense_is_one_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jax, "jit", None)
    with pytest.raises(InputError) as caught:
        jaxvae.train(**{"data": "mini_sprites", "say": None} | arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": np.int64(5), "lr": np.float32(0.5), "batch_size": np.array(4)},
        {"objective": "factor_vae", "critic_width": np.int64(8)},
        {"data_dir": pathlib.Path("anywhere")},
        {"sweep": {"beta": np.float32([1, 2]), "seed": (n for n in range(3))}},
        {"sweep": {"beta": 4}, "metrics": ("mig",)},
        {"objective": ["beta_vae", "kl_clip"], "sweep": {"beta": [1, 2]}},
    ],
)
def test_what_is_right_in_another_type_goes_through(settings, monkeypatch):
    monkeypatch.setattr(calling, "run_in", lambda job, *_: job)
    job = jaxvae.train("mini_sprites", workdir="nowhere", say=None, **settings)
    assert all(type(value) in (int, float, str, tuple, type(None)) for value in job.spec.to_json()["sizes"].values())
    assert isinstance(job.spec.data_dir, str | None) and type(job.spec.steps) is int
