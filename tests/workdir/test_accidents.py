"""What lies in a workdir after kills, by mistake or from a stranger: said in one line, rebuilt, or left alone."""

import contextlib
import json
import os
import pathlib
import shutil
import sys
import tarfile
import types

import numpy as np
import pytest

from jaxvae.asked import spec
from jaxvae.data.grid import assemble
from jaxvae.parallel.stopping import Interrupted
from jaxvae.saved.sweep import SavedSweep
from jaxvae.training import history
from jaxvae.types import InputError
from jaxvae.workdir import checkpoint, claiming, plan, records, recovery, tables, waves
from jaxvae.workdir.checkpoint import Checkpoints
from jaxvae.workdir.plan import Plan
from jaxvae.workdir.records import WorkdirError

SHAPE, STEPS, LANES = (6, 6, 1), (8, 12), 4
CHOSEN = spec.Spec(
    architectures=("mlp",), latent_dim=3, batch_size=8, steps=12, log_every=4, sweep=(spec.parse_axis("seed=0:4"),)
)
DATA = assemble("noise", np.random.default_rng(0).integers(0, 256, (32, *SHAPE), np.uint8), annotation="none")


def groups():
    return spec.expand(CHOSEN, SHAPE, len(DATA))


def take_up(path, said=None, **changed):
    said = [] if said is None else said
    return Plan.take_up(groups(), DATA, path, said.append, **{"go_back": False} | changed)


def as_json(taken):
    return [wave.to_json() for wave in taken.waves]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A sweep as training leaves it, two waves of two lanes, without the training."""
    path = tmp_path_factory.mktemp("runs") / "trained"
    path.mkdir()
    tables.write_json(path / "spec.json", CHOSEN.to_json())
    begun = take_up(path)
    begun.choose(begun.waves[0].group, "map", 2)
    table = tables.Table(path / "history.csv", ["lane", "step", "loss"])
    table.rewrite([{"lane": n, "step": s, "loss": 1.5} for s in (4, 8, 12) for n in range(LANES)])
    for wave in begun.waves:
        with contextlib.closing(Checkpoints(path / wave.directory, begun.label(wave), create=True)) as checkpoints:
            for step in STEPS:
                state = {"params": {"vae": {"model": {"w": np.full((2, 300), step + wave.start, np.float32)}}}}
                state |= {"status": np.full(2, -1, np.int32)}
                checkpoints.save(step, state, {"lanes": 2, "seconds": step / 4})
                checkpoints.wait()
    return path


@pytest.fixture
def path(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A finished sweep of version 0.1."""
    path = tmp_path_factory.mktemp("old")
    with tarfile.open(pathlib.Path(__file__).parents[1] / "saved" / "sweep_of_0_1.tar.xz") as archive:
        archive.extractall(path, filter="data")
    return path


def claim(path, chosen=CHOSEN, **changed):
    return claiming.claim(path, chosen, **{"resume": None, "overwrite": False} | changed)


def first(path, step=12):
    return path / "checkpoints" / "beta_vae_mlp" / "lanes_00000-00001" / str(step)


def refused(function, *arguments, words="."):
    with pytest.raises(InputError, match=words) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# spec.json and run.json


def test_the_schema_knows_every_field_of_a_spec():
    assert set(records.FIELDS) == set(spec.Spec().to_json())


NO_FILE = ("", "[]", "null", "3", "{}", "{", '"text"', "\0\0\0", "[" * 100_000, "\xff", "1" * 5000, '{"steps": NaN}')


def test_a_spec_that_is_none_is_refused_in_one_line(path):
    file = path / "spec.json"
    saved = json.loads(file.read_text())
    lacking = [json.dumps({n: v for n, v in saved.items() if n != name}) for name in ("steps", "objectives", "sweep")]
    changed = (
        *(
            {"steps": "12"},
            {"steps": True},
            {"objectives": []},
            {"objectives": "vae"},
            {"sweep": [1]},
            {"sizes": {"a": 1.5}},
        ),
        *({"lr": None}, {"a_later_field": 1}, {"max_lanes": "many"}, {"metrics": 3}),
    )
    for content in (*NO_FILE, *lacking, *(json.dumps(saved | one) for one in changed)):
        file.write_text(content, encoding="latin-1")
        message = refused(records.read_spec, path, words=r"spec\.json (cannot be read|is not that of a sweep)")
        assert len(message) < 600
        refused(SavedSweep, path)
        with pytest.raises(WorkdirError), claim(path):
            pass
    assert "a_later_field" in refused(json_changed, file, saved, {"a_later_field": 1}, words="update jaxvae")


