"""File systems without locks, full ones, folders named like patterns, clocks that jump."""

import errno
import fcntl
import os
import time
import types

import pytest

from jaxvae.asked import spec
from jaxvae.training import loop
from jaxvae.workdir import claiming, mended, records, tables
from jaxvae.workdir.checkpoint import CheckpointError, Checkpoints


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_without_locks_a_sweep_goes_on_and_says_so_once(code, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    said = []
    with claiming.claim(tmp_path / "run", spec.Spec(), resume=None, overwrite=False, say=said.append) as there:
        assert not there
    assert len(said) == 1 and "cannot be locked" in said[0] and os.strerror(code) in said[0]


def test_a_folder_that_is_locked_is_in_use(tmp_path):
    with (
        claiming.claim(tmp_path / "run", spec.Spec(), resume=None, overwrite=False),
        pytest.raises(records.WorkdirError, match="in use by another process"),
        claiming.claim(tmp_path / "run", spec.Spec(), resume=None, overwrite=False),
    ):
        pass


def test_what_failed_first_is_told_and_not_that_checkpoints_then_do_not_close(tmp_path, monkeypatch):
    class Full:
        def __init__(self, directory, label, create):
            pass

        def close(self):
            raise RuntimeError("the background thread has failed")

    monkeypatch.setattr(loop, "Checkpoints", Full)
    with pytest.raises(ZeroDivisionError), loop._open_checkpoints(tmp_path, None):
        raise ZeroDivisionError
    with pytest.raises(RuntimeError), loop._open_checkpoints(tmp_path, None):
        pass


def test_a_history_that_cannot_be_written_is_one_line():
    run = types.SimpleNamespace(history=tables.Table(os.devnull + "/full", ["lane"]))
    with pytest.raises(records.WorkdirError, match=r"cannot write to .*free space there") as caught:
        loop._record(run, iter([{"lane": 1}]))
    assert "\n" not in str(caught.value)


def test_orbax_finds_files_in_folders_named_like_patterns(tmp_path):
    from etils import epath

    folder = tmp_path / "runs[1]*?**\\ {x}"
    (folder / "inner").mkdir(parents=True)
    for name in ("process_0", "process_1", "other"):
        (folder / "inner" / name).write_text("", encoding="utf-8")
    mended.mend()
    assert sorted(p.name for p in (epath.Path(folder) / "inner").glob("process_*")) == ["process_0", "process_1"]
    assert [p.name for p in epath.Path(folder).glob("inner/o*")] == ["other"]


def test_a_backslash_is_refused_before_anything_is_made(tmp_path):
    with (
        pytest.raises(records.WorkdirError, match="has a backslash in it"),
        claiming.claim(tmp_path / "a\\b", spec.Spec(), resume=None, overwrite=False),
    ):
        pass
    assert not list(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="name it otherwise"):
        Checkpoints(tmp_path / "a\\b")


def test_orbax_goes_by_a_clock_that_does_not_jump(monkeypatch):
    from orbax.checkpoint._src.futures import future

    mended.mend()
    begin = future.time.time()
    monkeypatch.setattr(time, "time", lambda: begin + 1e6)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert 9 < future.get_remaining_time(begin, 10.0) <= 10
    assert abs(future.time.time_ns() / 1e9 - begin) < 5 and future.time.sleep is time.sleep
