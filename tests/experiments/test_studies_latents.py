"""The study of latents end to end, and again from what it keeps."""

import csv
import os
import subprocess
import sys

import pytest

from conftest import ROOT
from tiny_data import write_idx


@pytest.mark.slow
def test_it_runs_end_to_end_and_a_second_time_without_training(tmp_path):
    write_idx(tmp_path / "mnist", counts=(("train", 60), ("t10k", 70)))

    def run():
        command = [sys.executable, str(ROOT / "experiments" / "latents_with_beta.py"), "--quick"]
        command += [f"--data_dir={tmp_path / 'mnist'}", f"--runs={tmp_path / 'runs'}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=900)

    first = run()
    assert first.returncode == 0, first.stderr
    assert "digits_mlp_quick" in first.stdout and "posterior variance" in first.stdout
    out = tmp_path / "runs" / "latents_with_beta_quick"
    assert (out / "latents_with_beta.png").stat().st_size > 10_000
    with open(out / "latents.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * 3 * 10 and all(0 < float(row["posterior_variance"]) < 2 for row in rows)
    again = run()
    assert again.returncode == 0, again.stderr
    assert "steps each" not in again.stdout, "something was trained again"
    assert again.stdout == first.stdout[first.stdout.index("\nMean over all") :]
