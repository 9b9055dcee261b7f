"""Models by what a command line calls them, and the command itself."""

import pathlib
import sys

import numpy as np
import pytest

import jaxvae
from jaxvae.navigate import __main__ as command
from jaxvae.navigate import classifier, opening
from jaxvae.types import InputError
from tiny_navigation import halves, model


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, no_figures):
    """The folder of a sweep of four lanes, hardly trained."""
    images, levels = halves(40)
    folder = tmp_path_factory.mktemp("sweeps") / "x"
    jaxvae.train(
        images,
        labels=(levels > 127).astype(int),
        objective="beta_vae",
        architecture="mlp",
        sweep={"beta": [2, 4.5], "seed": [0, 1]},
        steps=2,
        latent_dim=3,
        batch_size=8,
        metrics="active_units",
        workdir=folder,
        say=lambda line: None,
    )
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return model(seed=3).save(tmp_path_factory.mktemp("models") / "plain")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a,b", ["a", "b"]),
        ("runs/x:beta=4,seed=0,runs/y", ["runs/x:beta=4,seed=0", "runs/y"]),
        ("a, runs/x:beta=4,seed=0,objective=beta_vae,b:*", ["a", "runs/x:beta=4,seed=0,objective=beta_vae", "b:*"]),
        ("a,/tmp/beta=4", ["a", "/tmp/beta=4"]),
        (",", []),
    ],
)
def test_a_comma_parts_models_and_the_values_of_a_lane(text, parts):
    assert opening.split(text) == parts


def test_lanes_are_named_by_what_tells_them_apart(sweep, saved):
    found = opening.open_models([f"{sweep}:objective=beta_vae,beta=2,seed=1", str(saved), f"{sweep}:beta=4.5,seed=0"])
    assert list(found) == ["beta_vae beta=2 seed=1", "plain", "beta_vae beta=4.5 seed=0"]
    assert found["beta_vae beta=4.5 seed=0"].about["lane"] == 2
    every = opening.open_models([f"{sweep}:*"])
    assert len(every) == 4 and list(every)[:2] == ["beta_vae beta=2 seed=0", "beta_vae beta=2 seed=1"]


def test_a_published_networks_folder_is_a_model(test_data):
    folder = test_data("disentangling-vae/VAE_mnist/model.pt").parent
    assert list(opening.open_models([str(folder)])) == ["VAE_mnist"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no model was given"),
        ("nowhere", "there is no folder nowhere"),
        ("{empty}", "holds no model"),
        ("{saved}:beta=4", "holds no sweep, so it has no lane"),
        ("{sweep}", "4 lanes have {}; choose among"),
        ("{sweep}:beta=4.5", "2 lanes have"),
        ("{sweep}:beta", "write NAME=VALUE"),
        ("{sweep}:bata=4", "lanes have no bata"),
        ("{saved},{saved}", "give each model once"),
    ],
)
def test_what_names_no_model_is_said(text, words, sweep, saved, tmp_path):
    text = text.replace("{sweep}", str(sweep)).replace("{saved}", str(saved)).replace("{empty}", str(tmp_path))
    with pytest.raises(InputError) as raised:
        opening.open_models(opening.split(text))
    assert words in str(raised.value) and "\n" not in str(raised.value)


def run(*arguments) -> int:
    return command.main(list(map(str, arguments)))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> pathlib.Path:
    images, levels = halves(200)
    file = tmp_path_factory.mktemp("data") / "halves.npz"
    np.savez(file, images=images, labels=(levels > 127).astype(int), factor_names=["left", "right"])
    return file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--models is missing"),
        (["--models=nowhere"], "--dataset is missing"),
        (["--models=nowhere", "--dataset=npz"], "--out is missing"),
        (["--modles=x"], "unrecognized arguments: --modles=x"),
        (["--models=nowhere", "--dataset=npz", "--out={out}"], "there is no folder nowhere"),
        (["--models={saved}", "--dataset=celeb", "--out={out}"], "did you mean 'celeb_a'"),
        (["--models={saved}", "--dataset=npz", "--data_dir=no.npz", "--out={out}"], "no.npz"),
        (["--models={saved}", "--attributes=lfet", *["{data}"], "--out={out}"], "did you mean 'left'"),
        (["--models={saved}", "--condition=left", *["{data}"], "--out={out}"], "write A:B,C"),
        (["--models={saved}", "--faces=1", *["{data}"], "--out={out}"], "faces must be a whole number from 2"),
        (
            ["--models={saved}", "--classifier={out}", *["{data}"], "--out={out}"],
            "does not hold an attribute classifier",
        ),
    ],
)
def test_a_mistake_gets_one_line_before_anything_is_made(arguments, words, saved, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    given = []
    for argument in arguments:
        parts = ["--dataset=npz", f"--data_dir={pictures}"] if argument == "{data}" else [argument]
        given += [part.replace("{saved}", str(saved)).replace("{out}", str(out)) for part in parts]
    assert run(*given) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and said.startswith("jaxvae.navigate: ")
    assert not out.exists()


def test_the_command_goes_from_models_to_a_page_and_on_from_there(saved, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(classifier, "HIDDEN", 8)
    arguments = (
        *(f"--models={saved}", "--dataset=npz", f"--data_dir={pictures}", f"--out={tmp_path / 'out'}"),
        *("--faces=4", "--resamples=2", "--bootstraps=5", "--classifier_steps=50"),
    )
    assert run(*arguments) == 0
    assert {"faces.html", "table.csv", "results.npz", "classifier", "figures"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    assert "page: " in capsys.readouterr().out
    # The name of the module is that of its function, which hides it.
    monkeypatch.setattr(sys.modules["jaxvae.navigate.study"], "train_classifier", None)  # training again would fail
    assert run(*arguments) == 0
    assert "taken from" in capsys.readouterr().out
    assert run(*arguments, "--seed=1") == 2
    assert "holds another study (seed differ)" in capsys.readouterr().err


def test_lanes_say_what_they_were_trained_on(sweep):
    (found,) = opening.open_models([f"{sweep}:beta=2,seed=1"]).values()
    assert found.about["dataset"] == jaxvae.load_sweep(sweep).spec["dataset"]
