"""Folders to explore: a sweep hardly trained, a saved model, a conditional one, a study of attributes."""

import numpy as np
import pytest

import jaxvae
from jaxvae.data import from_arrays
from jaxvae.navigate import keeping
from tiny_navigation import halves_data, model, quick_study

SIZE = 8


def squares() -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8[32, 8, 8] of a bright square at 4 x 4 places, bright or dim, and their factors i64[32, 3]."""
    factors = np.array([(b, y, x) for b in range(2) for y in range(4) for x in range(4)])
    pictures = np.zeros((len(factors), SIZE, SIZE), np.uint8)
    for picture, (bright, y, x) in zip(pictures, factors, strict=True):
        picture[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = (120, 250)[bright]
    return pictures, factors


def squares_data():
    """Return them as a Dataset with factors."""
    images, factors = squares()
    return from_arrays(images, factors=factors, factor_names=["bright", "y", "x"], name="squares")


@pytest.fixture(scope="session")
def explored(tmp_path_factory):
    """The folder of a sweep of two lanes of three latents on squares, which lie in an .npz."""
    folder = tmp_path_factory.mktemp("explored")
    images, factors = squares()
    np.savez(folder / "squares.npz", images=images, factors=factors, factor_names=["bright", "y", "x"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jaxvae.report.saving, "PLOTS", {})
        jaxvae.train(
            "npz",
            data_dir=folder / "squares.npz",
            objective="beta_vae",
            architecture="mlp",
            sweep={"beta": [0.1, 4]},
            steps=150,
            latent_dim=3,
            batch_size=8,
            lr=3e-3,
            metrics="mig",
            figure_format="png,pdf",
            workdir=folder / "sweep",
            say=lambda line: None,
        )
    return folder / "sweep"


@pytest.fixture(scope="session")
def studied(tmp_path_factory):
    """The folder of a study of attributes, and its model and data."""
    data, coder = halves_data(), model(seed=1)
    folder = tmp_path_factory.mktemp("studied") / "study"
    found = quick_study({"plain": coder}, data)
    keeping.save(found, folder)
    return folder, coder, data
