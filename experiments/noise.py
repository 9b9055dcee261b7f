"""What does the noise do? The factor on a VAE's noise, while it is trained and while it decodes, on real digits.

python experiments/noise.py --data_dir=FOLDER_OF_THE_MNIST_GZ_FILES

Trains z = mean + noise_scale * sd * eps for six factors, two and ten latents and three seeds, and decodes every model
with z = mean + s * sd * eps for nine s. noise_scale = 0 is an autoencoder whose KL is still weighed: nothing but the KL
then says what the posterior's deviation is, so it is 1. Only noise_scale = 1 has an ELBO.
"""

import itertools

import numpy as np
from absl import app
from common import digits, keep, remembered, said, table, trained
from matplotlib.ticker import NullLocator
from measures import (
    bernoulli_nll,
    log_densities,
    neighbours_accuracy,
    path_measures,
    sampled,
    standard_kl,
    straight_paths,
)

from jaxvae.report import style

TRAINED = (0, 0.25, 0.5, 1, 1.5, 2)
DECODED = (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2)
LATENTS = (10, 2)
JUDGED, MIXED, PAIRS, POINTS = 2000, 1000, 500, 17  # digits decoded, posteriors compared, paths, and images on each


def measure(model, images, labels):
    """Return what is measured of one model on the test digits."""
    mean, logvar = (np.asarray(part, float) for part in model.encode(images))
    own = model.about["noise_scale"]
    given = sampled(mean, logvar, own)
    row = {"kl": float(standard_kl(mean, logvar).sum(1).mean()), "sd": float(np.exp(0.5 * logvar).mean())}
    row["spread"] = float(mean.std(0).mean())
    row["neighbours"] = neighbours_accuracy(mean, labels)
    row["neighbours_given"] = neighbours_accuracy(given, labels)
    row["overlap"] = overlap(given[:MIXED], mean[:MIXED], logvar[:MIXED], own) if own else 0.0
    shown = images[:JUDGED] / 255.0
    scales = sorted({*DECODED, own})
    drawn = {s: sampled(mean[:JUDGED], logvar[:JUDGED], s) for s in scales}
    row["decoded"] = {f"{s:g}": bernoulli_nll(shown, model.decode(z)) for s, z in drawn.items()}
    # Between digits of different classes, the same pairs for every model.
    pairs = [(i, j) for i, j in zip(range(len(labels)), reversed(range(len(labels))), strict=True)]
    begin, end = np.array([pair for pair in pairs if labels[pair[0]] != labels[pair[1]]][:PAIRS]).T
    codes = straight_paths(mean[begin], mean[end], POINTS)
    row |= path_measures(model.decode(codes.reshape(-1, codes.shape[-1])).reshape(*codes.shape[:2], -1))
    return row


def overlap(z, mean, logvar, scale):
    """Return the share of codes, one of each posterior with its noise scaled, that are likelier under another's."""
    likelihood = log_densities(z, mean, logvar + 2 * np.log(scale)).sum(-1)
    return float((likelihood.argmax(1) != np.arange(len(z))).mean())


def main(_):
    """Train, measure, print, draw."""
    train_set, test_set = digits()
    images, labels = np.asarray(test_set.images(range(len(test_set)))), np.asarray(test_set.factors[:, 0])
    rows, sweeps = [], {}
    for latents in LATENTS:
        sweep = sweeps[latents] = trained(
            f"noise_{latents}",
            train_set,
            eval_data=test_set,
            objective="vae",
            architecture="mlp",
            sweep={"noise_scale": TRAINED, "seed": range(3)},
            latent_dim=latents,
            steps=1200,
            batch_size=128,
            lr=1e-3,
            metrics=(),
            lanes="map",
            quick={"sweep": {"noise_scale": (0, 1, 2), "seed": range(2)}},
        )
        for lane in sweep.lanes:
            name = f"{latents}_latents_{lane['lane']}"
            measured = remembered(
                name, lambda lane=lane, sweep=sweep: measure(sweep.model(lane["lane"]), images, labels)
            )
            rows.append({"latents": latents, "noise_scale": lane["noise_scale"], "seed": lane["seed"], **measured})
    for row in rows:
        decoded = row.pop("decoded")
        row["given"] = decoded[f"{row['noise_scale']:g}"]
        row |= {f"at_{s:g}": decoded[f"{s:g}"] for s in DECODED}
    keep("table", rows)
    print(table(summary(rows)))
    keep("numbers", draw_numbers(rows))
    keep("decoded", draw_decoded(sweeps[10], test_set, labels))


