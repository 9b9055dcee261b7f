"""Compiled programs kept on disk: where, when not, and that what is read back trains to the same bits."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import jaxvae
from conftest import ROOT

ON = {"JAX_ENABLE_COMPILATION_CACHE": "true", "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
OWN = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")  # of the tests themselves


def run(*arguments, **environment):
    """Run Python to its end; return all that it printed."""
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={name: value for name, value in os.environ.items() if name not in OWN} | ON | environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def folder(flag, **environment):
    """Return the folder that compiled programs go to with this --compilation_cache, and what is printed besides."""
    code = f"import jax; from jaxvae.parallel import machine; machine.keep_compiled({flag!r})"
    code = f"{code}; print(jax.config.jax_enable_compilation_cache)"
    *said, enabled, path = run("-c", f"{code}; print(jax.config.jax_compilation_cache_dir)", **environment).splitlines()
    return (path if enabled == "True" else None), said


def test_it_is_the_users_own_unless_told_otherwise(tmp_path):
    home, given = tmp_path / "home", tmp_path / "given"
    own, said = folder(None, XDG_CACHE_HOME=str(home))
    own = pathlib.Path(own)
    assert own.parent == home / "jaxvae" / "xla" and own.is_dir() and own.stat().st_mode & 0o077 == 0 and not said
    assert jax.__version__ in own.name and len(own.name.rpartition("_")[2]) == 8
    assert folder(None, XDG_CACHE_HOME=str(home), JAX_COMPILATION_CACHE_DIR=str(given)) == (str(given), [])
    assert folder(str(given), XDG_CACHE_HOME=str(home)) == (str(given / own.name), [])
    assert folder("none", XDG_CACHE_HOME=str(home)) == (None, [])


def test_where_it_cannot_be_written_the_sweep_goes_on_without(tmp_path):
    (tmp_path / "file").write_text("in the way")
    path, (line,) = folder(str(tmp_path / "file"))
    assert path == "None" and "compiled programs are not kept" in line and "cannot be written to" in line


def test_where_others_may_write_nothing_is_kept_and_nothing_is_run(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    path, (line,) = folder(None, JAX_COMPILATION_CACHE_DIR=str(shared))
    assert path == "None" and f"others may write to {shared}" in line and "--compilation_cache=FOLDER" in line


@pytest.fixture
def train(tmp_path):
    images = (np.random.default_rng(0).random((32, 8, 8)) < 0.3).astype(np.uint8) * 255
    np.savez(tmp_path / "noise.npz", images=images)
    flags = [
        "--dataset=npz", f"--data_dir={tmp_path / 'noise.npz'}", "--objective=beta_vae", "--architecture=mlp",
        "--sweep=seed=0:3", "--latent_dim=3", "--batch_size=8", "--steps=30", "--lanes=map", "--metrics=active_units",
    ]  # fmt: skip
    return lambda name, *more: run("run_sweep.py", *flags, f"--workdir={tmp_path / name}", *more)


@pytest.mark.slow
def test_a_program_read_back_is_the_program_that_was_kept(train, tmp_path):
    cache = tmp_path / "cache"
    train("none", "--compilation_cache=none")
    train("cold", f"--compilation_cache={cache}")
    kept = sorted(cache.rglob("jit_steps*"))
    assert len(kept) == 1
    printed = train("warm", f"--compilation_cache={cache}")
    assert sorted(cache.rglob("jit_steps*")) == kept
    assert not any(word in printed.lower() for word in ("warn", "error", "machine"))
    kept[0].write_bytes(kept[0].read_bytes()[:1000])  # cut short by a kill while it was written
    train("torn", f"--compilation_cache={cache}")
    states = [jaxvae.load_sweep(tmp_path / name).wave(0)[2] for name in ("none", "cold", "warm", "torn")]
    for state in states[1:]:
        jax.tree.map(np.testing.assert_array_equal, states[0], state)
