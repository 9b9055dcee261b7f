"""The studies of sparse grids and of held-out combinations end to end, in a quick size."""

import csv
import os
import subprocess
import sys

import pytest

from conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), [("density", 8), ("recombination", 6)])
def test_it_runs_end_to_end_and_a_second_time_without_training(name, settings, tmp_path):
    def run():
        command = [sys.executable, str(ROOT / "experiments" / f"{name}.py"), "--quick", f"--runs={tmp_path / 'runs'}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=1800)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run()
    out = tmp_path / "runs" / f"{name}_quick"
    assert (out / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    with open(out / f"{name}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == settings
    assert any(row["reconstruction_unseen"] != "none" and row["probe_unseen"] != "none" for row in rows)
    again = run()
    assert "trained in" in first and "trained in" not in again, "something was trained again"
