"""What folders hold to choose from, and what is kept at hand of it."""

import numpy as np
import pytest

import jaxvae
from jaxvae.explore import shelf
from jaxvae.explore.desk import Desk, turned
from jaxvae.navigate import load
from jaxvae.types import InputError
from tiny_navigation import model

FIRST = ("latent", 0)


def test_lanes_stand_best_first_with_their_scores(explored):
    stock = shelf.stock([str(explored)])
    rows = {row["beta"]: row["mig"] for row in jaxvae.load_sweep(explored).results}
    best = max(rows, key=rows.get)
    assert stock.choices[0].name == f"beta_vae beta={best:g}"
    assert f"MIG {rows[best]:.2g}" in stock.choices[0].title
    assert stock.columns[0] == "beta" and "mig" in stock.columns
    assert len(stock.data) == 32 and stock.note == "" and stock.most_latents == 3
    one = shelf.stock([f"{explored}:beta=4", str(explored)])
    assert one.choices[0].name == "beta_vae beta=4" and len(one.choices) == 3


def test_a_lane_that_did_not_finish_stands_last_and_says_so(explored):
    sweep = jaxvae.load_sweep(explored)
    for row in sweep.results:
        if row["lane"] == 0:
            row |= {"status": "diverged at step 3", "mig": 1.0}
    found, _ = shelf._lanes(sweep)
    assert found[-1].name.endswith("beta=0.1") and "diverged at step 3" in found[-1].title


def test_without_its_data_a_model_starts_in_the_middle_and_says_why(explored, tmp_path):
    folder = jaxvae.load_sweep(explored).select(beta=4.0).save(tmp_path / "model")
    stock = shelf.stock([str(folder)])
    assert stock.data is None and "--dataset= names one" in stock.note
    desk = Desk(stock)
    assert desk.first() == ("middle", 0) and desk.dials("model").notes == (stock.note,)
    assert [name for _, name in desk.dials("model").latents] == ["z0", "z1", "z2"]
    assert desk.look("model", desk.first(), turned({}, {}, {}, FIRST)).picture.shape == (8, 8, 1)
    with_data = shelf.stock([str(folder)], "npz", explored.parent / "squares.npz")
    assert len(with_data.data) == 32


def test_images_that_do_not_fit_are_not_shown(tmp_path):
    folder = model().save(tmp_path / "model")
    desk = Desk(shelf.stock([str(folder)], "mini_sprites"))
    dials = desk.dials("model")
    assert "has images of shape (32, 32, 1), the model takes (8, 8, 1)" in dials.notes[0]
    assert desk.start("model", ("image", 3)).original is None


@pytest.mark.parametrize(
    ("places", "options", "words"),
    [
        ([], {}, "no folder was given"),
        (["nowhere"], {}, "there is no folder nowhere"),
        (["{sweep}", "{sweep}"], {}, "was given twice"),
        (["{sweep}"], {"dataset": "mnits"}, "did you mean 'mnist'"),
        (["{sweep}"], {"dataset": "npz", "data_dir": "no.npz"}, "no.npz"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(places, options, words, explored):
    with pytest.raises(InputError) as raised:
        shelf.stock([place.replace("{sweep}", str(explored)) for place in places], **options)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_a_desk_gives_what_turns_and_what_is_seen(explored):
    desk = Desk(shelf.stock([str(explored)]))
    lane = "beta_vae beta=0.1"
    dials = desk.dials(lane)
    assert len(dials.latents) + len(dials.folded) == 3 and dials.left_out == 0 and not dials.labels
    assert any(factor in dials.latents[0][1] for factor in ("bright", " y ", " x "))
    values, labels = desk.shown(lane, ("image", 3))
    assert labels is None
    before = desk.look(lane, ("image", 3), turned(dict(enumerate(values)), {}, {}, FIRST))
    latent = dials.latents[0][0]
    after = desk.look(lane, ("image", 3), turned({latent: -2.5}, {}, {}, ("latent", latent)))
    assert np.abs(before.picture - after.picture).max() > 0.01
    with pytest.raises(InputError, match="there is no image 32; give 0 to 31"):
        desk.look(lane, ("image", 32), turned({}, {}, {}, FIRST))
    with pytest.raises(InputError, match="unknown model"):
        desk.dials("beta_vae beta=9")


def test_more_latents_than_there_is_room_for_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxvae.explore.desk.MOST_DIALS", 2)
    folder = model(latent_dim=5).save(tmp_path / "model")
    dials = Desk(shelf.stock([str(folder)])).dials("model")
    assert [latent for latent, _ in dials.latents] == [0, 1] and dials.left_out == 3


def test_labels_and_directions_are_there_for_whom_they_are_meant(studied, tmp_path):
    folder, coder, _ = studied
    coder.save(tmp_path / "plain")
    model("cvae+mlp", label_sizes=(2, 3)).save(tmp_path / "told")
    desk = Desk(shelf.stock([str(tmp_path / "plain"), str(tmp_path / "told")]), load(folder))
    plain, told = desk.dials("plain"), desk.dials("told")
    assert set(plain.directions) <= {"left", "right"} and plain.directions and not plain.labels
    assert [label.called for label in told.labels] == [("0", "1"), ("0", "1", "2")] and not told.directions
    assert any("the study knows plain, and no told" in note for note in told.notes)
