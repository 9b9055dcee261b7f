"""Names, paths and texts that strangers chose are text, and nothing more: in the page, figures, tables, a terminal."""

import csv

import numpy as np
import pytest

from jaxvae.commands import refuse
from jaxvae.parallel import terminal
from jaxvae.report import notebook_table, style, terminal_table, write_report
from jaxvae.report.saving import write_table
from jaxvae.types import Results
from jaxvae.words import cell, one_line, printable, printable_lines
from pages import Page

HOSTILE = '<script>alert("1")</script>'
ESCAPE = "\x1b[2J\x07"


def results():
    """Return what the folder of a stranger may say."""
    names = (f"beta{HOSTILE}", "seed")
    lanes = [
        {
            "lane": lane,
            "objective": f"=vae{ESCAPE}{lane}",
            "architecture": HOSTILE,
            names[0]: 1.0 + lane,
            "seed": 0,
            "step": 1,
            "status": f"ok{ESCAPE}" if lane else "ok",
            HOSTILE: 0.5,
        }
        for lane in range(2)
    ]
    return Results(
        spec={"objectives": [HOSTILE], "dataset": HOSTILE, "steps": HOSTILE, HOSTILE: HOSTILE},
        environment={"device": HOSTILE, "command": f"{HOSTILE}", HOSTILE: {HOSTILE: HOSTILE}, "wall_seconds": HOSTILE},
        lanes=lanes,
        hyper_names=names,
        swept=names[:1],
        score_names=(HOSTILE,),
        omitted={HOSTILE: HOSTILE},
        history={},
        kl_per_latent=np.zeros((2, 0)),
        showcases=[],
        factor_names=(HOSTILE,),
        main_score=HOSTILE,
        ranked=(0,),
    )


def test_the_page_shows_them_and_runs_nothing(tmp_path):
    page = write_report(results(), tmp_path / "report.html", {}).read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(" in page and "<script>alert" not in page and '"1"' not in page
    assert Page(page)  # well-formed
    assert "<script" not in notebook_table(results(), HOSTILE)


def test_a_terminal_shows_them_and_obeys_nothing(capsys):
    table = terminal_table(results())
    assert table.replace("\n", "").isprintable()
    said = []
    terminal.steady(said.append)(f"a{ESCAPE}\nb")
    assert said == ["a\\x1b[2J\\x07\nb"]
    assert refuse("jaxvae", ValueError(f"a\n  {ESCAPE}\udcff")) == 2
    assert capsys.readouterr().err == "jaxvae: a \\x1b[2J\\x07\\udcff\n"
    assert printable("größe 色") == one_line("größe\n色") == "größe 色"
    assert printable_lines("a\tb\nc") == "a\\tb\nc"


@pytest.mark.parametrize("given", ["=1+1", "+x", "-x", "@SUM(A1)", "\tx", "=cmd|' /C calc'!A0"])
def test_a_spreadsheet_takes_none_of_them_for_a_formula(given, tmp_path):
    assert cell(given) == f"'{given}"
    write_table(tmp_path / "x.csv", [given, "n"], [{given: given, "n": -1.5}])
    with open(tmp_path / "x.csv", newline="") as file:
        assert list(csv.reader(file)) == [[f"'{given}", "n"], [f"'{given}", "-1.5"]]


@pytest.mark.parametrize("given", ["-1", "+1e5", "1", "-inf", "x=1", "", "größe", -1, 2.5, None])
def test_numbers_and_plain_text_stay_as_they_are(given):
    assert cell(given) == given


@style.styled
def draw(name):
    """Draw a name wherever a figure has words, beside axes of numbers."""
    made = style.figure(4, 3)
    left, right = made.add_subplot(1, 2, 1), made.add_subplot(1, 2, 2)
    left.plot([0, 1e6], [1, 1e9], label=name)
    left.set(title=name, xlabel=name, yscale="log")
    left.text(0, 1, name)
    right.imshow([[0, 1]])
    right.set_xticks([0, 1], [name, "b"])
    made.suptitle(name)
    style.legend_above(made, left.get_legend_handles_labels()[0])
    return made


@pytest.mark.parametrize("name", ["$x$", r"$\frac$", "a $ b $ c", "$" * 7, r"100\$ $y"])
def test_figures_show_a_dollar_as_one(name):
    drawn = draw(name)
    assert style.as_png(drawn)[:4] == b"\x89PNG"  # no formula that cannot be read
    words = [text for text in drawn.findobj(style.Text) if text.get_text() == name]
    assert len(words) >= 6 and not any(text.get_parse_math() for text in words)
    numbers = drawn.axes[0].get_yticklabels()
    assert any("$" in text.get_text() and text.get_parse_math() for text in numbers)  # 10^3 is a formula
