"""Published networks: read without PyTorch, executed never, and equal to what their authors logged."""

import json
import pickle
import shutil

import jax
import numpy as np
import PIL.Image
import pytest

import jaxvae
from jaxvae.saved.pretrained import PretrainedError, read_state_dict

EVERY = [
    f"{loss}_{data}"
    for loss in ("VAE", "betaH", "betaB", "factor", "btcvae")
    for data in ("mnist", "dsprites", "celeba")
]


@pytest.mark.parametrize("name", EVERY)
def test_every_published_network_opens(test_data, name):
    folder = test_data(f"disentangling-vae/{name}")
    model = jaxvae.load_pretrained(folder)
    assert (
        model.program.image_shape
        == {"mnist": (32, 32, 1), "dsprites": (64, 64, 1), "celeba": (64, 64, 3)}[name.split("_")[1]]
    )
    assert model.about["experiment"] == name
    weights = read_state_dict(folder / "model.pt")
    assert sum(w.size for w in weights.values()) == sum(leaf.size for leaf in jax.tree.leaves(model.params))
    images = model.decode(np.zeros((2, 10)))
    assert images.shape == (2, *model.program.image_shape) and np.isfinite(images).all()
    np.testing.assert_array_equal(images[0], images[1])


@pytest.mark.parametrize(
    ("loss", "count", "reconstruction", "kl"),
    [
        # What the authors' own evaluation logged (disentangling-vae, results/*/test_losses.log, multiplied by its 60
        # batches): codes at the mean, the first batch of the training digits.
        ("VAE", 1000, 111.91, 19.12),
        ("betaH", 1000, 122.04, 10.52),
        ("betaB", 1000, 168.68, 24.98),
        ("btcvae", 1000, 128.76, 9.21),
        ("factor", 500, 114.06, 18.38),
    ],
)
def test_the_mnist_networks_score_as_their_authors_logged(test_data, loss, count, reconstruction, kl):
    digits = jaxvae.data.load("mnist", data_dir=test_data("mnist"))
    pictures = np.asarray(digits.images(np.arange(count)))[..., 0]
    bilinear = PIL.Image.Resampling.BILINEAR
    images = np.stack([np.asarray(PIL.Image.fromarray(picture).resize((32, 32), bilinear)) for picture in pictures])
    images = images[..., None].astype(np.float32) / 255
    model = jaxvae.load_pretrained(test_data(f"disentangling-vae/{loss}_mnist"))
    mean, logvar = model.encode(images)
    rebuilt = np.clip(model.decode(mean), 1e-6, 1 - 1e-6)
    nll = -(images * np.log(rebuilt) + (1 - images) * np.log(1 - rebuilt)).sum((1, 2, 3)).mean()
    assert nll == pytest.approx(reconstruction, abs=0.2)
    assert 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).sum(1).mean() == pytest.approx(kl, abs=0.02)


@pytest.fixture
def folder(test_data, tmp_path):
    copy = tmp_path / "VAE_mnist"
    shutil.copytree(test_data("disentangling-vae/VAE_mnist"), copy)
    for path in copy.iterdir():
        path.chmod(0o644)
    copy.chmod(0o755)
    return copy


def refused(folder, message):
    with pytest.raises(PretrainedError, match=message) as caught:
        jaxvae.load_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_damaged_files_are_named(folder):
    raw = (folder / "model.pt").read_bytes()
    for damaged in (raw[:-5], raw[: len(raw) // 2], raw[:40], b"", b"PK\x03\x04" + raw):
        (folder / "model.pt").write_bytes(damaged)
        refused(folder, "model.pt")
    (folder / "model.pt").unlink()
    refused(folder, "cannot be read")


def test_specs_that_say_something_else_are_refused(folder):
    specs = json.loads((folder / "specs.json").read_text())
    (folder / "specs.json").write_text(json.dumps(specs | {"model_type": "ResNet"}))
    refused(folder, "'ResNet'")
    (folder / "specs.json").write_text("{}")
    refused(folder, "lacks img_size")
    refused(folder / "nowhere", "cannot be read")


def test_code_in_a_file_is_not_run(folder):
    class Attack:
        def __reduce__(self):
            return (open, (str(folder / "owned"), "w"))

    header = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    (folder / "model.pt").write_bytes(header + pickle.dumps({"encoder.conv1.weight": Attack()}, 2))
    refused(folder, "was not run")
    assert not (folder / "owned").exists()