def summary(rows):
    """Return a row for each setting, each number as the median over seeds and the least and greatest."""
    shown = ("given", "at_0", "at_1", "kl", "sd", "neighbours", "neighbours_given", "overlap", "length", "largest_step")
    key = lambda row: (row["latents"], row["noise_scale"])  # noqa: E731
    return [
        {"latents": latents, "noise_scale": scale} | {n: said([row[n] for row in group]) for n in shown}
        for (latents, scale), group in ((k, list(g)) for k, g in itertools.groupby(rows, key))
    ]


@style.styled
def draw_numbers(rows):
    """Draw each number over the noise in training, a line for each number of latents, seeds as a band."""
    panels = {
        "given": "reconstruction, codes as in training (nats)",
        "kl": "KL to N(0, I) (nats)",
        "overlap": "codes likelier under another\nof 1,000 digits' posteriors",
        "neighbours": "digits told right by 10 nearest codes",
        "length": "length of a straight path of codes\nin pixels, over that of a cross-fade",
        "largest_step": "largest step on such a path\nover the mean step",
    }
    made, every = style.panels(len(panels))
    made.set_size_inches(12.6, 7.2)
    for (name, title), axes in zip(panels.items(), every, strict=True):
        for index, latents in enumerate(LATENTS):
            here = [row for row in rows if row["latents"] == latents]
            scales = sorted({row["noise_scale"] for row in here})
            values = [[row[name] for row in here if row["noise_scale"] == scale] for scale in scales]
            look = {"color": style.QUALITATIVE[index], "marker": style.MARKERS[index]}
            axes.plot(scales, np.median(values, 1), label=f"{latents} latents", markeredgecolor="white", **look)
            axes.fill_between(scales, np.min(values, 1), np.max(values, 1), color=look["color"], alpha=0.25, lw=0)
        axes.set_title(title, loc="left", fontsize=12)
        axes.set_xlabel("noise_scale while training")
        if name in ("given", "kl", "overlap"):
            axes.set_ylim(bottom=0)
    style.legend_above(made, every[0].get_legend_handles_labels()[0])
    return made


@style.styled
def draw_decoded(sweep, test_set, labels):
    """Draw one digit as models decode it that were trained with growing noise, under growing noise."""
    index = int(np.flatnonzero(labels == 3)[0])
    image = test_set.images([index])
    rows = [scale for scale in TRAINED if any(lane["noise_scale"] == scale for lane in sweep.lanes)]
    made = style.figure(1.05 * (len(DECODED) + 1.6), 1.2 * len(rows) + 0.5)
    grid = made.subplots(len(rows), len(DECODED) + 1, squeeze=False)
    for line, scale in zip(grid, rows, strict=True):
        model = sweep.select(noise_scale=scale, seed=0)
        mean, logvar = (np.asarray(part, float) for part in model.encode(image))
        codes = np.concatenate([sampled(mean, logvar, s, seed=3) for s in DECODED])
        for axes, shown in zip(line, [image[0] / 255.0, *np.asarray(model.decode(codes))], strict=True):
            axes.imshow(shown[..., 0], cmap="gray_r", vmin=0, vmax=1)
            axes.xaxis.set_major_locator(NullLocator())
            axes.yaxis.set_major_locator(NullLocator())
        line[0].set_ylabel(f"{scale:g}", rotation=0, ha="right", va="center", fontsize=13)
        for axes, s in zip(line[1:], DECODED, strict=True):
            if s == scale:
                for spine in axes.spines.values():
                    spine.set(visible=True, color=style.QUALITATIVE[1], linewidth=2.5)
    for axes, s in zip(grid[0], ("digit", *(f"{s:g}" for s in DECODED)), strict=True):
        axes.set_title(s, fontsize=13)
    made.supylabel("noise_scale while training", fontsize=13)
    made.suptitle("factor on the noise while decoding (framed: as in training)", fontsize=13)
    return made


if __name__ == "__main__":
    app.run(main)
