"""The accuracy of clusters as a score of a sweep: from the lane's own mixture to the table, and nowhere else."""

import numpy as np
import pytest
import scipy.optimize

import jaxvae
from jaxvae import evaluate, metrics
from jaxvae.data import load
from jaxvae.evaluate.clusters import why_not
from jaxvae.objectives import mixture
from jaxvae.types import InputError
from jaxvae.workdir.tables import read_table
from tiny_sweep import run_in_process

SIZE = 8


@pytest.fixture(scope="module")
def finished(tmp_path_factory, no_figures):
    """Three bright bars in noise, trained with and without a mixture by the command line."""
    folder, rng = tmp_path_factory.mktemp("clusters"), np.random.default_rng(0)
    labels = rng.integers(0, 3, 150)
    images = (rng.random((150, SIZE, SIZE)) * 60).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 1 : 2 * label + 3] = 250
    np.savez(folder / "bars.npz", images=images, labels=labels)
    status = run_in_process(
        "--dataset=npz", f"--data_dir={folder / 'bars.npz'}", "--objective=vade,vae",
        "--architecture=mlp", "--sweep=vade:pretrain_steps=150,1000", "--latent_dim=3", "--batch_size=32",
        "--num_clusters=4", "--lr=3e-3", "--steps=200", "--lanes=map", "--metrics=cluster_accuracy",
        f"--workdir={folder / 'run'}"
    )  # fmt: skip
    assert status == 0
    return folder / "run", load("npz", "train", folder / "bars.npz")


def test_lanes_with_a_mixture_are_scored_and_others_have_an_empty_cell(finished):
    path, data = finished
    rows = read_table(path / "results.csv")
    assert [row["objective"] for row in rows] == ["vade", "vade", "vae"] and rows[2]["cluster_accuracy"] is None
    assert "cluster_<wbr>accuracy" in (path / "report.html").read_text()  # a heading of its tables
    labels = np.asarray(data.factors[:, 0])
    for lane in (0, 1):
        model = jaxvae.load_sweep(path).model(lane)
        means, _ = model.encode(data.images(np.arange(len(data))))
        clusters = np.asarray(mixture.cluster_of(model.networks.extra["kl_mixture"], means))
        table = np.zeros((4, 3))
        np.add.at(table, (clusters, labels), 1)
        matched = table[scipy.optimize.linear_sum_assignment(-table)].sum() / len(data)
        assert rows[lane]["cluster_accuracy"] == pytest.approx(matched, abs=0.01)  # one code may lie on a border
    assert rows[0]["cluster_accuracy"] > 0.6  # three bars that nobody could miss; a fourth cluster may take a part


def test_what_has_no_clusters_or_no_one_label_is_left_out(finished):
    _, data = finished
    sprites = load("mini_sprites")
    for names in (None, ("cluster_accuracy",)):
        _, omitted = evaluate.choose_metrics(names, sprites)
        assert omitted["cluster_accuracy"] == "needs one label of each image; mini_sprites has 5"
    chosen, omitted = evaluate.choose_metrics(("cluster_accuracy",), data)
    assert chosen == ("cluster_accuracy",) and not omitted
    assert "no lane has such a prior" in why_not(["vae"])
    assert why_not(["vae", "kl_mixture+tc_critic"]) is None
    with pytest.raises(InputError, match="scores clusters of images, not codes"):
        metrics.score(np.zeros((9, 2)), np.arange(9)[:, None] % 3, names="cluster_accuracy")
    assert "cluster_accuracy" not in metrics.score(np.random.default_rng(0).normal(size=(50, 2)))
