"""The page of a study of attributes: complete, self-contained, escaped; its words claim no more than intervals."""

import csv
import dataclasses
import re

import numpy as np
import pytest

from jaxvae.data import from_arrays
from jaxvae.navigate import study
from jaxvae.navigate.scores import Interval
from jaxvae.report import write_navigation
from jaxvae.report.navigation import looks, reading
from jaxvae.report.navigation.findings import findings
from pages import Page

SIDE = 8
SCALE = np.array([0.45, 0.3, 0.2])


class Squares:
    """A coder of images whose three thirds are as bright as three numbers; mixed: latents are sums of them."""

    def __init__(self, latents: int, channels: int, mixed: bool = False):
        self.channels, self.latents = channels, latents
        self.mix = np.linalg.qr(np.random.default_rng(4).standard_normal((3, 3)))[0] if mixed else np.eye(3)

    def encode(self, images):
        images = np.asarray(images, np.float32)
        images = images / 255 if images.max() > 1 else images
        thirds = np.stack([part.mean((1, 2, 3)) for part in np.array_split(images, 3, axis=2)], axis=1)
        codes = np.zeros((len(images), self.latents), np.float32)
        codes[:, :3] = ((thirds - 0.5) / SCALE * 3) @ self.mix
        logvar = np.zeros_like(codes)
        logvar[:, :3] = -4.0
        return codes, logvar

    def decode(self, z):
        thirds = np.asarray(z)[:, :3] @ self.mix.T / 3 * SCALE + 0.5
        widths = [len(part) for part in np.array_split(np.arange(SIDE), 3)]
        row = np.repeat(np.clip(thirds, 0, 1), widths, axis=1)
        return np.broadcast_to(row[:, None, :, None], (len(row), SIDE, SIDE, self.channels)).astype(np.float32)


def score(images):
    """Score the brightness of each third, the first twice, with a little of its neighbour."""
    thirds = [part.mean((1, 2, 3)) for part in np.array_split(np.asarray(images), 3, axis=2)]
    return np.stack([thirds[0], thirds[1] + 0.2 * thirds[0], thirds[2]], axis=1) - 0.5


def blind(images):
    """Score what cannot be seen."""
    return np.random.default_rng(0).standard_normal((len(images), 3))


def made(models, channels=1, scorer=score, name="squares", attributes=("left_third", "middle_third", "right_third")):
    rng = np.random.default_rng(0)
    bright = rng.uniform(0.1, 0.9, (240, 3))
    images = np.round(Squares(3, channels).decode((bright - 0.5) / SCALE * 3) * 255).astype(np.uint8)
    labels = (bright + rng.normal(0, 0.05, bright.shape) > 0.5).astype(int)
    data = from_arrays(images, labels=labels, factor_names=attributes, name=name)
    return study(models, data, scorer=scorer, faces=12, bootstraps=30, resamples=2, say=lambda line: None)


@pytest.fixture(scope="module")
def two():
    """Two models of different width, in colour."""
    return made({"plain": Squares(3, 3), "mixed": Squares(5, 3, mixed=True)}, channels=3)


@pytest.fixture(scope="module")
def one():
    """One model of grey images, as a sequence: it has no name of its own."""
    return made([Squares(3, 1)])


@pytest.fixture(scope="module")
def untold():
    """A judge that sees nothing: no attribute is comparable."""
    return made({"plain": Squares(3, 1), "mixed": Squares(3, 1, mixed=True)}, scorer=blind)


@pytest.fixture(params=["two", "one", "untold"])
def results(request):
    return request.getfixturevalue(request.param)


def words_of(results):
    return " ".join(f"{about}. {text}" for about, text in findings(results))


def with_difference(results, *spans):
    """Return the study with other differences of mean selectivity to the first model, and none at smaller effects."""
    name = f"normals - {results.models[0]}"
    difference = Interval(*(np.array(part, np.float32) for part in zip((0, 0, 0), *spans, strict=True)))
    smaller = results.smaller._replace(comparable=np.zeros_like(results.smaller.comparable))
    return dataclasses.replace(results, means={**results.means, name: difference}, smaller=smaller)


