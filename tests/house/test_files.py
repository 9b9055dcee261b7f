"""Files are replaced whole, under names nobody can foresee, and never through a link."""

import os

import pytest

from jaxvae import files
from jaxvae.types import InputError


def test_a_file_is_replaced_and_not_what_a_link_leads_to(tmp_path):
    outside = tmp_path / "diary.txt"
    outside.write_text("mine")
    folder = tmp_path / "sweep"
    folder.mkdir()
    for name in ("results.csv", ".results.csv.tmp", ".jaxvae-0000000000000000.tmp"):
        (folder / name).symlink_to(outside)
    files.replace(folder / "results.csv", "lane\nöäü\n")
    assert (folder / "results.csv").read_bytes() == "lane\nöäü\n".encode()
    assert not (folder / "results.csv").is_symlink() and outside.read_text() == "mine"
    (folder / "history.csv").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        files.append(folder / "history.csv", "0,1\n")
    assert outside.read_text() == "mine"
    umask = os.umask(0)
    os.umask(umask)
    assert (folder / "results.csv").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    files.replace(tmp_path / "spec.json", "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        files.replace(tmp_path / "spec.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["spec.json"] and (tmp_path / "spec.json").read_text() == "old"


def test_a_temporary_file_that_is_cleared_away_is_written_again(tmp_path, monkeypatch):
    replace, lost = os.replace, []

    def once_too_late(source, target):
        if not lost:
            lost.append(files.remove_temporary(tmp_path))
        replace(source, target)

    monkeypatch.setattr(os, "replace", once_too_late)
    files.replace(tmp_path / "report.html", "page")
    assert lost and (tmp_path / "report.html").read_text() == "page"


def test_deleting_takes_a_link_and_not_what_it_leads_to(tmp_path):
    outside = tmp_path / "photographs"
    outside.mkdir()
    (outside / "one.png").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(outside)
    (tmp_path / "link").symlink_to(outside)
    for name in ("folder", "link", "nothing"):
        files.remove(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"] and (outside / "one.png").exists()
    (tmp_path / "figures").symlink_to(outside)
    files.remove_temporary(tmp_path / "figures")
    with pytest.raises(InputError, match="is a link"):
        files.make_folder(tmp_path / "figures")


def test_only_what_this_version_began_is_cleared_away(tmp_path):
    names = (".jaxvae-0123456789abcdef.tmp", ".jaxvae-mine.tmp", ".notes.tmp", "jaxvae-0123456789abcdef.tmp")
    for name in names:
        (tmp_path / name).write_text("")
    files.remove_temporary(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_what_might_never_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", "."):
        with pytest.raises(OSError, match=r"no ordinary file|Is a directory"):
            files.read(tmp_path / name)
