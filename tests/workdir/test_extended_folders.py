"""A sweep that is extended: which lanes it has, what is refused, and what kills leave of the folder. Trains nothing."""

import contextlib
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from jaxvae.asked import extending, spec
from jaxvae.data.grid import assemble
from jaxvae.parallel.stopping import Interrupted
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import InputError
from jaxvae.workdir import claiming, records, recovery, tables, waves
from jaxvae.workdir.checkpoint import Checkpoints
from jaxvae.workdir.plan import Plan
from jaxvae.workdir.records import WorkdirError

SHAPE = (8, 8, 1)
AXES = ("beta=1,4", "seed=0:2")
DATA = assemble("noise", np.random.default_rng(0).integers(0, 256, (32, *SHAPE), np.uint8), annotation="none")


def asked(*sweep, **changed):
    given = {"architectures": ("mlp",), "latent_dim": 3, "batch_size": 8, "steps": 12, "log_every": 4} | changed
    return spec.Spec(sweep=tuple(map(spec.parse_axis, sweep)), **given)


OLD = asked(*AXES)
MORE = asked("beta=1,4", "seed=0:3")


def expanded(chosen):
    return spec.expand(chosen, SHAPE, len(DATA))


def after(old, *later):
    """Return what a sweep is after it has been extended to others in turn."""
    for chosen in later:
        old = extending.extended(old.to_json(), chosen)
    return old


def lanes(chosen):
    names = ("objective", "architecture", "beta", "seed")
    return [tuple(row.get(name) for name in names) for group in expanded(chosen) for row in group.rows()]


# Which lanes there are


def test_lanes_that_are_there_come_first_and_keep_their_numbers():
    before = lanes(OLD)
    assert lanes(after(OLD, dataclasses.replace(OLD, steps=24))) == before
    more = lanes(after(OLD, MORE))
    assert more[:4] == before and [lane[2:] for lane in more[4:]] == [(1, 2), (4, 2)]
    assert set(more) == set(lanes(MORE)) and len(more) == 6
    both = asked("beta_vae:beta=1,4,2", "seed=0:3", objectives=("vae", "beta_vae"), architectures=("conv", "mlp"))
    twice = after(OLD, MORE, both)
    assert lanes(twice)[:6] == more and set(lanes(twice)) == set(lanes(both))
    assert [group.generation for group in expanded(twice)] == [0, 1, 2, 2, 2, 2]
    keys = [group.key for group in expanded(twice)]
    assert keys[:2] == ["beta_vae_mlp", "beta_vae_mlp:4"] and len(set(keys)) == len(keys)
    numbers = [row["lane"] for group in expanded(twice) for row in group.rows()]
    assert numbers == list(range(len(numbers)))


def test_an_extended_sweep_is_written_down_and_read_again():
    twice = after(OLD, MORE, asked("beta=1,4", "seed=0:5"))
    saved = json.loads(json.dumps(twice.to_json()))
    assert spec.from_json(saved) == spec.from_json(twice.to_json()) == twice
    assert extending.extended(saved, asked("beta=1,4", "seed=0:5")) == twice
    assert spec.differences(saved, asked("beta=1,4", "seed=0:5")) == []


def test_other_words_for_the_same_lanes_are_the_same_sweep():
    twice = after(OLD, MORE)
    for words in (asked("seed=2,0,1", "beta=4,1"), asked("beta=1,4", "seed=0:2", "seed=0:3")):
        assert extending.extended(twice.to_json(), words) == twice and not extending.grows(twice.to_json(), words)
    assert extending.grows(twice.to_json(), dataclasses.replace(MORE, steps=13))


