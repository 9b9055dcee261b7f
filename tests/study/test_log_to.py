"""A sweep that is watched: what loggers get is what the folder has, and the folder is as without them."""

import json
import pathlib
import struct

import numpy as np
import pytest

import jaxvae
from jaxvae.asked.spec import Spec
from jaxvae.loggers import LOGGERS
from jaxvae.study import watching
from jaxvae.training import loop
from jaxvae.types import InputError
from jaxvae.workdir import logged
from read_events import scalars
from tiny_sweep import run_in_process

pytestmark = pytest.mark.usefixtures("no_figures")

FACTORS = np.array([(y, x) for y in range(4) for x in range(4)])
IMAGES = np.zeros((16, 8, 8), np.uint8)
for _image, (_y, _x) in zip(IMAGES, FACTORS, strict=True):
    _image[2 * _y : 2 * _y + 2, 2 * _x : 2 * _x + 2] = 250
SMALL = {"architecture": "mlp", "lanes": "map", "latent_dim": 3, "batch_size": 8, "lr": 1e-3, "save_seconds": 0.0}
SMALL |= {"steps": 16, "log_every": 4, "eval_every": 8, "metrics": ("mig",), "sweep": {"beta": [1, 4]}}


def train(path, said=None, **changed):
    say = None if said is None else said.append
    return jaxvae.train(IMAGES, factors=FACTORS, workdir=path, say=say, **SMALL | changed)


def rows_of(path):
    """Return {lane: rows} of a history.csv."""
    columns = logged.as_columns(logged.read(path / "history.csv"))
    rows = [dict(zip(columns, map(float, values), strict=True)) for values in zip(*columns.values(), strict=True)]
    rows = [{name: value for name, value in row.items() if value == value} for row in rows]
    return {lane: [row for row in rows if row["lane"] == lane] for lane in (0, 1)}


