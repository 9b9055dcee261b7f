"""The first sentences of a report, tables for papers, and what a choice without labels costs, of hand-made numbers."""

import dataclasses
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from jaxvae.evaluate.best import best_row, less_is_better
from jaxvae.evaluate.ranking import rank
from jaxvae.metrics import METRICS
from jaxvae.report import choice, document, page, tables, typeset, write_report
from jaxvae.report.paletted import paletted
from jaxvae.report.takeaway import takeaway
from jaxvae.types import InputError, Results, Showcase
from pages import Page

BLANK = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00\x00\x00\x00\x80"


def results_of(scores, *, lost=(), objective="beta_vae"):
    """Return lanes of {beta: rows of scores, a row a seed}; those whose number is in `lost` have diverged."""
    lanes = []
    for beta, rows in scores.items():
        for seed, row in enumerate(rows):
            about = {"lane": len(lanes), "objective": objective, "architecture": "mlp", "beta": beta, "seed": seed}
            bad = len(lanes) in lost
            lanes.append(about | {"step": 4, "status": "diverged at step 3" if bad else "ok"} | row)
    names = tuple(dict.fromkeys(name for rows in scores.values() for row in rows for name in row))
    main_score, ranked = rank(lanes)
    return Results(
        spec={"dataset": "shapes", "objectives": [objective]},
        environment={},
        lanes=lanes,
        hyper_names=("beta", "seed"),
        swept=tuple(n for n in ("beta", "seed") if len({lane[n] for lane in lanes}) > 1),
        score_names=names,
        omitted={},
        history={},
        kl_per_latent=np.zeros((len(lanes), 0)),
        showcases=[],
        main_score=main_score,
        ranked=ranked,
    )


def mig(*values, reconstruction=()):
    """Return rows of MIG, and of reconstruction where there are as many."""
    rows = [{"mig": value} for value in values]
    return (
        [row | {"reconstruction": r} for row, r in zip(rows, reconstruction, strict=True)] if reconstruction else rows
    )


def test_ranges_that_overlap_are_said_to_show_nothing():
    first = takeaway(results_of({1.0: mig(0.10, 0.20), 4.0: mig(0.15, 0.35), 8.0: mig(0.01, 0.02)}))[0]
    assert first == (
        "MIG is highest for beta=4: 0.250 on average over 2 seeds (0.150 to 0.350). 1 of the 2 other settings has a "
        "range that overlaps with it, the next being beta=1 (0.100 to 0.200): no difference that 2 seeds each show."
    )


def test_ranges_that_do_not_overlap_come_with_what_chance_would_do():
    few = takeaway(results_of({1.0: mig(0.10, 0.12), 4.0: mig(0.30, 0.35)}))[0]
    assert "That range lies above that of the other setting" in few and "in 1 of 6 cases" in few
    many = takeaway(results_of({1.0: mig(0.10, 0.12, 0.13, 0.14), 4.0: mig(0.30, 0.35, 0.32, 0.31)}))[0]
    assert "lies above" in many and "cases" not in many  # 1 of 70


def test_means_may_differ_clearly_though_ranges_overlap():
    low = [0.10 + 0.01 * (n % 7) for n in range(40)]
    high = [value + 0.05 for value in low]
    assert "standard errors away" in takeaway(results_of({1.0: mig(*low), 4.0: mig(*high)}))[0]


def test_one_seed_each_tells_a_better_setting_from_nothing():
    text = takeaway(results_of({1.0: mig(0.1), 4.0: mig(0.3)}))[0]
    assert "beta=4: 0.300, of one seed" in text and "lucky seed" in text


def test_one_lane_is_just_what_it_scored():
    found = takeaway(results_of({4.0: mig(0.3, reconstruction=(40.0,))}))
    assert found == [
        "MIG 0.300, of a single lane: there is no spread to judge it by.",
        "Its reconstruction is 40 nats per image.",
    ]


def test_what_the_highest_score_costs_and_what_diverged():
    scores = {
        1.0: mig(0.10, 0.12, reconstruction=(40.0, 42.0)),
        4.0: mig(0.30, 0.35, reconstruction=(50.0, 52.0)),
        8.0: mig(0.9, 0.9, reconstruction=(1.0, 1.0)),
    }
    found = takeaway(results_of(scores, lost=(4, 5)))
    assert len(found) == 3 and "highest for beta=4" in found[0]
    assert "Its reconstruction is 51.00 ± 1.41 nats per image, 10.00 worse than that of beta=1" in found[1]
    assert "MIG is 0.110 on average over 2 seeds (0.100 to 0.120)" in found[1]
    assert found[2].startswith("2 lanes did not finish") and "diverged at step 3" in found[2]
    assert takeaway(results_of({1.0: mig(0.1, 0.2), 2.0: mig(0.1, 0.3)}, lost=range(4)))[0].startswith("No lane")


