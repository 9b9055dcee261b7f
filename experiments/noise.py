"""What does the noise do? The factor on a VAE's noise, while it is trained and while it decodes, on real digits.

python experiments/noise.py --data_dir=FOLDER_OF_THE_MNIST_GZ_FILES

Trains z = mean + noise_scale * sd * eps for six factors, two and ten latents and three seeds, and decodes every model
with z = mean + s * sd * eps for nine s. noise_scale = 0 is an autoencoder whose KL is still weighed: nothing but the KL
then says what the posterior's deviation is, so it is 1. Only noise_scale = 1 has an ELBO.

Eight minutes on two cores that had other work (2026-11-26); 1,200 steps of 128. Medians of three seeds [least,
greatest] on the test digits, ten latents unless said (figures/noise_numbers.png, figures/noise_decoded.png):

- The factor is undone. sd is 0.60 at 0.25, 0.23 at 1, 0.12 at 2, so that the noise that the decoder is given has a
  deviation of 0.15, 0.20, 0.23, 0.24, 0.24 at factors of 0.25, 0.5, 1, 1.5, 2. What is paid is KL: 2.7 [2.6, 2.7] nats
  without noise, 17.6 [17.5, 18.0] at 1, 24.0 [24.0, 24.8] at 2. Reconstruction with the noise of training is 111.0
  [110.9, 111.6], 112.9 [112.6, 113.7], 113.7 [112.3, 113.8].
- At the means, models trained with noise reconstruct better: 108.2 [108.0, 108.9] at 1, 111.0 [110.9, 111.6] at 0. Two
  latents: no difference found (165.9 [165.7, 167.0], 166.8 [166.8, 167.0]).
- A decoder bears the noise it has seen. Decoded with s = 1 the model trained without costs 520 [509, 537] nats, that
  at 0.25 159 [156, 161], that at 1 113, that at 2 110 [109, 110]; and no model is hurt by less noise.
- Overlap: of 1,000 codes given to the decoder 0 are likelier under another digit's posterior without noise, 1.5% [1.0,
  1.9] at 0.25, 4.9% [4.9, 5.3] at 1, 5.2% [4.8, 5.8] at 2; in two latents 84% [82, 86] at 0.25 and 87% [87, 89] at 1.
- Digits told right by ten neighbours of the means: no difference found, 89.2% [89.0, 89.9] without noise and 90.2%
  [89.7, 90.7] at 1; two latents 42% [41, 43] and 43% [42, 46].
- Straight paths between digits of two classes are more even with noise: their largest step is 1.59 [1.55, 1.60] mean
  steps without, 1.35 [1.34, 1.36] at 1 and no less beyond; in two latents 1.76 [1.75, 1.85] and 1.63 [1.55, 1.66]. They
  are hardly shorter: 1.24 [1.24, 1.25] and 1.22 [1.22, 1.23] times a cross-fade; two latents 1.10 and 1.11.
"""

import numpy as np
from absl import app
from common import digits, keep, remembered, said, table, trained
from matplotlib.ticker import NullFormatter, NullLocator
from measures import (
    bernoulli_nll,
    log_densities,
    path_measures,
    sampled,
    standard_kl,
    straight_paths,
)

import jaxvae
from jaxvae.report import style

TRAINED = (0, 0.25, 0.5, 1, 1.5, 2)
SHOWN = (0, 0.25, 1, 2)  # of them, in the picture
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
    row |= told_by_neighbours(mean, given, labels)
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


def told_by_neighbours(mean, given, labels):
    """Return how often ten neighbours tell the digit right, of posterior means and of the codes given."""
    codes = {"neighbours": mean, "neighbours_given": given}
    scores = {n: jaxvae.metrics.score(z, labels[:, None], names="neighbours") for n, z in codes.items()}
    return {name: score["knn_accuracy"] for name, score in scores.items()}


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
    """Return a row for each setting, each number as the median over seeds, the least and the greatest."""
    shown = ("given", "at_0", "at_1", "kl", "sd", "neighbours", "neighbours_given", "overlap", "length", "largest_step")
    return [
        {"latents": latents, "noise_scale": scale} | {name: said([row[name] for row in group]) for name in shown}
        for latents, same in _by("latents", rows)
        for scale, group in _by("noise_scale", same)
    ]