def json_changed(file, saved, change):
    file.write_text(json.dumps(saved | change))
    return records.read_spec(file.parent)


def test_a_run_json_that_is_damaged_is_taken_from_the_checkpoints(path):
    file, whole = path / "run.json", take_up(path)
    notes = json.loads(file.read_text())
    both, wave = notes["waves"], notes["waves"][0]
    odd = (
        {"waves": [wave]},
        {"waves": [both[1]]},
        {"waves": [wave, wave]},
        {"waves": both[::-1]},
        {"waves": [wave | {"size": 0}, both[1]]},
        {"waves": [wave | {"size": 1}, both[1]]},
        {"waves": [wave | {"directory": "checkpoints/../../elsewhere"}, both[1]]},
        {"waves": [wave | {"directory": "/tmp"}, both[1]]},
        {"waves": [wave | {"lanes": []}, both[1]]},
        {"waves": [wave | {"program": {}}, both[1]]},
        {"modes": {"beta_vae_mlp": "sideways"}},
        {"modes": []},
        {"data": None},
    )
    for content in (None, *NO_FILE[:5], *(json.dumps(notes | one) for one in odd)):
        file.unlink() if content is None else file.write_text(content, encoding="latin-1")
        assert SavedSweep(path).lanes == [lane for wave in both for lane in wave["lanes"]]
        said = []
        again = take_up(path, said)
        assert as_json(again) == as_json(whole) and again.mode(groups()[0]) == "map"
        assert len(said) == 1 and "run.json" in said[0] and "taken from the checkpoints" in said[0]
        assert json.loads(file.read_text())["waves"] == both and len(waves.folders(path)) == 2


def test_lanes_that_were_never_saved_are_cut_anew(path):
    whole = take_up(path)
    shutil.rmtree(path / whole.waves[0].directory)
    (path / "run.json").write_text("null")
    refused(SavedSweep, path, words="which do not tell of all lanes")
    assert as_json(take_up(path)) == as_json(whole)


def test_a_run_json_that_nothing_can_replace_is_refused(old, tmp_path):
    path = shutil.copytree(old, tmp_path / "run")
    assert len(SavedSweep(path).lanes) == 1
    for content in NO_FILE:
        (path / "run.json").write_text(content, encoding="latin-1")
        refused(SavedSweep, path, words=r"run\.json (cannot be read|is not that of a sweep)")
    (path / "run.json").unlink()
    refused(SavedSweep, path, words=r"run\.json is missing")


def test_a_run_json_of_other_lanes_than_the_spec_is_refused(path):
    fewer = spec.expand(spec.Spec(**vars(CHOSEN) | {"sweep": (spec.parse_axis("seed=0:3"),)}), SHAPE, len(DATA))
    other = spec.expand(spec.Spec(**vars(CHOSEN) | {"lr": 0.5}), SHAPE, len(DATA))
    for chosen in (fewer, other):
        with pytest.raises(WorkdirError, match=r"run\.json is damaged or another sweep's"):
            Plan.take_up(chosen, DATA, path, print, go_back=False)
    assert len(waves.folders(path)) == 2


def test_damaged_tables_cost_no_model(path, caplog):
    head = "lane,objective,architecture,step,status,mig"
    results = [head, *(f"{n},beta_vae,mlp,12,{'diverged at step 7' if n else 'ok'},0.5" for n in range(LANES))]
    (path / "results.csv").write_text("\n".join(results) + "\n")
    assert len(SavedSweep(path).results) == LANES and not caplog.records
    rows = (path / "history.csv").read_text().splitlines()
    (path / "history.csv").write_text("\n".join(rows[:5]) + "\n")  # of the first step alone
    assert len(SavedSweep(path).history["step"]) == 4
    assert "5 rows are gone from history.csv (lanes 0 to 3, steps 8 to 12)" in caplog.text
    for content in (
        "",
        "\0" * 99,
        "\n".join(results[:3]) + "\n",
        "lane\n0\n",
        "lane,status\n0,\rok\n",
        "\n".join([results[0], *results]) + "\n",
    ):
        (path / "results.csv").write_bytes(content.encode())
        (path / "history.csv").write_bytes(content.encode())
        caplog.clear()
        sweep = SavedSweep(path)
        assert sweep.results == [] and sweep.history == {}
        assert "results.csv is damaged" in caplog.text and "history.csv" in caplog.text
        assert sweep.wave(1)[1][0]["lane"] == 2