def test_more_is_said_of_what_is_there():
    both = extending.more(OLD, {"objectives": ("beta_vae", "vae")})
    assert [str(axis) for axis in both.sweep] == ["beta_vae:beta=1,4", "seed=0,1"]  # beta means nothing to a VAE
    assert extending.is_extension(OLD.to_json(), both)
    wider = extending.more(both, {"sweep": (spec.parse_axis("beta_vae:beta=1,2,4"), spec.parse_axis("lr=1e-4,1e-3"))})
    assert [axis.called for axis in wider.sweep] == ["beta_vae:beta", "seed", "lr"]
    alone = extending.more(wider, {"objectives": ("vae",)})
    assert [axis.called for axis in alone.sweep] == ["seed", "lr"]
    assert "objective beta_vae is left out" in extending.refusals(wider.to_json(), alone)
    with pytest.raises(InputError, match="say for which it is"):
        extending.more(both, {"sweep": (spec.parse_axis("beta=1,2,4"),)})


def test_what_never_was_is_no_sweep_that_was_extended():
    for earlier in (asked("beta=1,8"), asked(*AXES, objectives=("vae",)), asked("seed=0:9")):
        with pytest.raises(InputError, match=r"its spec\.json is damaged"):
            expanded(dataclasses.replace(MORE, extends=(earlier.generation,)))


def test_a_new_axis_holds_what_lanes_have():
    wider = after(OLD, asked(*AXES, "lr=1e-3,1e-4"))
    assert lanes(wider)[:4] == lanes(OLD) and len(lanes(wider)) == 8
    assert expanded(wider)[1].hypers["lr"].tolist() == [np.float32(1e-3)] * 4


