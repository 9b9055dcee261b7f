"""What loggers keep of rows: all of them, each once, whatever was cut short in between."""

import csv
import io
import json

import numpy as np
import PIL.Image
import pytest

from jaxvae.loggers import LOGGERS, Final, Lane, Telling, Watched
from jaxvae.types import InputError
from jaxvae.workdir import logged
from read_events import events, scalars

LANES = (
    Lane(0, "lane_00000_beta=1", {"objective": "beta_vae", "beta": 1.0, "seed": 3}),
    Lane(1, "lane_00001_beta=4", {"objective": "beta_vae", "beta": 4.0, "seed": 3}),
)
SWEEP = Watched("runs", "0123abcd", {"dataset": "squares"}, LANES)
COLUMNS = ("lane", "step", "loss", "mig")


def row(lane, step):
    return {"lane": lane, "step": step, "loss": 100.5 - step - lane} | ({"mig": 0.25} if step == 8 else {})


def as_logged(rows):
    """Return rows as they are read from history.csv."""
    lines = [",".join(str(one.get(name, "")) for name in COLUMNS) for one in rows]
    lanes, steps = (np.array([one[name] for one in rows], np.int64) for name in logged.KEYS)
    return logged.Logged(COLUMNS, lines, lanes, steps, "")


def rows_until(step):
    return [row(lane, own) for own in range(4, step + 1, 4) for lane in range(2)]


def telling(path, *names, say=print, **makers):
    return Telling({name: LOGGERS[name] for name in names} | makers, path / "logs", lambda: SWEEP, say)


def jsonl_rows(path):
    kept = {}
    for lane in SWEEP.lanes:
        text = (path / "logs" / "jsonl" / lane.name / "history.jsonl").read_text(encoding="utf-8")
        kept[lane.number] = [json.loads(line) for line in text.splitlines()]
    return kept


def tensorboard_rows(path):
    files = sorted((path / "logs" / "tensorboard").glob("*/*.history"))
    return {lane: [{"lane": lane} | told for told in scalars(file)] for lane, file in enumerate(files)}


READ = {"jsonl": jsonl_rows, "tensorboard": tensorboard_rows}


@pytest.fixture(params=list(READ))
def name(request):
    if request.param == "tensorboard":
        pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    return request.param


def whole(step):
    return {lane: [row(lane, own) for own in range(4, step + 1, 4)] for lane in range(2)}


def test_rows_are_kept_as_they_come(tmp_path, name):
    told = telling(tmp_path, name)
    told.begin(as_logged([]), {})
    for step in (4, 8, 12):
        told.rows([row(lane, step) for lane in range(2)])
    told.close()
    assert READ[name](tmp_path) == whole(12)


@pytest.mark.parametrize("torn", [b"", b'{"lane": 0, "st', b"\x28\x00\x00\x00\x00\x00\x00\x00torn"])
def test_a_sweep_that_goes_on_from_a_checkpoint_tells_no_step_twice(tmp_path, name, torn):
    told = telling(tmp_path, name)
    told.begin(as_logged([]), {})
    for step in (4, 8, 12):
        told.rows([row(lane, step) for lane in range(2)])
    for file in (tmp_path / "logs" / name).glob("*0/*history*"):
        file.write_bytes(file.read_bytes() + torn)  # a kill came in the middle of a record
    again = telling(tmp_path, name)
    again.begin(as_logged(rows_until(4)), {0: 4, 1: 4})
    assert READ[name](tmp_path) == whole(4)
    for step in (8, 12, 16):
        again.rows([row(lane, step) for lane in range(2)])
    assert READ[name](tmp_path) == whole(16)


def test_who_comes_late_is_told_what_was_before(tmp_path, name):
    late = telling(tmp_path, name)
    late.begin(as_logged(rows_until(8)), {0: 8, 1: 8})
    late.rows([row(0, 12), row(1, 12)])
    assert READ[name](tmp_path) == whole(12)
    for file in (tmp_path / "logs" / name).glob("*1/*history*"):
        file.unlink()
    telling(tmp_path, name).begin(as_logged(rows_until(12)), {0: 12, 1: 12})
    assert READ[name](tmp_path) == whole(12)


def test_a_lane_of_no_checkpoint_begins_anew(tmp_path, name):
    told = telling(tmp_path, name)
    told.begin(as_logged([]), {})
    told.rows(rows_until(8))
    told.begin(as_logged([row(0, 4), row(0, 8)]), {0: 8})  # memory ran out: lane 1 is trained from its first step
    told.rows([row(1, 4), row(1, 8)])
    assert READ[name](tmp_path) == whole(8)


