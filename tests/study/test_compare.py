"""Several sweeps in one report: nothing is lost, mixed up or written to, and what cannot be compared is refused."""

import hashlib
import json
import shutil

import numpy as np
import pytest

import jaxvae
from jaxvae.evaluate.joined import join
from jaxvae.report import PLOTS, reading, terminal_table
from jaxvae.study import compare_command, comparing
from jaxvae.types import InputError
from jaxvae.workdir.tables import read_table
from tiny_sweep import run_in_process


def train(images, path, sweep, **settings):
    told = {"objective": "beta_vae", "architecture": "mlp", "latent_dim": 3, "batch_size": 8, "lanes": "map"}
    told |= {"steps": 8, "log_every": 4, "data_dir": str(images), "workdir": path, "sweep": sweep, "say": None}
    return jaxvae.train("npz", **told | settings).path


@pytest.fixture(scope="module")
def folders(images, tmp_path_factory, no_figures):
    """Two sweeps in folders of one name; one has UDR, the other another learning rate and a longer history."""
    root = tmp_path_factory.mktemp("sweeps")
    seeds = range(2)
    first = train(images, root / "a" / "run", {"beta": [1, 4], "seed": seeds}, metrics="mig,udr")
    second = train(images, root / "b" / "run", {"beta": [4], "seed": seeds}, metrics="mig", lr=2e-3, log_every=2)
    return first, second


@pytest.fixture
def copied(folders, tmp_path):
    """A copy of the second sweep whose run.json may be changed."""
    return shutil.copytree(folders[1], tmp_path / "copy")


def change(folder, change):
    run = json.loads((folder / "run.json").read_text())
    change(run["environment"])
    (folder / "run.json").write_text(json.dumps(run))


