"""A study of attributes as one call: what it finds, how it goes on, and what it refuses before anything long starts."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from jaxvae.data import from_arrays
from jaxvae.navigate import StudyError, load, study
from jaxvae.navigate.coders import BATCH
from jaxvae.navigate.study import _called
from jaxvae.saved import Model
from jaxvae.types import InputError
from tiny_navigation import NUM, QUICK, Halves, halves, halves_data, judge, model, quick_study


@pytest.fixture(scope="module")
def data():
    return halves_data()


def with_people(data, who):
    return dataclasses.replace(data, identities=np.asarray(who, np.int32))


def broken(seed=0):
    """A model that has diverged."""
    made = model(seed=seed)
    nothing = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), made.networks)
    return Model(made.program, nothing, made.about)


def same(one, other):
    """Whether two studies found the same, bit for bit."""
    fields = [field.name for field in dataclasses.fields(one) if field.name not in ("environment", "spec")]
    pairs = zip(*(jax.tree.leaves([getattr(each, name) for name in fields]) for each in (one, other)), strict=True)
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") if hasattr(a, "dtype") else a == b for a, b in pairs)


@pytest.fixture(scope="module")
def kept(data, tmp_path_factory):
    """A finished study in a folder, and what made it."""
    folder = tmp_path_factory.mktemp("studies") / "kept"
    models = {"plain": Halves(), "mixed": Halves("mixed", 0.5), "untrained": model()}
    return models, folder, quick_study(models, data, out=folder)


def test_a_study_finds_what_is_there(kept):
    found = kept[2]
    assert found.models == ("plain", "mixed", "untrained") and found.attributes == ("left", "right")
    assert found.alive[:2].tolist() == [[True, True, False]] * 2
    assert (found.boundaries.area[:2] > 0.99).all()
    # The fit is of 136 images: its normal is a few degrees off.
    assert (found.normals.selectivity.value[0] > 0.85).all() and found.normals.steerable[:2].all()
    assert (found.single.selectivity.value[0] > 0.95).all()
    assert (found.single.selectivity.value[1] < 0.75).all()
    assert (found.round_trip.drift.value[:2] < 0.5).all()
    assert found.shown.edits.shape == (3, 2, 3, 7, 8, 8, 1) and found.shown.latents.shape == (3, 3, 7, 8, 8, 1)
    assert found.spec["images_for_classifier"] == 0 and found.spec["scorer"] == "judge"
    assert found.spec["images_for_boundaries"] + found.spec["held_out_images"] == NUM


def test_where_codes_are_sheared_a_normal_moves_both_and_the_conditioned_one_its_own(kept):
    # What tells two sheared halves apart is not what moves one alone: that is at right angles to the other's normal.
    found = kept[2]
    assert (found.boundaries.area[1] > 0.99).all() and (found.boundaries.cosines[1, 0, 1] < -0.6).all()
    assert (found.normals.selectivity.value[1] < 0.7).all()
    assert (found.conditioned.cleanness.selectivity.value[1] > 0.85).all()
    assert (found.conditioned.gain.low[1] > 0.2).all() and (found.conditioned.left[1] < 0.8).all()


def test_the_same_call_finds_the_same(kept, data):
    models, _, found = kept
    assert same(quick_study(models, data), found)
    assert not same(quick_study(models, data, seed=1), found)


def test_the_same_call_goes_on_from_what_is_kept(kept, data):
    models, folder, found = kept
    before = models["plain"].calls
    assert same(quick_study(models, data, out=folder), found)
    assert models["plain"].calls - before <= BATCH + 1  # those at the door
    assert same(load(folder), found)
    for name in ("responses_8", "round_trip"):
        (folder / "parts" / f"{name}.npz").unlink()
    assert same(quick_study(models, data, out=folder), found)


def test_another_call_into_the_same_folder_is_refused(kept, data):
    models, folder, _ = kept
    for changed in ({"seed": 1}, {"steps": (1.0, 3.0)}, {"attributes": ["left"], "scorer": lambda i: judge(i)[:, :1]}):
        with pytest.raises(StudyError, match="another study"):
            quick_study(models, data, out=folder, **changed)
    with pytest.raises(StudyError, match="models differ"):
        quick_study(models | {"untrained": model(seed=1)}, data, out=folder)
    with pytest.raises(StudyError, match="pixels differ"):
        quick_study(models, halves_data(seed=1), out=folder)


def test_conditions_are_by_name_and_those_without_keep_their_normals(data):
    found = quick_study([Halves("mixed", 0.5)], data, conditions={"left": ["right"]})
    np.testing.assert_allclose(found.conditioned.left[0, 1], 1.0, atol=1e-5)
    assert found.conditioned.left[0, 0] < 1.0
    np.testing.assert_allclose(found.conditioned.gain.value[0, 1], 0.0, atol=1e-5)


def test_models_in_a_row_are_named_after_what_they_are(data):
    found = quick_study([model(), model(seed=1), Halves()], data)
    assert found.models == ("vae", "vae (2)", "model 3")


def test_a_judge_is_called_what_it_calls_itself():
    class Judge:
        pass

    assert [_called(each) for each in (judge, Judge(), functools.partial(judge))] == ["judge", "Judge", "partial"]


def test_held_out_images_may_be_given(data):
    found = quick_study([Halves()], data, held_out=halves_data(40, seed=5))
    assert found.spec["images_for_boundaries"] == NUM and found.spec["held_out_images"] == 40


IMAGES, LEVELS = halves()
BOTH = (LEVELS > 127).astype(int)
REFUSED = {
    "no labels": ({"data": from_arrays(IMAGES)}, "has no labels"),
    "a constant attribute": (
        {"data": from_arrays(IMAGES, labels=np.stack([BOTH[:, 0], 0 * BOTH[:, 0]], 1), factor_names=["a", "b"]),
         "attributes": ["b"]},
        "attribute 'b' is the same in all 160 images",
    ),
    "an unknown attribute": ({"attributes": ["lefd", "right"]}, "unknown attribute 'lefd'; did you mean 'left'"),
    "an unknown attribute to project out": ({"conditions": {"left": ["rihgt"]}}, "did you mean 'right'"),
    "no models": ({"models": []}, "no models"),
    "a model of other images": ({"models": [model(image_shape=(8, 8, 3))]}, "takes images 8x8x3, the data has 8x8x1"),
    "a model that is told labels": ({"models": [model("cvae+mlp", label_sizes=(2,))]}, "is told labels"),
    "a model that has diverged": ({"models": [Halves(), broken()]}, "it has diverged; leave it out"),
    "too few images": ({"data": halves_data(20)}, "need 5 with and 5 without each attribute"),
    "too few held out": ({"held_out": halves_data(8)}, "images that are held out need 5"),
    "held-out images of another shape": (
        {"held_out": from_arrays(np.zeros((30, 4, 4), np.uint8), labels=np.zeros(30, int))},
        "give images alike",
    ),
    "people who are on both sides": (
        {"data": with_people(halves_data(), np.arange(NUM) % 40),
         "held_out": with_people(halves_data(60, 1), 30 + np.arange(60))},
        "10 held-out images show people",
    ),
    "a judge of another shape": ({"scorer": lambda images: judge(images)[:, :1]}, r"returned \(64, 1\) .* \[B, 2\]"),
    "a judge of a mean": ({"scorer": lambda images: judge(images).mean(0)}, r"the scorer returned \(2,\)"),
    "a judge that says nothing": ({"scorer": lambda images: judge(images) * np.nan}, "not a number"),
    "a face alone": ({"faces": 1}, "faces must be a whole number from 2, got 1"),
    "half a face": ({"faces": 3.5}, "faces must be"),
    "no number": ({"bootstraps": float("nan")}, "bootstraps must be"),
    "one resample": ({"resamples": 1}, "resamples must be a whole number from 2"),
    "no steps of the classifier": ({"classifier_steps": 0}, "classifier_steps must be"),
    "a negative seed": ({"seed": -1}, "seed must be a whole number from 0"),
    "no steps": ({"steps": ()}, "steps must be numbers above 0 that ascend"),
    "steps that fall": ({"steps": (2.0, 1.0)}, "steps must be"),
    "a step of nothing": ({"steps": (0.0, 1.0)}, "steps must be"),
    "a step without end": ({"steps": (1.0, float("inf"))}, "steps must be"),
    "no target": ({"target": 0}, "target must be a number above 0"),
    "a target that is none": ({"target": float("nan")}, "target must be"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_studied_is_refused_in_one_line_before_anything_long_starts(kind, data, tmp_path):
    changed, words = REFUSED[kind]
    said, coder = [], Halves()
    given = QUICK | {"models": [coder], "data": data, "scorer": judge, "out": tmp_path / "out", "say": said.append}
    with pytest.raises(InputError, match=words) as caught:
        study(**given | changed)
    assert "\n" not in str(caught.value)
    assert not said and coder.calls <= BATCH + 1 and not (tmp_path / "out").exists()


def test_a_classifier_is_trained_where_no_judge_is_given(data, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxvae.navigate.classifier.CHUNK", 1)
    said = []
    options = QUICK | {"classifier_steps": 1, "mirror": False, "say": said.append, "out": tmp_path / "s"}
    who = with_people(data, np.arange(NUM) // 2)
    found = study([Halves()], who, **options)
    assert found.spec["images_for_classifier"] >= 2.5 * found.spec["images_for_boundaries"]
    assert found.environment["classifier"]["steps"] == 1 and "training a classifier" in said[0]
    again = study([Halves()], who, **options)
    assert same(found, again) and any("taken from" in line for line in said)


def test_edits_that_were_cut_off_go_on_where_they_were(data, tmp_path):
    asked = []

    def asking(images):
        asked.append(len(images))
        if len(asked) > 42:
            raise KeyboardInterrupt
        return judge(images)

    with pytest.raises(KeyboardInterrupt):
        quick_study({"plain": Halves()}, data, scorer=asking, out=tmp_path)
    assert (tmp_path / "parts" / "responses_0.npz").exists()
    finished = len(asked)
    asked.clear()
    quick_study({"plain": Halves()}, data, scorer=asking, out=tmp_path)
    assert len(asked) < finished