def test_what_is_better_is_read_off_what_is_declared():
    less = {key for metric in METRICS.values() for key in metric.keys if less_is_better(key)}
    assert less == {"gaussian_tc", "mutual_information"}
    assert less_is_better("reconstruction_unseen") and less_is_better("kl") and not less_is_better("elbo")
    assert not less_is_better("mig_unseen") and not less_is_better("a_score_of_tomorrow")


def row(lane, status="ok", **scores):
    return {"lane": lane, "status": status} | scores


def test_the_best_lane_is_healthy_and_of_equal_ones_the_first():
    rows = [
        row(0, mig=0.1, gaussian_tc=0.5, udr_lasso=None),
        row(1, mig=0.3, gaussian_tc=0.2, udr_lasso=0.25404444336891174),
        row(2, mig=0.3, gaussian_tc=0.9, udr_lasso=0.25404441356658936),  # the same in float32
        row(3, "diverged at step 2", mig=0.9, gaussian_tc=0.0, udr_lasso=0.9),
        row(4, mig=float("nan"), gaussian_tc=0.3, udr_lasso=0.1),
    ]
    assert best_row(rows, "mig").row["lane"] == 1 and best_row(rows, "gaussian_tc").tied == ()
    assert best_row(rows, "mig").words("mig") == "lane 1 is taken; lane 2 has the same mig, 0.3"
    assert best_row(rows, "gaussian_tc").row["lane"] == 1
    assert (best_row(rows[::-1], "udr_lasso").row["lane"], best_row(rows, "udr_lasso").tied) == (1, (2,))
    for name, words in (
        ("mog", "did you mean 'mig'"),
        ("irs", "has not been computed.*rescore\\('irs'\\)"),
        ("dci_completeness", "rescore\\('dci'\\)"),
        ("udr", "a metric of several scores; name one: udr_spearman, udr_lasso"),
        ("status", "unknown score"),
        (3, "by name"),
    ):
        with pytest.raises(InputError, match=words):
            best_row(rows, name)
    with pytest.raises(InputError, match="none is best"):
        best_row(rows[3:], "mig")


def chosen():
    """Return four lanes: UDR would choose the second best by MIG, reconstruction the worst."""
    columns = {
        "mig": (0.1, 0.2, 0.4, 0.3),
        "dci_disentanglement": (0.1, 0.5, 0.4, 0.3),
        "udr_spearman": (0.1, 0.1, 0.2, 0.3),
        "reconstruction": (10.0, 20.0, 30.0, 40.0),
    }
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return results_of({float(beta): [own] for beta, own in enumerate(rows)})


def test_what_a_choice_without_labels_costs():
    found = choice.choices(chosen())
    assert [(one.way, one.lane["lane"]) for one in found.regrets] == [("udr_spearman", 3), ("reconstruction", 0)]
    assert found.regrets[0].lost == pytest.approx({"mig": 0.1, "dci_disentanglement": 0.2})
    assert found.regrets[1].lost == pytest.approx({"mig": 0.3, "dci_disentanglement": 0.4})
    assert found.at_random == pytest.approx({"mig": 0.15, "dci_disentanglement": 0.175})
    words = choice.in_words(found)
    assert "UDR (Spearman) comes nearest to the best MIG of this sweep, 0.100 below" in words
    assert "random is 0.150 below" in words and "no better than that is Reconstruction" in words
    at_random = dict.fromkeys(found.at_random, 0.05)
    assert "and no way to choose does better than that. It is" in choice.in_words(found._replace(at_random=at_random))
    shown = Page(tables.choice(chosen(), found)).text
    assert "lane 3 (beta=3)" in shown and "any of 4, on average" in shown and "0.175" in shown


def test_a_choice_is_only_told_where_the_scores_are_there():
    whole = chosen()
    for missing in (("mig", "dci_disentanglement"), ("udr_spearman", "reconstruction")):
        left = tuple(name for name in whole.score_names if name not in missing)
        assert choice.choices(dataclasses.replace(whole, score_names=left)) is None
    assert choice.choices(dataclasses.replace(whole, lanes=whole.lanes[:2])) is None
    lost = dataclasses.replace(whole, lanes=[lane | {"status": "diverged at step 1"} for lane in whole.lanes])
    assert choice.choices(lost) is None


def paper():
    return results_of(
        {1.0: mig(0.10, 0.20, reconstruction=(40.0, 41.0)), 4.0: mig(0.3, 0.9, reconstruction=(50.0, 1.0))},
        lost=(3,),
        objective="free_bits+50%_a|b",
    )