def files_of(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


def test_lanes_of_all_sweeps_stand_in_one_table_and_the_sweeps_are_only_read(folders, tmp_path, monkeypatch, capsys):
    before, written = [files_of(folder) for folder in folders], []
    write_all = comparing.report.write_all
    monkeypatch.setattr(comparing.report, "write_all", lambda *given: written.append(given[0]) or write_all(*given))
    assert compare_command.main([*map(str, folders), f"--out={tmp_path / 'both'}"]) == 0
    assert before == [files_of(folder) for folder in folders]

    rows, sources = read_table(tmp_path / "both" / "results.csv"), [read_table(f / "results.csv") for f in folders]
    assert [row["lane"] for row in rows] == list(range(6))
    assert [(row["sweep"], row["own_lane"]) for row in rows] == [
        *(("run", lane) for lane in range(4)),
        *(("run_2", lane) for lane in range(2)),
    ]
    for row, source in zip(rows, [*sources[0], *sources[1]], strict=True):
        assert {name: row[name] for name in source} | {"lane": source["lane"]} == source
    assert all((row["udr_lasso"] is None) == (row["sweep"] == "run_2") for row in rows)
    assert [row["lr"] for row in rows[-2:]] == [0.002, 0.002]

    joined = written[0]
    second = jaxvae.load_sweep(folders[1]).history
    for lane in range(2):
        own, there = joined.history["lane"] == 4 + lane, second["lane"] == lane
        np.testing.assert_array_equal(joined.history["loss"][own], second["loss"][there])
    assert {show.lane for show in joined.showcases} == {
        max(range(4), key=lambda lane: rows[lane]["mig"]),
        max((4, 5), key=lambda lane: rows[lane]["mig"]),
    }
    page = (tmp_path / "both" / "report.html").read_text()
    assert "2 sweeps compared (run, run_2) on npz" in page and str(folders[1].resolve()) in page
    assert "run_2" in capsys.readouterr().out


def test_figures_and_tables_tell_sweeps_apart(folders):
    parts = {name: jaxvae.load_sweep(folder).tabled() for name, folder in zip("ab", folders, strict=True)}
    both = join(parts, {"dataset": "npz"}, {})
    assert reading.families(both) == [("beta_vae", "mlp", "a"), ("beta_vae", "mlp", "b")]
    rows = [label.get_text() for label in PLOTS["method_comparison"](both).axes[0].get_yticklabels()]
    assert rows == ["a", "b"] and reading.family_kind(both) == "sweep"
    settings = [sorted(lane["own_lane"] for lane in group.lanes) for group in reading.groups(both)]
    assert settings == [[0, 1], [2, 3], [0, 1]]
    labels = {text.get_text() for legend in PLOTS["scores"](both).legends for text in legend.get_texts()}
    assert {label[0] for label in labels} == {"a", "b"}
    assert any("sweep" in line for line in terminal_table(both).splitlines()[:4])
    assert PLOTS["training_curves"](both) is not None
    alone = parts["a"]
    assert "sweep" not in alone.columns and reading.families(alone) == [("beta_vae", "mlp")]


def test_scores_of_other_images_or_by_another_version_are_refused(folders, copied, tmp_path):
    def other_images(environment):
        environment["scores"]["data"]["images"] = 31

    def other_version(environment):
        environment["scores"]["versions"] = {"0.0.1": ["mig"]}

    kept = (copied / "run.json").read_text()
    for changed, words in ((other_images, "on 32 images .* copy on 31 images"), (other_version, "mig .*0.0.1 in copy")):
        (copied / "run.json").write_text(kept)
        change(copied, changed)
        with pytest.raises(InputError, match=words):
            jaxvae.compare([folders[0], copied], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_sweep_that_does_not_say_what_it_was_scored_on_is_held_to_its_data_set(folders, copied, tmp_path):
    change(copied, lambda environment: environment.pop("scores"))
    said = []
    jaxvae.compare([folders[0], copied], tmp_path / "out", say=said.append)
    assert any("copy does not say which images it was scored on" in line for line in said)
    run = json.loads((copied / "run.json").read_text())
    run["data"]["checksum"] += 1
    (copied / "run.json").write_text(json.dumps(run))
    with pytest.raises(InputError, match="what they were scored on was not kept"):
        jaxvae.compare([folders[0], copied], tmp_path / "other")


def test_without_its_data_set_there_are_tables_and_no_pictures(folders, copied, tmp_path, images, monkeypatch):
    gone = tmp_path / "gone.npz"
    for folder in (copied, shutil.copytree(folders[0], tmp_path / "first")):
        spec = json.loads((folder / "spec.json").read_text())
        (folder / "spec.json").write_text(json.dumps(spec | {"data_dir": str(gone)}))
    said = []
    page = jaxvae.compare([copied, tmp_path / "first"], tmp_path / "out", say=said.append)
    assert any(line.startswith("no pictures:") and "gone.npz" in line for line in said)
    assert "no pictures:" in page.read_text() and len(read_table(tmp_path / "out" / "results.csv")) == 6


def test_a_comparison_is_replaced_and_nothing_else_is(folders, images, tmp_path):
    out, silent = tmp_path / "out", lambda line: None
    jaxvae.compare(folders, out, say=silent)
    (out / "figures").mkdir(exist_ok=True)
    (out / "figures" / "mine.png").write_text("mine")
    for _ in range(2):
        jaxvae.compare(folders[::-1], out, say=silent)
    assert (out / "figures" / "mine.png").exists()
    assert read_table(out / "results.csv")[0]["own_lane"] == 0 and len(read_table(out / "results.csv")[0]) > 5
    assert run_in_process(f"--workdir={out}", "--dataset=npz", f"--data_dir={images}", "--architecture=mlp") == 2

    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "today.txt").write_text("mine")
    for place, words in (
        (tmp_path / "diary", "no comparison"),
        (folders[0], "lies in the sweep"),
        (folders[1] / "inside", "lies in the sweep"),
    ):
        with pytest.raises(InputError, match=words):
            jaxvae.compare(folders, place, say=silent)
    assert [path.name for path in (tmp_path / "diary").iterdir()] == ["today.txt"]


def test_what_cannot_be_compared_gets_one_line(folders, copied, tmp_path, capsys):
    (copied / "results.csv").unlink()
    first, out = str(folders[0]), f"--out={tmp_path / 'out'}"
    for arguments, words in (
        ([first, str(folders[1])], "--out is missing"),
        ([first, out], "two sweeps or more"),
        ([first, first, out], "given twice"),
        ([first, str(copied), out], "has not been scored"),
        ([first, str(tmp_path), out], "does not hold a sweep"),
    ):
        assert compare_command.main(arguments) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1
    with pytest.raises(InputError, match="two sweeps or more"):
        jaxvae.compare(folders[0], tmp_path / "out")


def test_a_sweep_keeps_what_its_scores_were_taken_on(folders):
    kept = json.loads((folders[0] / "run.json").read_text())["environment"]
    assert kept["scores"]["data"] == json.loads((folders[0] / "run.json").read_text())["data"]
    assert kept["evaluated_on"] == "train split"
    ((version, names),) = kept["scores"]["versions"].items()
    assert version == jaxvae.__version__ and {"mig", "udr_lasso", "reconstruction"} <= set(names)


def test_the_best_model_of_a_sweep_and_its_table(folders):
    sweep = jaxvae.load_sweep(folders[0])
    said = []
    scores = {row["lane"]: row for row in sweep.results}
    assert sweep.best("mig", say=said.append).about["lane"] == max(scores, key=lambda lane: scores[lane]["mig"])
    least = min(scores, key=lambda lane: scores[lane]["reconstruction"])
    assert sweep.best("reconstruction").about["lane"] == least
    assert sweep.best("udr_lasso", say=said.append).encode(np.zeros((1, 8, 8, 1)))[0].shape == (1, 3)
    for call, words in (
        (lambda: sweep.best("irs"), "has not been computed"),
        (lambda: sweep.table("html"), "unknown format of a table"),
        (lambda: sweep.table("latex", scores="mog"), "did you mean 'mig'"),
    ):
        with pytest.raises(InputError, match=words):
            call()
    assert sweep.table() == sweep.table("text") and "elbo" in sweep.table()
    assert "| beta | seeds | MIG |" in sweep.table("markdown", scores=("mig",))
    assert r"\toprule" in sweep.table("latex") and "elbo" not in sweep.table(scores="mig")


def test_scores_of_other_images_are_known_for_what_they_are_once_they_are_written(folders, copied, tmp_path):
    sweep, whole = jaxvae.load_sweep(copied), jaxvae.load_sweep(folders[0])
    some = jaxvae.data.from_arrays(np.zeros((6, 8, 8), np.uint8))
    sweep.rescore("active_units", data=some, say=lambda line: None)
    for given in (sweep, copied):
        with pytest.raises(InputError, match=r"32 images .* 6 images"):
            jaxvae.compare([whole, given], tmp_path / "out")
        sweep.report(data=some)
    assert json.loads((copied / "run.json").read_text())["environment"]["evaluated_on"] == "images given to score on"