# Checkpoints


def rewritten(path, **changed):
    file = path / "counters" / "metadata"
    file.write_text(json.dumps({n: v for n, v in (json.loads(file.read_text()) | changed).items() if v is not None}))


def test_a_checkpoint_is_held_to_what_it_says(path):
    whole = take_up(path)
    wave, copy = whole.waves[0], path.parent / "copy"

    def opened():
        with contextlib.closing(Checkpoints(path / wave.directory, whole.label(wave))) as checkpoints:
            return checkpoints.restore(checkpoints.latest())

    assert opened()[1]["step"] == 12
    shutil.copytree(path / wave.directory, copy)
    first(path).rename(first(path, 40))
    assert "takes 32 steps anew" in refused(opened, words="it says that it is of step 12: somebody has renamed it")
    first(path, 40).rename(first(path))
    unsealed = {"checksum": None, "label": None}
    for change, words in (
        ({"lanes": 1}, "counters do not match"),
        ({"seconds": 0.1}, "counters do not match"),
        ({"checksum": None}, "lacks 'checksum'"),
        ({"seconds": None}, "lacks 'seconds'"),
        ({"step": "12"}, "step is '12'"),
        # As earlier versions wrote them, or somebody who knows how to.
        ({"lanes": 1} | unsealed, "says that it holds 1 lanes, and 2 belong there"),
        ({"lanes": 3} | unsealed, "says that it holds 3 lanes, and 2 belong there"),
        ({"seconds": -1} | unsealed, "seconds from 0"),
    ):
        rewritten(first(path), **change)
        refused(opened, words=words)
        shutil.rmtree(path / wave.directory)
        shutil.copytree(copy, path / wave.directory)
    rewritten(first(path), **unsealed)
    assert opened()[1]["seconds"] == 3.0  # one of an earlier version
    shutil.rmtree(path / wave.directory)
    shutil.copytree(path / whole.waves[1].directory, path / wave.directory)
    refused(opened, words="it says that it is of checkpoints/beta_vae_mlp/lanes_00002-00003")
    refused(SavedSweep(path).wave, 0, words="it says that it is of")
    whole._notes["data"] = whole._notes["data"] | {"checksum": 1}
    shutil.rmtree(path / wave.directory)
    shutil.copytree(copy, path / wave.directory)
    refused(opened, words="with other lanes, programs or data")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_last_good_checkpoint_is_gone_back_to(path):
    (max(first(path).rglob("d/*"), key=lambda p: p.stat().st_size)).write_bytes(b"")
    table = tables.Table(path / "history.csv", ["lane", "step", "loss"])
    words = "--resume_from=last_good goes on from step 8 and takes 4 steps anew"
    refused(history.cut_back, table, take_up(path), path, CHOSEN, print, words=words)
    said = []
    again = take_up(path, said, go_back=True)
    assert len(said) == 1 and "lanes 0 to 1" in said[0] and "going on from step 8, 4 steps are taken anew" in said[0]
    with contextlib.closing(Checkpoints(path / again.waves[0].directory, again.label(again.waves[0]))) as checkpoints:
        assert checkpoints.latest() == 8
    assert (first(path).parent.with_name("damaged_lanes_00000-00001_step_12") / "counters").exists()
    assert len(waves.folders(path)) == 2
    for victim in first(path, 8).rglob("d/*"):
        victim.write_bytes(b"")
    refused(
        lambda: take_up(path, go_back=True), words="none is before it: bring it back, or start anew with --overwrite"
    )
    assert first(path, 8).exists()


def test_late_reads_of_a_damaged_checkpoint_are_not_told():
    told = []
    hook = checkpoint._without_late_reads(told.append)
    for error in (RuntimeError("Event loop is closed"), RuntimeError("another"), ValueError("Event loop is closed")):
        hook(types.SimpleNamespace(exc_value=error))
    assert len(told) == 2
    assert sys.unraisablehook is not sys.__unraisablehook__


