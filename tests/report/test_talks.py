"""Pictures for talks and papers: traversals that move, and figures in other formats."""

import io
import json

import numpy as np
import pytest
from PIL import Image, features
from test_report import fifty_latents, mixed

import jaxvae
from jaxvae import evaluate
from jaxvae.asked.spec import Spec, from_json
from jaxvae.report import drawing, images, moving, page, saving, style
from jaxvae.report.plots import PLOTS
from jaxvae.types import InputError


@pytest.fixture(scope="module")
def made():
    return mixed()


def test_a_moving_picture_shows_every_value_there_and_back_and_loops(made):
    showcase = made.showcases[0]
    number = len(showcase.traversal_values)
    frames = moving.frames(made, showcase)
    assert len(frames) == 2 * number - 2
    data, kind = moving.encoded(frames)
    opened = Image.open(io.BytesIO(data))
    assert kind == "webp" and opened.n_frames == len(frames) and opened.info["loop"] == 0
    assert len(data) <= moving.MOST_BYTES
    for there in range(1, number - 1):
        assert frames[there].tobytes() == frames[-there].tobytes()
    assert frames[0].tobytes() != frames[number - 1].tobytes()


def test_a_frame_holds_the_images_of_its_value_pixel_by_pixel(made):
    showcase = made.showcases[0]
    frame = np.asarray(moving.frames(made, showcase)[2])
    latent = images.rows_shown(showcase)[0]
    image = np.round(255 * showcase.traversals[latent, 2, ..., 0]).astype(np.uint8)
    times = moving.TILE // image.shape[0]
    tile = image.repeat(times, 0).repeat(times, 1)
    found = np.argwhere((np.lib.stride_tricks.sliding_window_view(frame[..., 0], tile.shape[1], 1) == tile[0]).all(-1))
    assert any((frame[y : y + tile.shape[0], x : x + tile.shape[1], 0] == tile).all() for y, x in found)


def test_many_latents_in_colour_stay_small():
    results = fifty_latents()
    showcase = results.showcases[0]
    noise = np.random.default_rng(0).random((20, 9, 64, 64, 3), np.float32)
    showcase = showcase._replace(traversals=noise, kl=showcase.kl[:20])
    data, _ = moving.encoded(moving.frames(results, showcase))
    assert len(data) < 4 * moving.MOST_BYTES  # of noise, which nothing makes small
    smooth = np.repeat(np.repeat(noise[:, :, ::16, ::16], 16, 2), 16, 3)
    data, _ = moving.encoded(moving.frames(results, showcase._replace(traversals=smooth)))
    assert len(data) <= moving.MOST_BYTES


def test_without_webp_it_is_a_gif(made, monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    data, kind = moving.encoded(moving.frames(made, made.showcases[0]))
    opened = Image.open(io.BytesIO(data))
    assert kind == "gif" and opened.format == "GIF" and opened.n_frames > 2 and opened.info["loop"] == 0


def test_they_are_written_beside_the_still_ones_and_stand_in_the_page(made, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "PLOTS", {"traversals": PLOTS["traversals"]})
    path = saving.write_all(made, tmp_path)
    kind = "webp" if features.check("webp") else "gif"
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    titles = {images.file_name(showcase.title) for showcase in made.showcases}
    assert names == {f"traversals_{title}.{end}" for title in titles for end in ("png", kind)}
    text = path.read_text(encoding="utf-8")
    assert text.count(f"data:image/{kind};base64,") == len(titles) and moving.CAPTION in text
    assert text.count("data:image/png;base64,") == len(titles)
    assert moving.CAPTION not in page.write_report(made, tmp_path / "other.html", {}).read_text(encoding="utf-8")


def test_figures_come_in_the_formats_that_are_asked_for_and_are_the_same_each_time(made, tmp_path):
    made.spec = {**made.spec, "figure_format": ["png", "pdf", "svg"]}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        assert list(drawing.draw("kl_map", made, tmp_path / folder).values()) == [tmp_path / folder / "kl_map.png"]
    begins = {"kl_map.png": b"\x89PNG", "kl_map.pdf": b"%PDF", "kl_map.svg": b"<?xml"}
    for name, first in begins.items():
        data = (tmp_path / "a" / name).read_bytes()
        assert data.startswith(first) and data == (tmp_path / "b" / name).read_bytes()
    assert b"Type3" not in style.as_vector(PLOTS["kl_map"](made), "pdf")


@pytest.mark.parametrize("given", ["png,pdf", ["pdf"], ("svg", "png", "svg")])
def test_a_spec_keeps_formats_and_reads_those_of_earlier_versions(given):
    chosen = Spec(figure_format=given)
    saved = json.loads(json.dumps(chosen.to_json()))
    assert from_json(saved) == chosen and len(set(chosen.figure_format)) == len(chosen.figure_format)
    del saved["figure_format"]
    assert from_json(saved).figure_format == ("png",)


@pytest.mark.parametrize("given", ["jpeg", "", [], ["pdf", "ps"], 3, None])
def test_a_format_that_there_is_not_is_refused_in_a_line(given):
    with pytest.raises(InputError, match="figure_format") as raised:
        Spec(figure_format=given)
    assert "\n" not in str(raised.value)


def test_a_sweep_is_drawn_in_the_formats_it_was_trained_with(explored, tmp_path):
    sweep = jaxvae.load_sweep(explored)
    assert sweep.spec["figure_format"] == ["png", "pdf"]
    drawing.draw("scores", evaluate.from_table(sweep), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"scores.png", "scores.pdf"}