REFUSED = {
    "fewer steps": (asked(*AXES, steps=8), "steps: 12 there, 8 now, which are fewer"),
    "a value": (asked("beta=1", "seed=0:3"), "beta=4 is left out of beta=1"),
    "seeds": (asked("beta=1,4", "seed=1:9"), "seed=0 is left out of seed=1,2,3,4,5,…"),
    "an axis": (asked("beta=1,4"), "seed=1 is left out of seed=0"),
    "a default": (asked(*AXES, "lr=1e-3,1e-2"), "lr=1e-04 is left out of lr=0.001,0.01"),
    "an objective": (asked("seed=0:2", objectives=("vae",)), "objective beta_vae is left out"),
    "an architecture": (asked(*AXES, architectures=("conv",)), "architecture mlp is left out"),
    "of one objective": (
        asked("beta_vae:beta=1", "seed=0:2", objectives=("vae", "beta_vae")),
        "beta_vae:beta=4 is left out of beta_vae:beta=1",
    ),
    "lr": (asked(*AXES, lr=1e-3), "lr: 0.0001 there, 0.001 now"),
    "batch_size": (asked(*AXES, batch_size=4), "batch_size: 8 there, 4 now"),
    "latent_dim": (asked(*AXES, latent_dim=4), "latent_dim: 3 there, 4 now"),
    "likelihood": (asked(*AXES, likelihood="gaussian"), "likelihood: 'bernoulli' there, 'gaussian' now"),
    "dataset": (asked(*AXES, dataset="mnist"), "dataset: 'mini_sprites' there, 'mnist' now"),
    "log_every": (asked(*AXES, log_every=2), "log_every: 4 there, 2 now"),
    "dtype": (asked(*AXES, dtype="bfloat16"), "dtype: 'float32' there, 'bfloat16' now"),
    "validation": (asked(*AXES, validation=0.5), "validation: 0.0 there, 0.5 now"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_lane_that_would_change_or_go_is_refused_by_name(case, path):
    chosen, words = REFUSED[case]
    assert extending.refusals(OLD.to_json(), chosen) == [words]
    before = contents(path)
    with pytest.raises(WorkdirError) as caught, claim(path, chosen, extend=True):
        pass
    assert words in str(caught.value) and "ask for all that is there and more" in str(caught.value)
    with pytest.raises(WorkdirError, match="holds another sweep") as caught, claim(path, chosen):
        pass
    assert "--extend" not in str(caught.value) and contents(path) == before


def test_a_refusal_without_the_flag_names_it(path):
    for chosen in (MORE, dataclasses.replace(OLD, steps=24), asked(*AXES, architectures=("mlp", "conv"))):
        with pytest.raises(WorkdirError, match="add --extend to train only what it lacks, choose"), claim(path, chosen):
            pass


def test_there_must_be_a_sweep_that_is_to_stay(path, tmp_path):
    with pytest.raises(WorkdirError, match="holds no sweep to extend"), claim(tmp_path / "none", extend=True):
        pass
    assert not (tmp_path / "none").exists()
    with pytest.raises(WorkdirError, match="--overwrite deletes it"), claim(path, MORE, extend=True, overwrite=True):
        pass
    with pytest.raises(WorkdirError, match="--noresume starts anew"), claim(path, MORE, extend=True, resume=False):
        pass


# The folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A sweep as training leaves it, two waves of two lanes, without the training."""
    path = tmp_path_factory.mktemp("runs") / "trained"
    path.mkdir()
    tables.write_json(path / "spec.json", OLD.to_json())
    begun = take_up(path)
    begun.choose(begun.waves[0].group, "map", 2)
    save(path, begun, begun.waves)
    return path


def save(path, plan, some, step=12):
    for wave in some:
        with contextlib.closing(Checkpoints(path / wave.directory, plan.label(wave), create=True)) as checkpoints:
            checkpoints.save(step, {"status": np.full(len(wave.lanes), -1, np.int32)}, {"seconds": 1.0})
            checkpoints.wait()


@pytest.fixture
def path(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != ".lock"}


def claim(path, chosen=OLD, **changed):
    return claiming.claim(path, chosen, **{"resume": None, "overwrite": False} | changed)


def take_up(path, said=None, **changed):
    groups = expanded(spec.from_json(records.read_spec(path)))
    return Plan.take_up(groups, DATA, path, [].append if said is None else said.append, **changed)


def spans(plan):
    return [(wave.group.key, wave.lanes.start, wave.lanes.stop) for wave in plan.waves]


def test_new_lanes_are_trained_in_waves_of_their_own(path):
    before = contents(path)
    with claim(path, MORE, extend=True) as there:
        assert there
        plan = take_up(path)
    assert spans(plan) == [("beta_vae_mlp", 0, 2), ("beta_vae_mlp", 2, 4), ("beta_vae_mlp:4", 4, 6)]
    old, new = plan.waves[0].group, plan.waves[2].group
    assert plan.mode(old) == "map" and plan.mode(new) is None and plan.mode_before(new) == "map"
    assert plan.mode_before(old) is None
    plan.choose(new, "vmap", 1)
    with claim(path, MORE):  # from now on that is the sweep
        plan = take_up(path)
        assert [wave.size for wave in plan.waves] == [2, 2, 1, 1]
        assert [plan.mode(wave.group) for wave in plan.waves] == ["map", "map", "vmap", "vmap"]
    kept = contents(path)
    assert {name for name in before if before[name] != kept[name]} == {"spec.json", "run.json"}
    assert json.loads(kept["run.json"])["modes"] == {"beta_vae_mlp": "map", "beta_vae_mlp:4": "vmap"}
    assert len(SavedSweep(path).lanes) == 6
    with pytest.raises(WorkdirError, match="holds another sweep"), claim(path, OLD):
        pass


def test_a_run_json_that_is_lost_is_made_again_from_the_checkpoints(path):
    with claim(path, MORE, extend=True):
        plan = take_up(path)
        plan.choose(plan.waves[2].group, "vmap", 1)
        save(path, plan, plan.waves[2:3])  # one of two
        expected, modes = spans(plan), json.loads((path / "run.json").read_text())["modes"]
    for content in ("null", None, (path / "run.json").read_text().replace('"lane": 4', '"lane": 5')):
        (path / "run.json").unlink() if content is None else (path / "run.json").write_text(content)
        said = []
        assert spans(take_up(path, said)) == expected and "taken from the checkpoints" in said[0]
        assert json.loads((path / "run.json").read_text())["modes"] == modes
    # One from before it was extended, which somebody has put back.
    notes = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(notes | {"waves": notes["waves"][:2]}))
    assert "does not list lane 4, of which there are checkpoints" in recovery.notes(path)[1]
    assert spans(take_up(path)) == expected


def test_part_of_a_generation_is_damage(path):
    with claim(path, MORE, extend=True):
        plan = take_up(path)
        plan.choose(plan.waves[2].group, "map", 1)
    notes = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(notes | {"waves": notes["waves"][:3]}))
    with pytest.raises(WorkdirError, match="lists 5 of the 6 lanes"):
        take_up(path)


