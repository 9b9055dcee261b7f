"""What the machine lets a process do: cores, and whose folders hold what is run as code."""

import os
import pathlib

import jax
import pytest

from jaxvae.arguments import as_path
from jaxvae.parallel import machine
from jaxvae.types import InputError


def test_cores_are_counted_where_nobody_says_which_are_ours(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # macOS
    assert machine.num_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.num_cores() == 1


@pytest.fixture
def folder(tmp_path):
    """A folder in a folder, both of which nobody else may write to."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for place in (inner, inner.parent):
        place.chmod(0o755)
    return inner


def test_a_folder_of_ones_own_is_trusted(folder, tmp_path):
    assert machine.others_may_write(folder) == ""
    folder.parent.chmod(0o1777)  # as /tmp: nobody may rename what is another's
    assert machine.others_may_write(folder) == ""


@pytest.mark.parametrize("mode", [0o757, 0o1777])
def test_one_that_others_may_write_to_is_not(mode, folder):
    folder.chmod(mode)
    assert "others may write to" in machine.others_may_write(folder)


def test_nor_is_one_that_others_may_put_another_in_place_of(folder, tmp_path):
    folder.parent.chmod(0o757)
    assert "outer" in machine.others_may_write(folder)
    link = tmp_path / "outer" / "link"
    (tmp_path / "own").mkdir(mode=0o755)
    link.symlink_to(tmp_path / "own")
    assert "outer" in machine.others_may_write(link)


def test_nor_one_of_another_user_or_of_a_group(folder, monkeypatch):
    if os.geteuid() == 0:
        os.chown(folder, 1234, 1234)
        assert "belongs to another user" in machine.others_may_write(folder)
        os.chown(folder, 0, 1234)
        folder.chmod(0o775)
        assert "others may write to" in machine.others_may_write(folder)
        return
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    assert "belongs to another user" in machine.others_may_write(folder)


def test_a_home_stands_for_a_folder_or_is_said_to_be_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert as_path("it", "~/runs") == tmp_path / "runs" and as_path("it", "a/~/b") == pathlib.Path("a/~/b")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: (_ for _ in ()).throw(KeyError(number)))
    for path in ("~/runs", "~nobody_of_this_name/runs"):
        with pytest.raises(InputError, match="home directory"):
            as_path("it", path)


def test_without_a_home_nothing_is_kept_and_nothing_fails(monkeypatch, tmp_path):
    from jaxvae.data import cache

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: (_ for _ in ()).throw(KeyError(number)))
    monkeypatch.chdir(tmp_path)
    cache.store("key", {})
    assert cache.fetch("key", ()) is None and "no home folder" in cache.told() and not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="home directory"):
        machine._cache(None)


@pytest.mark.parametrize(("maps", "kept"), [(10, 1), (60, 0), (None, 1)])
def test_programs_are_forgotten_before_the_process_has_too_many_memory_maps(tmp_path, maps, kept):
    (tmp_path / "proc/sys/vm").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/sys/vm/max_map_count").write_text("100\n")
    if maps is not None:
        (tmp_path / "proc/self/maps").write_text("7f00-7f01 r-xp\n" * maps)
    function = jax.jit(lambda x: x + 1)
    function(1.0)
    machine.forget_compiled(system=tmp_path)
    assert function._cache_size() == kept