@style.styled
def draw_numbers(rows):
    """Draw numbers over the noise in training, and the reconstruction over that in decoding; seeds are a band."""
    panels = {
        "given_sd": "mean deviation of the noise that\nthe decoder is given in training",
        "kl": "KL to N(0, I) (nats)",
        "overlap": "codes given that are likelier under\nanother of 1,000 digits' posteriors",
        "neighbours": "digits told right by\n10 nearest posterior means",
        "largest_step": "largest step over mean step, in pixels,\non straight paths of codes",
    }
    made, every = style.panels(len(panels) + 1)
    made.set_size_inches(12.6, 7.4)
    handles = []
    for (name, title), axes in zip(panels.items(), every, strict=False):
        handles = []
        for index, latents in enumerate(LATENTS):
            here = [row | {"given_sd": row["noise_scale"] * row["sd"]} for row in rows if row["latents"] == latents]
            look = {"color": style.QUALITATIVE[index], "marker": style.MARKERS[index]}
            groups = [(scale, [row[name] for row in group]) for scale, group in _by("noise_scale", here)]
            handles += _line(axes, *zip(*groups, strict=True), label=f"{latents} latents", **look)
        axes.set_title(title, loc="left", fontsize=12)
        axes.set_xlabel("noise_scale while training")
        if name in ("given_sd", "kl", "overlap"):
            axes.set_ylim(bottom=0)
    axes, here = every[-1], [row for row in rows if row["latents"] == LATENTS[0]]
    groups = list(_by("noise_scale", here))
    for index, (scale, group) in enumerate(groups):
        colour = style.sequential()(index / max(1, len(groups) - 1))
        _line(axes, DECODED, [[row[f"at_{s:g}"] for row in group] for s in DECODED], label=f"{scale:g}", color=colour)
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks([100, 200, 400, 800], ["100", "200", "400", "800"])
    axes.set_title(f"reconstruction of {LATENTS[0]} latents (nats)", loc="left", fontsize=12)
    axes.set_xlabel("factor on the noise while decoding")
    axes.legend(title="noise_scale while training", ncols=2, fontsize=10, title_fontsize=10, loc="upper left")
    style.legend_above(made, handles)
    return made


def _by(name, rows):
    """Return (value, rows that have it) for each value of a number, ascending."""
    return [(value, [row for row in rows if row[name] == value]) for value in sorted({row[name] for row in rows})]


def _line(axes, at, values, *, color, **look):
    """Draw the median of each of some groups of values as a line, and from least to greatest as a band."""
    axes.fill_between(at, [min(v) for v in values], [max(v) for v in values], color=color, alpha=0.25, lw=0)
    return axes.plot(at, [np.median(v) for v in values], color=color, markeredgecolor="white", **look)


@style.styled
def draw_decoded(sweep, test_set, labels):
    """Draw one digit as models decode it that were trained with growing noise, under growing noise."""
    index = int(np.flatnonzero(labels == 2)[0])
    image = test_set.images([index])
    rows = [scale for scale in SHOWN if any(lane["noise_scale"] == scale for lane in sweep.lanes)]
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
        for axes, s in zip(line, (None, *DECODED), strict=True):
            for spine in axes.spines.values():
                spine.set(visible=s == scale, color=style.QUALITATIVE[1], linewidth=2.5)
    for axes, s in zip(grid[0], ("digit", *(f"{s:g}" for s in DECODED)), strict=True):
        axes.set_title(s, fontsize=13)
    made.supylabel("noise_scale while training", fontsize=13)
    made.suptitle("factor on the noise while decoding (framed: as in training)", fontsize=13)
    return made


if __name__ == "__main__":
    app.run(main)