def test_the_page_is_self_contained_and_complete(results, tmp_path, caplog):
    path = write_navigation(results, tmp_path / "out")
    assert path == tmp_path / "out" / "faces.html" and not caplog.records
    text = path.read_text()
    page = Page(text)
    assert page.fetched == [] and not re.search(r"https?://|@import|url\((?!data:)", text)
    figures = sorted((path.parent / "figures").iterdir())
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in figures)
    assert page.tags.count("img") == len(figures)
    for name in (*results.models, *map(reading.named, results.attributes), "squares"):
        assert name in page.text
    for _, sentence in findings(results):
        assert sentence in page.text
    assert ">nan<" not in text.lower() and "nan [" not in text.lower() and ">inf" not in text.lower()


def test_every_figure_says_what_it_shows(two, tmp_path):
    text = write_navigation(two, tmp_path).read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings[0] == "Images moved along attributes" and headings[-2:] == ["How it was made", "Where it ran"]
    drawn = re.findall(r'<section id="figure-\w+">(.*?)</section>', text, re.DOTALL)
    assert len(drawn) == 8
    assert all(re.search(r"<figcaption>.{200,}</figcaption>|class=.note.>.{200,}</p>", section) for section in drawn)


def test_one_model_is_not_drawn_as_a_lonely_dot(one, tmp_path):
    write_navigation(one, tmp_path)
    names = {file.stem for file in (tmp_path / "figures").iterdir()}
    assert "trade_off" not in names and {"selectivity", "matrices", "boundaries", "directions"} <= names


def test_the_table_has_a_row_for_each_attribute_of_each_model(results, tmp_path):
    write_navigation(results, tmp_path)
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    cases = [(model, attribute) for model in results.models for attribute in results.attributes]
    assert [(row["model"], row["attribute"]) for row in rows] == cases
    for kind in ("normal", "conditioned", "single"):
        for field in ("step", "selectivity", "gap", "leakage"):
            assert {f"{kind}_{field}{end}" for end in ("", "_low", "_high")} <= set(rows[0])
    for number, row in enumerate(rows):
        at = divmod(number, len(results.attributes))
        assert float(row["normal_selectivity"]) == pytest.approx(results.normals.selectivity.value[at], abs=1e-6)
        assert float(row["judge_rebuilt_area"]) == pytest.approx(results.judge.rebuilt_area[at], abs=1e-6)
        assert float(row["kl"]) == pytest.approx(results.kl[at[0]], rel=1e-5)


def test_what_users_write_is_escaped(one, tmp_path):
    wicked = dataclasses.replace(
        one,
        models=("<b>bold</b>",),
        attributes=("<script>alert(1)</script>", "a&b", "$title ${x}"),
        spec={**one.spec, "data": "<img src=http://evil>"},
        means={name.replace(one.models[0], "<b>bold</b>"): value for name, value in one.means.items()},
    )
    text = write_navigation(wicked, tmp_path).read_text()
    assert "<script>alert" not in text and "<b>bold" not in text and "<img src=http" not in text
    assert "&lt;b&gt;bold" in text and "$title ${x}" in text
    assert all("/" not in file.name and "<" not in file.name for file in (tmp_path / "figures").iterdir())


def test_a_difference_is_named_only_where_its_interval_leaves_out_0(two):
    assert "mixed is more selective than plain by 0.004 [0.001, 0.007]" in words_of(
        with_difference(two, (0.004, 0.001, 0.007))
    )
    assert "mixed is less selective than plain by 0.004 [0.001, 0.007]" in words_of(
        with_difference(two, (-0.004, -0.007, -0.001))
    )
    neither = words_of(with_difference(two, (0.004, -0.001, 0.007)))
    assert "No difference to plain was found for mixed (0.004 [−0.001, 0.007])" in neither
    assert "more selective than plain" not in neither and "less selective than plain" not in neither


def test_what_holds_at_every_effect_is_told_from_what_does_not(two):
    def at(low, high):
        spans = [np.stack([np.zeros(4), np.array(part, float)], axis=1) for part in (high, low, high)]
        four = two.smaller._replace(comparable=np.array([4, 3, 2, 0]), difference=Interval(*spans))
        return words_of(dataclasses.replace(two, smaller=four))

    every = at([0.1, 0.1, 0.1, -1.0], [0.2, 0.2, 0.2, 1.0])  # the last part of the target is reached by none
    assert "Matched at 0.25 sd (4 attributes), 0.5 sd (3 attributes) and 0.75 sd (2 attributes): " in every
    assert "mixed is more selective than plain at every one of them" in every
    assert "mixed is less selective than plain at every one of them" in at([-0.2] * 4, [-0.1] * 4)
    assert "mixed is less selective at 1 of them, elsewhere not told apart" in at([-0.2] * 4, [-0.1, 0.1, 0.1, 0.1])
    assert "mixed is more selective at some and less at others" in at([-0.2, 0.1, 0.1, 0.1], [-0.1, 0.2, 0.2, 0.2])
    assert "mixed is not told apart from plain at any" in at([-0.1] * 4, [0.1] * 4)


