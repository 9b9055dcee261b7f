"""A finished sweep opened again: on data that has changed it is refused; what is no argument gets one line."""

import shutil

import numpy as np
import pytest

import jaxvae
from jaxvae import evaluate
from jaxvae.data import from_arrays
from jaxvae.types import InputError
from jaxvae.workdir.records import WorkdirError
from tiny_sweep import SIZE, run_in_process

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(scope="module")
def trained(plain, tmp_path_factory):
    """The folder of a sweep that was scored, and the file of its data."""
    folder = tmp_path_factory.mktemp("opened")
    given = next(flag.partition("=")[2] for flag in plain if flag.startswith("--data_dir="))
    shutil.copy(given, folder / "data.npz")
    more = [f"--data_dir={folder / 'data.npz'}", f"--workdir={folder / 'run'}", "--steps=4", "--log_every=4"]
    assert run_in_process(*plain, *more, "--metrics=active_units") == 0
    return folder / "run", folder / "data.npz"


@pytest.fixture(scope="module")
def sweep(trained):
    return jaxvae.load_sweep(trained[0])


@pytest.fixture(scope="module")
def model(sweep):
    return sweep.select(beta=np.float32(4), seed=np.array(1))


def refused(call, *words, kind=InputError):
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words), str(caught.value)


def test_changed_data_is_refused_as_by_the_command_line(trained, capsys):
    workdir, path = trained
    kept = path.read_bytes()
    arrays = dict(np.load(path))
    arrays["images"] = 255 - arrays["images"]
    np.savez(path, **arrays)
    try:
        assert run_in_process(f"--workdir={workdir}", "--metrics=active_units") == 2
        assert "is not the data that the sweep in" in capsys.readouterr().err
        for call in (
            lambda opened: opened.rescore("active_units", say=lambda line: None),
            lambda opened: opened.report(),
            lambda opened: opened.latents(),
            lambda opened: evaluate.rescore(opened, names=("active_units",)),
        ):
            refused(
                lambda call=call: call(jaxvae.load_sweep(workdir)),
                "is not the data that the sweep in",
                kind=WorkdirError,
            )
    finally:
        path.write_bytes(kept)
    assert len(evaluate.evaluation_set(jaxvae.load_sweep(workdir))) == 32


def test_data_that_the_models_do_not_take_is_refused(sweep):
    small = from_arrays(np.zeros((20, 4, 4), np.uint8))
    for call in (sweep.rescore, sweep.report, sweep.latents):
        refused(lambda call=call: call(data=small), "images of shape (4, 4, 1)", f"({SIZE}, {SIZE}, 1)")
        refused(lambda call=call: call(data=np.zeros((20, SIZE, SIZE))), "data must be a Dataset")


@pytest.mark.parametrize("given", [3, [3], [["mig"]], "migg"])
def test_what_names_no_metric_or_plot_is_refused(given, sweep):
    refused(lambda: sweep.rescore(given, say=None))
    refused(lambda: sweep.plot(given), "plot")


@pytest.mark.parametrize("given", ["x", None, 99, -1, 1.0, True, [0]])
def test_what_is_no_lane_or_wave_is_refused(given, sweep):
    refused(lambda: sweep.model(given), "there is no lane")
    refused(lambda: sweep.wave(given), "there is no wave")


def test_a_lane_is_selected_by_single_values(sweep):
    refused(lambda: sweep.select(beta=np.array([1.0, 4.0]), seed=0), "beta=array", "a lane has one value")
    refused(lambda: sweep.select(beta=[1.0]), "no lanes have")
    refused(lambda: sweep.select(gamma=1), "lanes have no gamma")


@pytest.mark.parametrize("given", [3, None, b"\xff/x", 1.5])
def test_what_is_no_path_is_refused(given, model):
    for call in (jaxvae.load_sweep, jaxvae.load_model, jaxvae.load_pretrained, jaxvae.navigate.load, model.save):
        refused(lambda call=call: call(given), "must be a path, got")


def test_images_that_are_none_are_refused(model):
    images = np.zeros((2, SIZE, SIZE, 1), np.float32)
    assert model.encode(images)[0].shape == (2, 3)
    for bad in (
        images.astype(complex),
        images * np.nan,
        images[:0],
        images[..., 0],
        images.astype(object),
        images.astype(str),
        images.astype(np.int64),
        [[1, 2], [3]],
        None,
        "x",
    ):
        refused(lambda bad=bad: model.encode(bad))
        refused(lambda bad=bad: model.reconstruct(bad))


def test_codes_that_are_none_are_refused(model):
    codes = np.zeros((2, 3))
    assert model.decode(codes).shape == model.decode(codes.astype(int)).shape == (2, SIZE, SIZE, 1)
    for bad in (
        codes.astype(complex),
        codes[:0],
        codes[0],
        codes[:, :2],
        [[1, 2], [3]],
        None,
        "x",
    ):
        refused(lambda bad=bad: model.decode(bad))
    for bad in ([], [[1.0]], [np.nan], None, "x", [1j]):
        refused(lambda bad=bad: model.traverse(values=bad), "values to set latents to")
    for bad in (codes, np.zeros(2), "x"):
        refused(lambda bad=bad: model.traverse(z=bad))
    refused(lambda: model.encode(np.zeros((2, SIZE, SIZE, 1)), labels=[0, 0]), "is not told labels")
