"""The command says in one line what it cannot do; and what the page makes of what is touched."""

import re
import socket
import sys

import pytest

from jaxvae import cli
from jaxvae.explore import __main__ as command
from jaxvae.explore import markup, shelf
from jaxvae.explore.desk import Desk
from jaxvae.navigate import load
from tiny_navigation import model


def run(*arguments) -> int:
    return command.main(list(map(str, arguments)))


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for module in ("jaxvae.explore.page", "jaxvae.explore.serving"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert run("runs/x") == 2
    assert capsys.readouterr().err == "jaxvae explore needs Gradio: pip install 'jaxvae[explore]'\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no folder was given"),
        (["--port=x", "runs"], "expected a whole number in 0 … 65535"),
        (["--port=70000", "runs"], "expected a whole number in 0 … 65535"),
        (["--prot=1", "runs"], "unrecognized arguments: --prot=1"),
    ],
)
def test_a_mistake_gets_one_line(arguments, words, capsys):
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and said.startswith("jaxvae explore: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["{sweep}", "--directions=nowhere"], "nowhere holds no finished study"),
        (["{sweep}", "--host=no.such.host.invalid"], "is no address of this machine"),
        (["{sweep}", "--port={taken}"], "cannot be had"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(arguments, words, explored, capsys):
    pytest.importorskip("gradio", reason="Gradio, which serves the page, is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run(*(text.replace("{sweep}", str(explored)).replace("{taken}", port) for text in arguments)) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and said.startswith("jaxvae explore: ")


def test_the_command_line_knows_it():
    assert cli.COMMANDS["explore"][0] == command.__spec__.name


def test_pages_show_every_pixel_and_escape_what_is_not_theirs():
    assert "&lt;b&gt;" in markup.head("<b>", ["x"]) and "<b>" not in markup.head("<b>", ["<b>"])
    assert markup.png(model().decode([[0, 0, 0]])[0])[16:24] == (8).to_bytes(4, "big") * 2
    assert "image-rendering: pixelated" in markup.CSS


@pytest.fixture(scope="module")
def bench(explored):
    gradio = pytest.importorskip("gradio", reason="Gradio, which serves the page, is not installed")
    from jaxvae.explore.page import Bench

    desk = Desk(shelf.stock([str(explored)]))
    with gradio.Blocks(analytics_enabled=False):
        return Bench(desk, "left")


def pictures(view: str) -> list[str]:
    return re.findall(r'src="(data:image/png;base64,[^"]+)"', view)


def test_a_touched_slider_changes_what_is_decoded_and_not_the_image(bench):
    lane, started = "beta_vae beta=0.1", ("image", 5)
    renewed = bench.renewed(lane, started)
    assert len(renewed) == len(bench.everything)
    sliders = renewed[6 : 6 + len(bench.latents)]
    standing = [update["value"] for update in sliders if update["visible"]]
    values = [*standing, *[0.0] * (len(bench.dials) - len(standing))]
    before = bench.moved(0, lane, started, *values)
    assert pictures(before) == pictures(renewed[2]) and len(pictures(before)) == 9
    values[0] = 3.0 if values[0] < 0 else -3.0
    after = bench.moved(0, lane, started, *values)
    assert pictures(after)[0] == pictures(before)[0] and pictures(after)[1] != pictures(before)[1]
    assert pictures(after)[1] in pictures(after)[2:], "it is one of its own strip"
    assert sliders[0]["label"] in after


def test_labels_and_directions_are_turned_like_latents(studied, tmp_path):
    gradio = pytest.importorskip("gradio", reason="Gradio, which serves the page, is not installed")
    from jaxvae.explore.page import Bench, build

    folder, coder, _ = studied
    coder.save(tmp_path / "plain")
    model("cvae+mlp", label_sizes=(2, 3)).save(tmp_path / "told")
    desk = Desk(shelf.stock([str(tmp_path / "plain"), str(tmp_path / "told")]), load(folder))
    with gradio.Blocks(analytics_enabled=False):
        bench = Bench(desk, "left")
    kinds = len(bench.latents), len(bench.folded), len(bench.labels), len(bench.directions)
    assert kinds == (3, 3, 2, 2)
    still = [*[0.0] * 6, 0, 0, 0.0, 0.0]
    for lane, place, touched in (
        ("told", 7, [*still[:6], 0, 2, *still[8:]]),
        ("plain", 8, [*still[:8], 3.0, 0.0]),
    ):
        views = [bench.moved(place, lane, ("middle", 0), *values) for values in (still, touched)]
        before, after = map(pictures, views)
        assert before[0] != after[0] and before[1:] == after[1:], "the strip is that of what is turned, and stays"
        assert after[0] in after[1:]
    assert "label 1, through its values" in bench.moved(7, "told", ("middle", 0), *still)
    assert build(desk, "both").title == "explore both"


def test_no_second_lane_leaves_the_bench_away(bench):
    renewed = bench.renewed("—", ("image", 5))
    assert len(renewed) == len(bench.everything) and not renewed[0]["visible"]