def test_nothing_comparable_is_said_and_not_compared(untold, tmp_path):
    assert not untold.comparable.any()
    said = words_of(untold)
    assert "There is nothing to compare by in 2 latent spaces" in said and "selective than" not in said
    assert "The judge cannot tell" in said and "nan" not in said
    write_navigation(untold, tmp_path)
    names = {file.stem for file in (tmp_path / "figures").iterdir()}
    assert not {"trade_off", "directions"} & names and "selectivity" in names


def test_a_single_latent_does_the_work_where_it_is_the_attribute(one):
    never = one.single._replace(steerable=np.zeros_like(one.single.steerable))
    assert "A single latent never does an attribute's work" in words_of(dataclasses.replace(one, single=never))
    # In the plain code a latent is a third, so it moves its third as the normal does; no interval can be apart.
    equal = dataclasses.replace(one, single=one.normals)
    said = words_of(equal)
    assert "no less selectively than the normal in 3 of 3 cases" in said and "In none are the intervals apart" in said
    high = one.normals.selectivity.high
    ahead = one.single._replace(
        steerable=np.ones_like(one.single.steerable),
        certainty=np.ones_like(one.single.certainty),
        selectivity=Interval(high + 0.1, high + 0.05, high + 0.2),
    )
    assert "The intervals are apart for" in words_of(dataclasses.replace(one, single=ahead))
    unsure = ahead._replace(certainty=np.full_like(ahead.certainty, 0.5))
    assert "In none are the intervals apart" in words_of(dataclasses.replace(one, single=unsure))


def test_what_is_out_of_reach_is_named(two):
    steerable = two.normals.steerable.copy()
    steerable[:, 0], steerable[1, 1] = False, False
    gap = two.normals.gap._replace(value=np.where(steerable, two.normals.gap.value, -np.inf))
    lost = dataclasses.replace(two, normals=two.normals._replace(steerable=steerable, gap=gap))
    said = words_of(lost)
    assert "No step tried moves left third by the target in any model" in said
    assert "Unsteerable in some: middle third (mixed)" in said


def test_networks_are_not_taken_for_methods(two):
    assert "Each model is one trained network" in words_of(two)
    seeds = dataclasses.replace(
        two,
        models=("VAE seed 0", "VAE seed 1"),
        means={name.replace("plain", "VAE seed 0"): value for name, value in two.means.items()},
    )
    assert "how far training by itself goes" in words_of(seeds)


def test_attributes_whose_labels_go_together_are_neighbours():
    group = np.array([0, 1, 2, 0, 1, 2, 0])
    correlations = np.where(group[:, None] == group, 0.8, -0.1) + 0.2 * np.eye(7)
    order = reading.neighbours(correlations)
    assert sorted(order) == list(range(7))
    assert (np.diff(group[order]) != 0).sum() == 2


def test_well_known_attributes_are_among_those_shown_first(two):
    names = (*(f"other_{n}" for n in range(12)), "Smiling", "Male")
    number = len(names)

    def wide(values):
        return np.tile(values[:, :1], (1, number))

    scores = two.normals._replace(
        selectivity=Interval(*map(wide, two.normals.selectivity)), steerable=wide(two.normals.steerable)
    )
    scores.selectivity.value[:, -2:] = 0.01
    judge = two.judge._replace(rebuilt_area=wide(two.judge.rebuilt_area))
    chosen = reading.featured(dataclasses.replace(two, attributes=names, normals=scores, judge=judge))
    assert len(chosen) == reading.MOST_FEATURED and {12, 13} == set(chosen[-2:])


def test_many_models_have_looks_of_their_own():
    assert len({(looks.colour(model), looks.marker(model)) for model in range(20)}) == 20
