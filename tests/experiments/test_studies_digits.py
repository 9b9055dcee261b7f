"""Studies of digits run from end to end, and a second time without training anything."""

import os
import pathlib
import subprocess
import sys

import pytest

import tiny_data

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "made"),
    [
        ("noise", {"table.csv", "numbers.png", "decoded.png"}),
        ("labels", {"table.csv", "planes.png", "mixes.png"}),
        ("together", {"table.csv", "curve.png"}),
    ],
)
def test_a_study_of_digits_runs_and_goes_on_from_what_is_there(tmp_path, study, made):
    digits = tiny_data.write_idx(tmp_path / "mnist", counts=(("train", 300), ("t10k", 200)))
    command = [sys.executable, str(ROOT / "experiments" / f"{study}.py"), "--quick", f"--data_dir={digits}"]
    command += [f"--runs={tmp_path / 'runs'}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}

    def run():
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    out = tmp_path / "runs" / f"{study}_quick"
    first = run()
    assert "lane-steps/s" in first
    assert made <= {path.name for path in out.iterdir()}
    table = (out / "table.csv").read_text()
    assert len(table.splitlines()) > 5
    assert "lane-steps/s" not in run()
    assert (out / "table.csv").read_text() == table