def jsonl_of(path):
    files = sorted((path / "logs" / "jsonl").glob("*/history.jsonl"))
    assert [file.parent.name for file in files] == ["lane_00000_beta=1", "lane_00001_beta=4"]
    return {
        lane: [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for lane, file in enumerate(files)
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A sweep that nobody watches."""
    path = tmp_path_factory.mktemp("runs") / "plain"
    return path, train(path)


def test_a_sweep_is_told_as_its_folder_tells_it(plain, tmp_path):
    sweep = train(tmp_path / "a", log_to="jsonl")
    assert (tmp_path / "a" / "history.csv").read_bytes() == (plain[0] / "history.csv").read_bytes()
    assert jsonl_of(tmp_path / "a") == rows_of(tmp_path / "a")
    assert {"loss", "mig"} <= set(jsonl_of(tmp_path / "a")[0][-1])
    for row, folder in zip(sweep.results, sorted((tmp_path / "a" / "logs" / "jsonl").iterdir()), strict=True):
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        assert scores["mig"] == row["mig"] and scores["status"] == row["status"]
        # Of two lanes both are on show.
        assert {"traversals.png", "reconstructions.png"} <= {file.name for file in folder.iterdir()}
    assert not (plain[0] / "logs").exists()


def test_a_sweep_that_is_cut_short_goes_on_in_the_same_runs(plain, tmp_path, monkeypatch):
    shown, due = loop.Progress.show, iter([True])

    def show(self, step, *others):
        shown(self, step, *others)
        if step == 12:  # rows of step 8 and 12 are written, and no checkpoint knows them
            raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(loop.Progress, "show", show)
        patched.setattr(loop.Saver, "due", lambda self: next(due, False))
        patched.setattr(loop, "_next_chunk", lambda num, spent: 4)
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path / "a", log_to="jsonl")
    assert max(row["step"] for row in jsonl_of(tmp_path / "a")[0]) == 12
    before = (tmp_path / "a" / "logs" / "sweep.json").read_bytes()
    train(tmp_path / "a", log_to=["jsonl"])
    assert jsonl_of(tmp_path / "a") == rows_of(tmp_path / "a") == rows_of(plain[0])
    assert (tmp_path / "a" / "logs" / "sweep.json").read_bytes() == before
    train(tmp_path / "a", log_to="jsonl", overwrite=True)
    assert (tmp_path / "a" / "logs" / "sweep.json").read_bytes() != before, "another sweep is another group of runs"
    assert jsonl_of(tmp_path / "a") == rows_of(plain[0])


def test_one_that_fails_costs_nothing(plain, tmp_path, monkeypatch):
    class Breaks:
        def __init__(self, folder, sweep):
            pass

        def begin(self, saved):
            return {}

        def rows(self, rows):
            raise ConnectionError("nobody there")

    monkeypatch.setitem(LOGGERS.data, "breaks", Breaks)
    said = []
    sweep = train(tmp_path / "a", said, log_to="breaks,jsonl")
    assert [line for line in said if "breaks" in line] == [
        "--log_to=breaks fails and is left out from here on (ConnectionError: nobody there)"
    ]
    assert (tmp_path / "a" / "history.csv").read_bytes() == (plain[0] / "history.csv").read_bytes()
    assert jsonl_of(tmp_path / "a") == rows_of(plain[0])
    assert [row["mig"] for row in sweep.results] == [row["mig"] for row in plain[1].results]


def test_an_unknown_one_is_refused_at_the_door(tmp_path, command, capsys):
    with pytest.raises(InputError, match="unknown logger 'jsnl'; did you mean 'jsonl'"):
        train(tmp_path / "a", log_to="jsnl")
    assert not (tmp_path / "a").exists()
    assert run_in_process(*command, "--log_to=jsnl", f"--workdir={tmp_path / 'a'}") == 2
    assert "unknown logger 'jsnl'" in capsys.readouterr().err


def test_of_several_processes_the_first_one_tells(tmp_path, monkeypatch):
    heard = []

    class Hears:
        def __init__(self, folder, sweep):
            heard.append(folder)

        def begin(self, saved):
            return {}

        def close(self):
            pass

    monkeypatch.setitem(LOGGERS.data, "hears", Hears)
    for is_first in (False, True):
        monkeypatch.setattr(watching.hosts, "is_first", lambda is_first=is_first: is_first)
        with watching.opened(Spec(log_to=("hears",)), [], tmp_path / "a", print) as told:
            told.begin(logged.NOTHING, {})
        assert heard == [tmp_path / "a" / "logs" / "hears"] * is_first


def test_tensorboard_reads_what_is_written(tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    sweep = train(tmp_path / "a", log_to="tensorboard")
    for row, folder in zip(sweep.results, sorted((tmp_path / "a" / "logs" / "tensorboard").iterdir()), strict=True):
        (history,), (scores,) = folder.glob("*.history"), folder.glob("*.scores")
        told = scalars(history)
        expected = rows_of(tmp_path / "a")[row["lane"]]
        assert [one["step"] for one in told] == [one["step"] for one in expected]
        for one, other in zip(told, expected, strict=True):
            assert set(one) == set(other) - {"lane"}
            assert all(one[name] == pytest.approx(other[name], rel=1e-6) for name in one)
        final = scalars(scores)
        assert final[0]["final/mig"] == pytest.approx(row["mig"], rel=1e-6)
        assert {tag for event in final[1:] for tag in event} == {"step", "traversals", "reconstructions"}


def test_weights_and_biases_gets_a_run_for_each_lane(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(tmp_path / "a", log_to="wandb")
    id_ = json.loads((tmp_path / "a" / "logs" / "sweep.json").read_text(encoding="utf-8"))["id"]
    folder = tmp_path / "a" / "logs" / "wandb"
    names = sorted(path.name.rpartition("-")[2] for path in folder.glob("offline-run-*"))
    assert names == [f"{id_}_00000", f"{id_}_00001"]
    for lane in (0, 1):
        (file,) = folder.glob(f"offline-run-*{id_}_{lane:05d}/run-*.wandb")
        told = wandb_rows(file)
        assert [(row["_step"], row["loss"]) for row in told if "loss" in row] == [
            (row["step"], row["loss"]) for row in rows_of(tmp_path / "a")[lane]
        ]
        assert any(name.startswith("traversals") for name in told[-1])
    before = set(folder.glob("offline-run-*/run-*.wandb"))
    train(tmp_path / "a", log_to="wandb")  # scored anew: a folder uploaded last replaces the others, so it has all
    again = set(folder.glob("offline-run-*/run-*.wandb")) - before
    assert len(again) == 2
    for file in again:
        steps = [row["_step"] for row in wandb_rows(file)]
        assert steps == [4, 8, 12, 16, 17]


def wandb_rows(file: pathlib.Path):
    """Return the rows of history in a file of an offline run."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows = []
    for data in leveldb_records(file.read_bytes()):
        record = Record.FromString(data)
        if record.HasField("history"):
            told = record.history
            row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in told.item}
            rows.append({"_step": told.step.num} | row)
    return rows


def leveldb_records(content: bytes):
    """Give the records of a log of LevelDB's format, blocks of 32 KiB with parts of records in them, after a header."""
    start, record = 7, b""
    while start + 7 <= len(content):
        if 32768 - start % 32768 < 7:
            start += 32768 - start % 32768
        _, length, kind = struct.unpack_from("<IHB", content, start)
        record += content[start + 7 : start + 7 + length]
        start += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""
