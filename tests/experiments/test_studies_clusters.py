"""The study of clusters end to end, and again from what it keeps."""

import os
import subprocess
import sys

import pytest

from conftest import ROOT
from tiny_data import write_idx


@pytest.mark.slow
def test_it_runs_end_to_end_and_a_second_time_without_training(tmp_path):
    write_idx(tmp_path / "mnist", counts=(("train", 200), ("t10k", 120)))

    def run():
        command = [sys.executable, str(ROOT / "experiments" / "clusters.py"), "--quick"]
        command += [f"--data_dir={tmp_path / 'mnist'}", f"--runs={tmp_path / 'runs'}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=900)

    first = run()
    assert first.returncode == 0, first.stderr
    assert "digits_mlp_quick" in first.stdout and "knn_accuracy" in first.stdout and "pixels: " in first.stdout
    out = tmp_path / "runs" / "clusters_quick"
    figures = ["clusters_codes.png", "clusters_overlap.png", "clusters_plane.png"]
    assert sorted(path.name for path in out.glob("*.png")) == figures
    table = (out / "clusters.csv").read_text()
    assert table.count("\n") == 1 + 2 * 7 + 2 * 5 and "none" not in table
    for name in figures:
        (out / name).unlink()
    again = run()
    assert again.returncode == 0, again.stderr
    assert "steps each" not in again.stdout, "something was trained again"
    assert sorted(path.name for path in out.glob("*.png")) == figures and (out / "clusters.csv").read_text() == table
