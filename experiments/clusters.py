"""Do the latent codes of digits fall apart into clusters, and what does beta do to them?

python experiments/clusters.py --data_dir=FOLDER_OF_THE_MNIST_GZ_FILES

Beta-VAEs of MNIST over beta from 0.001 to 10: the mlp with ten latents (the sweep digits_mlp) and with two, the conv
net with ten and with two. Classes are never shown to a model. How far they overlap is measured on the 10,000 test
digits, half of them to fit: the accuracy of ten nearest neighbours, of a linear probe, and the silhouette of classes;
beside them the same numbers of the pixels.

The mlp with ten latents, 3,000 steps, three seeds, median [least, greatest] (nine minutes on two cores that had other
work; figures/clusters_codes.png):

  beta   neighbours            probe                 silhouette            reconstruction   KL (nats an image)
  0.001  0.933 [0.927, 0.935]  0.887 [0.884, 0.893]  0.141 [0.140, 0.143]   87.2            247
  0.01   0.930 [0.925, 0.936]  0.886 [0.883, 0.893]  0.133 [0.131, 0.134]   86.6            102
  0.1    0.923 [0.921, 0.932]  0.874 [0.865, 0.878]  0.119 [0.119, 0.121]   88.6             39.9
  1      0.922 [0.919, 0.923]  0.855 [0.848, 0.857]  0.109 [0.108, 0.115]   99.2             17.8
  2      0.919 [0.913, 0.921]  0.842 [0.840, 0.850]  0.108 [0.107, 0.108]  107.7             12.9
  4      0.914 [0.913, 0.914]  0.842 [0.841, 0.844]  0.111 [0.109, 0.113]  124.1              8.1
  10     0.835 [0.829, 0.836]  0.799 [0.790, 0.800]  0.123 [0.122, 0.123]  161.7              2.8

Classes that no model was told lie side by side, not apart: neighbours tell nine digits in ten up to beta 4, and the
silhouette is never far above 0. A stronger prior moves them together: what a hyperplane tells falls from beta 0.1 on,
what neighbours tell hardly before beta 10, where six latents of ten are left. There the silhouette is higher again than
at 1, 2 and 4. Between 0.001 and 0.01 neighbours and probe show no difference beyond that of seeds. In the figure 4, 7
and 9 run into each other at every beta, and so do 3, 5 and 8.

The other sweeps (25 minutes on one core of two that had other work; figures/clusters_overlap.png, clusters_plane.png).
Two latents, the mlp, 1,500 steps, three seeds: neighbours 0.575 [0.567, 0.606] at beta 0.001, 0.426 [0.424, 0.446] at
1, 0.393 [0.347, 0.396] at 10; silhouette about 0 throughout (-0.034 to 0.000), no difference found. Below beta 1 the
codes leave the prior: where it has its mass no digit lies, and the decoder draws none. The conv net, 700 steps of 64,
one seed, so only a look: ten latents 0.908 at 0.01, 0.881 at 1, 0.829 at 4, 0.591 at 10; two latents 0.550, 0.468,
0.426, 0.357. Of the pixels themselves neighbours tell 0.927, a probe 0.884, and their silhouette is 0.051: up to beta 4
ten latents keep what neighbours know, and draw classes nearer together than pixels do.
"""

import pathlib
import time
from statistics import NormalDist

import common
import numpy as np
from absl import app
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

import jaxvae
from jaxvae.evaluate.planes import manifold
from jaxvae.report import planes, style
from jaxvae.types import ShownCodes

DIGITS = common.SHARED["digits_mlp"]
FEWER = {"beta": [0.01, 0.1, 1, 4, 10], "seed": [0]}  # a step of the conv net takes ten times as long
CONV = DIGITS | {"architecture": "conv", "steps": 700, "batch_size": 64, "sweep": FEWER}
SWEEPS = {
    "mlp, 10 latents": ("digits_mlp", {}),
    "mlp, 2 latents": ("clusters_mlp_2", DIGITS | {"latent_dim": 2, "steps": 1500}),
    "conv, 10 latents": ("clusters_conv_10", CONV),
    "conv, 2 latents": ("clusters_conv_2", CONV | {"latent_dim": 2}),
}
OVERLAP = {
    "knn_accuracy": "accuracy of ten neighbours",
    "linear_probe": "accuracy of a linear probe",
    "silhouette": "silhouette of classes",
}
LOSSES = {"reconstruction": "reconstruction (nats an image)", "kl": "KL (nats an image)"}
NAMES = ("neighbours", "linear_probe", "silhouette")
POINTS = 2000  # test digits in a picture
SIDE = 1.95  # inches of one


def measure():
    """Train what is not trained yet; return {sweep: its folder and rows}, and the scores of the pixels themselves."""
    found = {}
    for title, (name, choices) in SWEEPS.items():
        sweep = common.trained(name, **choices)
        columns = ("beta", "seed", "status", *OVERLAP, *LOSSES, "active_units")
        found[title] = {
            "path": str(sweep.path),
            "rows": [{column: row[column] for column in columns} for row in sweep.results],
        }
    data = digits()
    pixels = np.asarray(data.images(np.arange(len(data)))).reshape(len(data), -1)
    return found | {"pixels": jaxvae.metrics.score(pixels, np.asarray(data.factors), names=NAMES)}


def digits():
    """Return the test digits."""
    return jaxvae.data.load("mnist", split="test", data_dir=common.FLAGS.data_dir)