def test_what_a_lane_has_come_to_stands_beside_its_rows(tmp_path, name):
    file = io.BytesIO()
    PIL.Image.new("RGB", (3, 2)).save(file, "PNG")
    png = file.getvalue()
    told = telling(tmp_path, name)
    told.begin(as_logged([]), {})
    told.rows(rows_until(4))
    for value in (0.5, 0.75):  # scored twice
        told.finish(lambda value=value: [Final(1, 4, "ok", {"mig": value}, {"traversals": png})])
    folder = tmp_path / "logs" / name / SWEEP.lanes[1].name
    if name == "jsonl":
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        assert scores == {"lane": 1, "step": 4, "status": "ok", "mig": 0.75}
        assert (folder / "traversals.png").read_bytes() == png
        assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["beta"] == 4.0
    else:
        (file,) = folder.glob("*.scores")
        number, picture = (event.summary.value[0] for event in events(file) if event.step == 4)
        assert (number.tag, number.simple_value) == ("final/mig", 0.75)
        assert (picture.tag, picture.image.width, picture.image.height) == ("traversals", 3, 2)
        assert picture.image.encoded_image_string == png
        (history,) = folder.glob("*.history")
        assert any(b"beta" in event.SerializeToString() for event in events(history) if not event.step)
    assert READ[name](tmp_path) == whole(4)


class Breaks:
    """Hears of one batch of rows, and fails at the second."""

    def __init__(self, folder, sweep):
        self.heard = 0

    def begin(self, saved):
        return {}

    def rows(self, rows):
        self.heard += 1
        if self.heard == 2:
            raise ConnectionError("nobody\nthere")

    def finish(self, finals):
        raise AssertionError("it was left out")

    def close(self):
        raise AssertionError("it was left out")


def test_one_that_fails_is_named_once_and_left_out(tmp_path):
    said = []
    told = telling(tmp_path, "jsonl", say=said.append, breaks=Breaks)
    told.begin(as_logged([]), {})
    for step in (4, 8, 12):
        told.rows([row(lane, step) for lane in range(2)])
    told.finish(lambda: [Final(0, 12, "ok", {}, {})])
    told.close()
    assert said == ["--log_to=breaks fails and is left out from here on (ConnectionError: nobody there)"]
    assert jsonl_rows(tmp_path) == whole(12)


def test_one_that_cannot_even_begin_costs_the_others_nothing(tmp_path):
    def refuses(folder, sweep):
        raise OSError("no room")

    said = []
    told = telling(tmp_path, "jsonl", say=said.append, refuses=refuses)
    told.begin(as_logged(rows_until(4)), {0: 4, 1: 4})
    assert len(said) == 1 and "refuses" in said[0] and jsonl_rows(tmp_path) == whole(4)


def test_nothing_is_written_through_a_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "logs" / "jsonl").mkdir(parents=True)
    (tmp_path / "logs" / "jsonl" / SWEEP.lanes[0].name).symlink_to(elsewhere)
    said = []
    told = telling(tmp_path, "jsonl", say=said.append)
    told.begin(as_logged(rows_until(4)), {0: 4, 1: 4})
    assert "is a link" in said[0] and not list(elsewhere.iterdir())


def test_numbers_that_are_none_are_legal_json(tmp_path):
    told = telling(tmp_path, "jsonl")
    told.begin(as_logged([]), {})
    told.rows([{"lane": lane, "step": 4, "loss": float("inf")} for lane in (0, 1)])
    assert jsonl_rows(tmp_path)[0] == [{"lane": 0, "step": 4, "loss": None}]


def test_a_logger_is_a_name_in_the_table(monkeypatch):
    from jaxvae import loggers

    with pytest.raises(InputError, match=r"unknown logger 'tensorbord'; did you mean 'tensorboard'\?"):
        loggers.check(["tensorbord"])
    with pytest.raises(InputError, match="--log_to names loggers"):
        loggers.check("jsonl")
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tensorboardX, which is not installed: pip install 'jaxvae\[tensorboard\]'"):
        loggers.check(["tensorboard"])
    loggers.check(["jsonl"])


def test_weights_and_biases_wants_somebody_to_be_logged_in(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    from jaxvae import loggers

    for name, value in {"HOME": tmp_path, "NETRC": tmp_path / "none", "WANDB_CONFIG_DIR": tmp_path}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(InputError, match="nobody is logged in to Weights & Biases; run `wandb login`"):
        loggers.check(["wandb"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    loggers.check(["wandb"])


def test_history_of_a_file_gives_the_same_rows(tmp_path):
    path = tmp_path / "history.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows_until(12))
    told = telling(tmp_path, "jsonl")
    told.begin(logged.read(path), {0: 12, 1: 12})
    assert jsonl_rows(tmp_path) == whole(12)
