"""One model in a folder of its own, and a sweep that an earlier version wrote."""

import functools
import json
import pathlib
import tarfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae.lane import step
from jaxvae.saved import Model, ModelError
from jaxvae.types import InputError, Networks, Program
from tiny_sweep import SIZE

LABELLED = Program("cvae+mlp", "label_guided_vae", (SIZE, SIZE, 1), latent_dim=3, label_sizes=(4,))
HIERARCHY = Program("nvae", "vae", (SIZE, SIZE, 1), latent_dim=2, sizes={"groups_per_scale": (1, 1), "stem_width": 4})


@functools.cache
def model(program):
    hypers = {n: jnp.float32(v) for n, v in step.hyper_defaults(program).items()} | {"seed": jnp.uint32(3)}
    state = jax.jit(step.init_state, static_argnums=0)(program, hypers)
    return Model(program, state.networks, {"lane": 2, "beta": 4.0, "status": "ok", "mig": None})


@pytest.mark.parametrize("program", [LABELLED, HIERARCHY], ids=["labels and extra parameters", "batch statistics"])
def test_a_model_comes_back_bit_for_bit(program, tmp_path):
    saved = model(program)
    folder = saved.save(tmp_path / "deep" / "model")
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "model.json"}
    opened = jaxvae.load_model(folder)
    assert opened.program == program and hash(opened.program) == hash(program) and opened.about == saved.about
    assert jax.tree.structure(opened.networks) == jax.tree.structure(saved.networks)
    for ours, theirs in zip(jax.tree.leaves(opened.networks), jax.tree.leaves(saved.networks), strict=True):
        assert ours.dtype == theirs.dtype == np.float32
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    images = np.random.default_rng(0).random((5, SIZE, SIZE, 1), np.float32)
    labels = np.arange(5) % 4 if program is LABELLED else None
    np.testing.assert_array_equal(opened.encode(images, labels)[0], saved.encode(images, labels)[0])


def test_nothing_is_overwritten_unasked(tmp_path):
    saved = model(HIERARCHY)
    saved.save(tmp_path / "model")
    with pytest.raises(ModelError, match=r"there already.*overwrite=True replaces it"):
        saved.save(tmp_path / "model")
    saved.save(tmp_path / "model", overwrite=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(ModelError, match="not a model, and is left alone"):
        saved.save(tmp_path / "thesis", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="there already"):
        saved.save(tmp_path / "file", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model", "thesis"]


def damaged(folder, case):
    about = json.loads((folder / "model.json").read_text())
    if case == "no folder":
        return folder / "elsewhere"
    if case == "cut short":
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-9])
    if case == "no json":
        (folder / "model.json").write_text("{")
    if case == "newer":
        (folder / "model.json").write_text(json.dumps(about | {"format": 99}))
    if case == "other network":
        (folder / "model.json").write_text(json.dumps(about | {"program": about["program"] | {"latent_dim": 5}}))
    if case == "plug-in":
        (folder / "model.json").write_text(json.dumps(about | {"program": about["program"] | {"architecture": "tiny"}}))
    return folder


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no folder", "does not hold a model"),
        ("cut short", "model.safetensors is damaged"),
        ("no json", "model.json is damaged"),
        ("newer", "format 99, this version of jaxvae reads format 1"),
        ("other network", "not those of architecture 'nvae' as described"),
        ("plug-in", "unknown architecture 'tiny'"),
    ],
)
def test_what_is_damaged_is_named(case, words, tmp_path):
    folder = model(HIERARCHY).save(tmp_path / "model")
    with pytest.raises(InputError, match=words) as caught:
        jaxvae.load_model(damaged(folder, case))
    assert "\n" not in str(caught.value)


def test_a_model_cannot_hold_other_weights_than_its_program_says(tmp_path):
    one = model(HIERARCHY)
    Model(LABELLED, Networks(one.networks.variables, {}), {}).save(tmp_path / "model")
    with pytest.raises(ModelError, match="not those of architecture 'cvae\\+mlp'"):
        jaxvae.load_model(tmp_path / "model")


def test_a_sweep_of_version_0_1_opens(tmp_path):
    """Written by version 0.1, jax 0.10.2 and orbax 0.12.8, with its own codes of its own images beside it."""
    with tarfile.open(pathlib.Path(__file__).with_name("sweep_of_0_1.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    sweep = jaxvae.load_sweep(tmp_path)
    assert sweep.results[0]["mig"] == pytest.approx(0.05, abs=5e-3) and sweep.hyper_names == (
        *("noise_scale", "beta"),
        *("lr", "seed"),
    )
    opened = sweep.select(beta=4.0)
    assert opened.program.sizes["groups_per_scale"] == (1,) and opened.program.sizes["stem_width"] == 4
    expected = np.load(tmp_path / "expected.npz")
    mean, logvar = opened.encode(expected["images"])
    np.testing.assert_allclose(mean, expected["mean"], atol=1e-6)
    np.testing.assert_allclose(logvar, expected["logvar"], atol=1e-6)
    np.testing.assert_allclose(opened.decode(mean), expected["decoded"], atol=1e-6)
    assert sweep.plot("training_curves") is not None and "beta_vae" not in sweep.table()  # one lane, nothing to compare