def test_markdown_has_a_row_for_each_setting():
    lines = typeset.settings_table(paper(), "markdown").splitlines()
    assert lines[:4] == [
        "| beta | seeds | MIG | Reconstruction ↓ |",
        "|---:|---:|---:|---:|",
        "| 1 | 2 | 0.150 ± 0.071 | 40.50 ± 0.71 |",
        "| 4 | 1 of 2 | 0.300 | 50.00 |",
    ]
    assert "over 2 seeds of each setting" in lines[-1] and "1 of 4 lanes did not finish" in lines[-1]
    alone = dataclasses.replace(paper(), lanes=paper().lanes[:2], swept=("seed",))
    assert r"| free_bits+50%_a\|b | 2 |" in typeset.settings_table(alone, "markdown")


def test_latex_is_escaped_and_compiles_where_there_is_a_latex(tmp_path):
    alone = dataclasses.replace(paper(), lanes=paper().lanes[:2], swept=("seed",))
    table = typeset.settings_table(alone, "latex")
    assert r"free\_bits+50\%\_a|b & 2 & 0.150 $\pm$ 0.071 & 40.50 $\pm$ 0.71 \\" in table
    assert table.index(r"\toprule") < table.index(r"\midrule") < table.index(r"\bottomrule")
    whole = typeset.settings_table(paper(), "latex")
    body = [line for line in whole.splitlines() if not line.startswith("%")]
    assert {line.count(" & ") for line in body if line.endswith(r"\\")} == {3}
    assert "1 of 4 lanes did not finish" in whole and r"\begin{tabular}{@{}rrrr@{}}" in whole
    if shutil.which("pdflatex") is None:
        return
    (tmp_path / "t.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{table}\end{{document}}", encoding="utf-8"
    )
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True)


@pytest.fixture
def written(tmp_path):
    """A page with a score figure, two traversals and reconstructions, as text."""
    names = ("reconstructions", "scores", "traversals_best", "traversals_worst")
    for name in names:
        (tmp_path / f"{name}.png").write_bytes(BLANK + name.encode())
    nothing = np.zeros(0)
    shows = [Showcase(title, lane, *[nothing] * 5) for title, lane in (("best", 2), ("worst", 0))]
    made = dataclasses.replace(chosen(), showcases=shows)
    path = write_report(made, tmp_path / "report.html", {name: tmp_path / f"{name}.png" for name in names})
    return path.read_text(encoding="utf-8")


def test_the_page_opens_with_what_to_take_away_then_scores_then_pictures(written):
    first = re.search(r'<div class="summary"><p>(.*?)</p>', written).group(1)
    assert first.startswith("MIG is highest for beta=2")
    order = [written.index(f'<section id="{n}"') for n in ("figure-scores", "choice", "lanes", "figure-traversals")]
    assert order == sorted(order)
    sections = re.findall(r'<section id="[^"]+">\n(<\w+ [^>]*>)', written)
    assert len(sections) > 5 and set(sections) == {'<details class="part" open>'}


def test_lanes_on_show_lead_to_their_pictures_and_every_picture_is_described(written):
    links = dict(re.findall(r'<a href="#(picture-[\w]+)" title="its pictures">(\d+)</a>', written))
    assert links == {"picture-traversals_best": "2", "picture-traversals_worst": "0"}
    assert all(f'id="{anchor}"' in written for anchor in links)
    described = re.findall(r'<img alt="([^"]*)"', written)
    caption = document.first_sentence(page.explained("traversals")[1])
    assert len(described) == 4 and any(alt == f"Traversals (best): {caption}" for alt in described)
    assert all(len(alt) > 30 for alt in described)
    assert document.first_sentence("Of 2.5 nats. And more.") == "Of 2.5 nats."


def test_a_large_chart_keeps_its_white_and_its_rare_marks_and_is_smaller():
    rng = np.random.default_rng(0)
    chart = np.full((900, 900, 3), 255, np.uint8)
    chart[300:800, 100:800] = rng.integers(200, 256, (500, 700, 3))  # many shades
    chart[10:13, 20:23] = (176, 0, 32)
    chart[500:, 850:] = 247
    png = io.BytesIO()
    Image.fromarray(chart).save(png, format="PNG")
    small = paletted(png.getvalue())
    back = np.asarray(Image.open(io.BytesIO(small)).convert("RGB")).astype(int)
    assert len(small) < 0.6 * len(png.getvalue()) and back.shape == chart.shape
    for row, column in ((0, 0), (11, 21), (700, 870)):
        np.testing.assert_array_equal(back[row, column], chart[row, column])
    assert np.abs(back - chart).max() <= 20
    assert paletted(BLANK) is BLANK
