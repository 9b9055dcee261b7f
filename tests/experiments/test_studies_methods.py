"""The studies of methods, of few labels and of responses end to end, and again from what they keep."""

import csv
import os
import subprocess
import sys

import pytest

from conftest import ROOT
from tiny_data import write_idx


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a study with --quick beside the others' sweeps; return what it printed and its folder."""
    root = tmp_path_factory.mktemp("studies")
    write_idx(root / "mnist", counts=(("train", 200), ("t10k", 120)))

    def run(name, *flags):
        command = [sys.executable, str(ROOT / "experiments" / f"{name}.py"), "--quick", *flags]
        command += [f"--data_dir={root / 'mnist'}", f"--runs={root / 'runs'}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, timeout=1800)
        assert done.returncode == 0, done.stderr
        return done.stdout, root / "runs" / f"{name}_quick"

    return run


def twice(run, name, *flags):
    """Run a study, take its figure away, and run it again; return what it printed first and its table's rows."""
    said, out = run(name, *flags)
    figure, table = out / f"{name}.png", out / f"{name}.csv"
    assert figure.read_bytes()[:4] == b"\x89PNG"
    before = table.read_text()
    figure.unlink()
    again, _ = run(name, *flags)
    assert "steps each" not in again and "scoring" not in again, "something was trained or scored again"
    assert figure.exists() and table.read_text() == before
    with open(table, encoding="utf-8") as file:
        return said, list(csv.DictReader(file))


@pytest.mark.slow
def test_responses_of_the_shared_sweep_and_of_saved_models(run, tmp_path):
    said, rows = twice(run, "responses")
    assert len(rows) == 12 and {row["method"] for row in rows} >= {"VAE", "beta-VAE, beta 4"}
    assert all(0 <= float(row["x_position"]) <= 1 for row in rows) and "mean share" in said

    import jaxvae

    sweep = jaxvae.load_sweep(run("responses")[1].parent / "sprites_methods_quick")
    folders = [sweep.model(lane).save(tmp_path / str(lane)) for lane in (0, 2)]
    said, out = run("responses", f"--models={','.join(map(str, folders))}", "--dataset=mini_sprites")
    assert len((out / "responses.csv").read_text().splitlines()) == 3


@pytest.mark.slow
def test_few_labels(run):
    said, rows = twice(run, "few_labels")
    lanes = {(row["data"], row["lane"]) for row in rows}
    assert len(lanes) == 4 + 12 + 1 and ("digits", "-1") in lanes
    assert {row["probe"] for row in rows} == {"logistic", "boosted", "pixels"}
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows) and "rank correlation" in said


@pytest.mark.slow
def test_methods(run):
    said, rows = twice(run, "methods")
    assert len(rows) == 2 * (12 + 2) and {row["method"] for row in rows} >= {"nvae", "hfvae", "dd_vae"}
    assert all(int(row["parameters"]) > 0 and float(row["elbo"]) < 0 for row in rows)
    assert "sprites: median" in said and "digits: median" in said