def test_seconds_are_those_of_the_checkpoints(path):
    notes = records.read_run(path)
    assert list(plan.trained_seconds(notes, path).values()) == [3.0, 3.0]


def test_rows_that_are_gone_are_said_when_the_sweep_goes_on(path):
    table, said = tables.Table(path / "history.csv", ["lane", "step", "loss"]), []
    before = (path / "history.csv").read_text()
    history.cut_back(table, take_up(path), path, CHOSEN, said.append)
    assert not said and (path / "history.csv").read_text() == before
    (path / "history.csv").write_text(before + "0,16,1.5\n7,4,1.5\n" + "0,12,")
    history.cut_back(table, take_up(path), path, CHOSEN, said.append)
    assert not said and (path / "history.csv").read_text() == before  # what no checkpoint knows
    (path / "history.csv").write_bytes(b"")
    history.cut_back(table, take_up(path), path, CHOSEN, said.append)
    assert said[0].startswith("history.csv is empty: 12 rows are gone from history.csv (lanes 0 to 3, steps 4 to 12)")
    assert (path / "history.csv").read_text() == "lane,step,loss\n"


# Somebody else's folder


def test_leftovers_are_what_this_version_wrote_and_no_links(path):
    whole, group = take_up(path), path / "checkpoints" / "beta_vae_mlp"
    outside = path.parent / "outside"
    (outside / "lanes_00000-00003").mkdir(parents=True)
    (outside / "lanes_00000-00003" / "thesis.tex").write_text("years")
    (path / "checkpoints" / "vae_mlp").symlink_to(outside)
    (group / "lanes_00000-00003").symlink_to(outside / "lanes_00000-00003")
    for name in ("lanes_00007-00008", "lanes_mine", "lanes_00000-00002"):
        (group / name / "1").mkdir(parents=True)
        (group / name / "1" / "mine").write_text("")
    wide = waves.Wave(groups()[0], 0, 4, 4)
    aside = shutil.copytree(path / whole.waves[0].directory, group / "lanes_00000-00003x")
    (group / "lanes_00000-00003").unlink()
    aside.rename(path / wide.directory)
    waves.remove_leftovers(whole.waves, path)
    assert (path / wide.directory).exists()  # it says that it is another wave's
    shutil.rmtree(path / wide.directory)
    with contextlib.closing(Checkpoints(path / wide.directory, whole.label(wide), create=True)) as checkpoints:
        checkpoints.save(8, {"status": np.full(4, -1, np.int32)}, {"lanes": 4, "seconds": 1.0})
    waves.remove_leftovers(whole.waves, path)
    assert not (path / wide.directory).exists() and (outside / "lanes_00000-00003" / "thesis.tex").exists()
    assert sorted(p.name for p in group.glob("lanes_*")) == [
        *("lanes_00000-00001", "lanes_00000-00002", "lanes_00002-00003", "lanes_00007-00008", "lanes_mine")
    ]


LANES_0_1 = "checkpoints/beta_vae_mlp/lanes_00000-00001"


@pytest.mark.parametrize("name", ["history.csv", "figures", "checkpoints/beta_vae_mlp", LANES_0_1, f"{LANES_0_1}/12"])
def test_a_sweep_does_not_go_on_through_links(path, name):
    outside = path.parent / "outside"
    if (path / name).exists():
        (path / name).rename(outside)
    (path / name).symlink_to(outside)
    with pytest.raises(WorkdirError, match="is a link"), claim(path):
        pass
    with claim(path, overwrite=True):
        pass
    assert outside.exists() == (name != "figures") and not (path / name).is_symlink()


def test_a_lock_is_no_link(tmp_path):
    (tmp_path / ".lock").symlink_to(tmp_path.parent / "made")
    with pytest.raises(WorkdirError, match="cannot be written to"), claim(tmp_path):
        pass
    assert not (tmp_path.parent / "made").exists()


# Beginning and replacing


class Killed(BaseException):
    """Stands for SIGKILL."""


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != ".lock"}


def dying_after(left_to_do, function):
    def dying(*arguments, **options):
        left_to_do[0] -= 1
        if left_to_do[0] < 0:
            raise Killed
        return function(*arguments, **options)

    return dying


