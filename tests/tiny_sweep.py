"""A tiny sweep by the command line: its data, its flags, and two ways to run it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from conftest import ROOT, xla_flags
from jaxvae import cli
from jaxvae.report import saving

SIZE = 8


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A tiny grid of factors: a bright square at 4 x 4 places, bright or dim."""
    factors = np.array([(b, y, x) for b in range(2) for y in range(4) for x in range(4)])
    pictures = np.zeros((len(factors), SIZE, SIZE), np.uint8)
    for picture, (bright, y, x) in zip(pictures, factors, strict=True):
        picture[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = (120, 250)[bright]
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, images=pictures, factors=factors, factor_names=["bright", "y", "x"])
    return path


@pytest.fixture(scope="module")
def command(images):
    return [
        "--dataset=npz", f"--data_dir={images}", "--objective=beta_vae,factor_vae", "--architecture=mlp",
        "--sweep=beta_vae:beta=1,4", "--sweep=seed=0:2", "--latent_dim=3", "--batch_size=8", "--critic_width=8",
        "--critic_depth=2", "--lr=1e-3", "--steps=60", "--log_every=20", "--lanes=map",
        "--metrics=beta_vae,factor_vae,mig,udr",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def no_figures():
    """Write pages without figures, which take longer than all else of a tiny sweep; `sweep.plot` still draws."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(saving, "PLOTS", {})
        yield


@pytest.fixture(scope="module")
def plain(command):
    """The same without FactorVAE, and the sizes that only it has."""
    return [*(flag for flag in command if not flag.startswith("--critic_")), "--objective=beta_vae"]


def run_in_process(*arguments):
    """Run the command line in this process; return its exit code."""
    with flagsaver.flagsaver():
        cli.FLAGS.unparse_flags()
        try:
            cli.main(cli.parse(["run_sweep.py", *map(str, arguments)]))
        except SystemExit as stop:
            return stop.code
        finally:
            cli.FLAGS.mark_as_parsed()
    return 0


def start(*arguments, **environment):
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, ROOT / "run_sweep.py", *map(str, arguments)],
        env=os.environ | {"XLA_FLAGS": xla_flags(), "JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
