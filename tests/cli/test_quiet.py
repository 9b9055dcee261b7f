"""What the command line prints where it is asked for nothing, and while something takes long."""

import pytest

from jaxvae.parallel import live
from tiny_sweep import run_in_process

pytestmark = pytest.mark.usefixtures("no_figures")
SHORT = ["--objective=beta_vae", "--sweep=beta_vae:beta=1", "--sweep=seed=0", "--steps=4", "--log_every=2"]


@pytest.fixture
def short(plain):
    return [*plain, *SHORT, "--metrics=mig"]


def test_quiet_leaves_the_path_of_the_report(short, tmp_path, capsys):
    assert run_in_process(*short, f"--workdir={tmp_path / 'a'}", "--quiet") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'a' / 'report.html'}\n" and printed.err == ""
    assert (tmp_path / "a" / "report.html").exists()


def test_quiet_leaves_errors(short, tmp_path, capsys):
    assert run_in_process(*short, f"--workdir={tmp_path / 'a'}", "--quiet", "--lr=0") == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "--lr must be" in printed.err


def test_what_takes_long_says_so(short, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(live, "PLAIN", 0.0)
    assert run_in_process(*short, f"--workdir={tmp_path / 'a'}") == 0
    said = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  scoring  1/1 lanes  ") and "ETA 0 s" in line for line in said) == 1