def test_a_kill_while_a_sweep_is_replaced_leaves_one_or_the_other(tmp_path, monkeypatch):
    trained = tmp_path / "trained"
    (trained / "checkpoints" / "beta_vae_mlp" / "lanes_00000-00003" / "12").mkdir(parents=True)
    (trained / "checkpoints" / "beta_vae_mlp" / "lanes_00000-00003" / "12" / "weights").write_text("hours")
    tables.write_json(trained / "spec.json", CHOSEN.to_json())
    for name in ("run.json", "history.csv", "results.csv"):
        (trained / name).write_text(name)
    whole, moment, killed = contents(trained), 0, True
    while killed:
        path = shutil.copytree(trained, tmp_path / str(moment))
        (path / "notes.txt").write_text("mine")
        with monkeypatch.context() as patch:
            left_to_do = [moment]
            for name in ("replace", "rename", "mkdir", "rmdir"):
                patch.setattr(os, name, dying_after(left_to_do, getattr(os, name)))
            try:
                with claim(path, overwrite=True):
                    killed = False
            except Killed:
                killed = True
        again = shutil.copytree(path, tmp_path / f"{moment}_again")
        with claim(again, overwrite=True) as there:  # the same command
            assert not there
        assert sorted(contents(again)) == ["notes.txt", "spec.json"]
        with claim(path):  # and one that does not ask for it
            pass
        left = contents(path)
        del left["notes.txt"]
        assert left in (whole, {"spec.json": whole["spec.json"]}), (moment, sorted(left))
        moment += 1
    assert moment > 6


def test_what_is_refused_before_anything_is_saved_leaves_all_as_it_was(trained, tmp_path):
    other = spec.Spec(**vars(CHOSEN) | {"lr": 0.5})
    with pytest.raises(InputError, match="too large"), claim(tmp_path / "deep" / "run"):
        raise InputError("too large")
    with pytest.raises(WorkdirError, match="no sweep to continue"), claim(tmp_path / "deep" / "run", resume=True):
        pass
    assert not list(tmp_path.iterdir())
    path = shutil.copytree(trained, tmp_path / "run")
    before = contents(path)
    with pytest.raises(InputError, match="too large"), claim(path, other, overwrite=True):
        assert sorted(p.name for p in path.iterdir() if p.name in claiming.OWNED) == ["spec.json"]
        raise InputError("too large")
    assert contents(path) == before and sorted(p.name for p in path.iterdir()) == sorted(
        [".lock", "checkpoints", "history.csv", "run.json", "spec.json"]
    )
    with pytest.raises(InputError, match="disk"), claim(path):
        raise InputError("disk")
    assert contents(path) == before
    with pytest.raises(WorkdirError, match="holds another sweep"), claim(path, other):
        pass


def test_where_nothing_was_saved_another_sweep_may_begin(tmp_path):
    with pytest.raises(Interrupted), claim(tmp_path / "run"):
        raise Interrupted(2)
    other = spec.Spec(**vars(CHOSEN) | {"lr": 0.5})
    with pytest.raises(WorkdirError, match="holds another sweep"), claim(tmp_path / "run", other, resume=True):
        pass
    with claim(tmp_path / "run", other) as there:
        assert not there
    assert json.loads((tmp_path / "run" / "spec.json").read_text())["lr"] == 0.5
    (tmp_path / "run" / "results.csv").write_text("lane\n")
    with pytest.raises(WorkdirError, match="holds another sweep"), claim(tmp_path / "run"):
        pass


def test_what_kills_left_half_written_goes_when_the_sweep_goes_on(path):
    (path / "figures").mkdir()
    for folder in (path, path / "figures"):
        (folder / ".jaxvae-0123456789abcdef.tmp").write_text("half")
        (folder / ".notes.tmp").write_text("mine")
    with claim(path) as there:
        assert there
    assert not list(path.rglob(".jaxvae-*")) and len(list(path.rglob(".notes.tmp"))) == 2


def test_recovery_takes_the_wave_that_was_trained_longest(path):
    whole = take_up(path)
    wide = waves.Wave(groups()[0], 0, 4, 4)
    with contextlib.closing(Checkpoints(path / wide.directory, whole.label(wide), create=True)) as checkpoints:
        checkpoints.save(8, {"status": np.full(4, -1, np.int32)}, {"lanes": 4, "seconds": 1.0})
    found = recovery.from_checkpoints(path)
    assert [wave["directory"] for wave in found["waves"]] == [wave.directory for wave in whole.waves]