def summary(found):
    """Return a row for each sweep and beta: median [least, greatest] over seeds."""
    rows = []
    for title, sweep in found.items():
        for beta in sorted({row["beta"] for row in sweep["rows"]}):
            own = [row for row in sweep["rows"] if row["beta"] == beta and row["status"] == "ok"]
            numbers = {column: common.said([row[column] for row in own]) for column in (*OVERLAP, *LOSSES)}
            active = common.said([row["active_units"] for row in own])
            rows.append({"sweep": title, "beta": beta, "seeds": len(own)} | numbers | {"active": active})
    return rows


@style.styled
def draw_overlap(found, pixels):
    """Draw overlap and losses against beta: median and range over seeds, a line for each sweep."""
    made = style.figure(12.5, 6.6)
    for place, (column, words) in enumerate((OVERLAP | LOSSES).items()):
        axes = made.add_subplot(2, 3, place + 1)
        for index, sweep in enumerate(found.values()):
            healthy = [row for row in sweep["rows"] if row["status"] == "ok"]
            betas = sorted({row["beta"] for row in healthy})
            values = [[row[column] for row in healthy if row["beta"] == beta] for beta in betas]
            axes.plot(betas, [np.median(own) for own in values], **look(index), markersize=5)
            axes.fill_between(betas, *zip(*((min(own), max(own)) for own in values), strict=True), alpha=0.25,
                              color=style.QUALITATIVE[index // 2], linewidth=0)  # fmt: skip
        if column in pixels:
            axes.axhline(pixels[column], color=style.FAINT, linestyle="--", linewidth=1.2)
        axes.set_xscale("log")
        axes.set_xlabel("β")
        axes.set_title(words, loc="left")
    handles = [Line2D([], [], label=title, **look(index)) for index, title in enumerate(found)]
    handles.append(Line2D([], [], color=style.FAINT, linestyle="--", linewidth=1.2, label="the pixels"))
    axes = made.add_subplot(2, 3, 6)
    axes.axis("off")
    axes.legend(handles=handles, loc="center left")
    return made


def look(index):
    """Return how the lines of a sweep are drawn: a colour for each network, dotted for two latents."""
    return {
        "color": style.QUALITATIVE[index // 2],
        "linestyle": style.DASHES[index % 2],
        "marker": style.MARKERS[index % 2],
    }


def models_over_beta(sweep):
    """Return {beta: model of the first seed} of a sweep that is trained."""
    opened = jaxvae.load_sweep(pathlib.Path(sweep["path"]))
    betas = sorted({row["beta"] for row in sweep["rows"]})
    return {beta: opened.select(beta=beta, seed=sweep["rows"][0]["seed"]) for beta in betas}


def codes_of(model, data, rows):
    """Return codes of the test digits at rows, with their classes."""
    means = np.asarray(model.encode(data.images(rows))[0])
    return ShownCodes(means, np.asarray(data.factors)[rows, 0], "digit", data.values_of(0))


@style.styled
def draw_over_beta(sweep, rows_of_panels, codes):
    """Draw small multiples, a column for each beta: rows of {words: draw(axes, model)}; codes(model) name classes."""
    models = models_over_beta(sweep)
    made = style.figure(SIDE * len(models) + 0.5, (SIDE + 0.15) * len(rows_of_panels) + 0.5)
    for column, (beta, model) in enumerate(models.items()):
        for row, (words, draw) in enumerate(rows_of_panels.items()):
            axes = made.add_subplot(len(rows_of_panels), len(models), row * len(models) + column + 1)
            draw(axes, model)
            axes.set(xlabel="", ylabel=words if column == 0 else "", xticks=[], yticks=[])
            if row == 0:
                axes.set_title(f"β = {beta:g}")
    planes.explain_classes(made, codes(model))
    return made


def draw_plane(axes, codes):
    """Draw codes of two latents, and around the prior's 2% … 98% the frame of what is decoded below."""
    planes.draw_plane(axes, codes)
    edge = NormalDist().inv_cdf(0.98)
    axes.add_patch(Rectangle((-edge, -edge), 2 * edge, 2 * edge, fill=False, linewidth=1.2, edgecolor="#222222"))


def draw_decoded(axes, plane):
    """Draw every second row and column of a decoded plane: a panel is small."""
    planes.draw_manifold(axes, plane._replace(images=plane.images[::2, ::2], shares=plane.shares[::2]))


def pictures(found):
    """Yield (name, figure) of codes and planes over beta."""
    data = digits()
    rows = np.random.default_rng(0).permutation(len(data))[:POINTS]
    known = {}

    def codes(model):
        if id(model) not in known:
            known[id(model)] = model, codes_of(model, data, rows)
        return known[id(model)][1]

    panels = {
        "t-SNE": lambda axes, model: planes.draw_t_sne(axes, codes(model)),
        "principal components": lambda axes, model: planes.draw_components(axes, codes(model)),
    }
    plane = {
        "codes": lambda axes, model: draw_plane(axes, codes(model)),
        "decoded": lambda axes, model: draw_decoded(axes, manifold(model)),
    }
    for name, title, drawn in (
        ("clusters_codes", "mlp, 10 latents", panels),
        ("clusters_plane", "mlp, 2 latents", plane),
    ):
        yield name, draw_over_beta(found[title], drawn, codes)


def main(_):
    """Train, measure, print, draw."""
    begin = time.process_time()
    found = common.remembered("measured", measure)
    pixels = found.pop("pixels")
    rows = summary(found)
    print(common.table(rows))
    print("pixels: " + ", ".join(f"{name} {value:.3f}" for name, value in pixels.items()))
    common.keep("clusters", rows)
    common.keep("clusters_overlap", draw_overlap(found, pixels))
    for name, made in pictures(found):
        common.keep(name, made)
    print(f"table and figures: {common.folder()}; {(time.process_time() - begin) / 60:.1f} minutes of CPU")


if __name__ == "__main__":
    app.run(main)