def test_leftovers_of_new_waves_go_and_others_stay(path):
    with claim(path, MORE, extend=True):
        plan = take_up(path)
        plan.choose(plan.waves[2].group, "map", 2)
        save(path, plan, plan.waves[2:])
        plan.halve(2)
        assert spans(plan)[2:] == [("beta_vae_mlp:4", 4, 5), ("beta_vae_mlp:4", 5, 6)]
        assert sorted(waves.folders(path).values(), key=lambda span: span.start) == [wave.lanes for wave in plan.waves]


class Killed(BaseException):
    """Stands for SIGKILL."""


def dying_after(left_to_do, function):
    def dying(*arguments, **options):
        left_to_do[0] -= 1
        if left_to_do[0] < 0:
            raise Killed
        return function(*arguments, **options)

    return dying


def test_a_kill_while_a_sweep_is_extended_leaves_one_or_the_other(trained, tmp_path, monkeypatch):
    longer = dataclasses.replace(MORE, steps=24)
    whole, moment, killed, seen = contents(trained), 0, True, set()
    while killed:
        path = shutil.copytree(trained, tmp_path / str(moment))
        with monkeypatch.context() as patch:
            left_to_do = [moment]
            for name in ("replace", "rename", "mkdir", "rmdir", "fsync"):
                patch.setattr(os, name, dying_after(left_to_do, getattr(os, name)))
            try:
                with claim(path, longer, extend=True):
                    plan = take_up(path)
                    plan.choose(plan.waves[2].group, "map", 2)
                    killed = False
            except Killed:
                killed = True
        # What is there can be gone on with: by its own command, and by the one that was killed.
        left, opened = contents(path), SavedSweep(path)
        extended = json.loads(left["spec.json"])["steps"] == 24
        seen.add((extended, len(opened.lanes)))
        assert {name: left[name] for name in whole if name.startswith("checkpoints")} == {
            name: whole[name] for name in whole if name.startswith("checkpoints")
        }
        again = shutil.copytree(path, tmp_path / f"{moment}_again")
        with claim(path, longer if extended else OLD) as there:
            assert there and len(take_up(path).waves) == (3 if extended else 2)
        with claim(again, longer, extend=True) as there:
            assert there and len(take_up(again).waves) == 3
        moment += 1
    assert seen == {(False, 4), (True, 4), (True, 6)}


def test_an_extension_that_cannot_begin_leaves_the_sweep_as_it_was(path):
    before = contents(path)
    with pytest.raises(InputError, match="too large"), claim(path, MORE, extend=True):
        take_up(path)
        raise InputError("too large")
    assert contents(path) == before
    with pytest.raises(Interrupted), claim(path, MORE, extend=True):
        take_up(path)
        raise Interrupted(2)
    assert len(SavedSweep(path).lanes) == 6
    with pytest.raises(InputError, match="disk"), claim(path, dataclasses.replace(MORE, steps=24), extend=True):
        plan = take_up(path)
        save(path, plan, plan.waves[:1], 16)
        raise InputError("disk")
    assert records.read_spec(path)["steps"] == 24  # something has been trained


def test_spec_json_of_a_stranger(path):
    saved = OLD.to_json()
    for extends in (None, [1], [{}], [{"objectives": [], "architectures": ["mlp"], "sweep": []}], ["beta=1"]):
        (path / "spec.json").write_text(json.dumps(saved | {"extends": extends}))
        with pytest.raises(WorkdirError, match=r"spec\.json is not that of a sweep"):
            records.read_spec(path)
