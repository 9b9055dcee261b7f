"""How many labels does a frozen code need? Probes fitted to 10 … 10,000 labelled codes, over beta and over methods.

python experiments/few_labels.py --data_dir=FOLDER_OF_THE_MNIST_GZ_FILES

Codes are posterior means of models that saw no label; each lane's images are encoded once. Two probes are fitted to the
codes of a few labelled images: multinomial logistic regression (codes standardised) and gradient-boosted trees. The
accuracy is on images without labels: MNIST's test set, and 5,000 sprites, where it is the mean over the five factors.
Labelled images are drawn anew up to three times, the same ones for every lane. On digits there is the logistic
regression on pixels in 0 … 1 beside them. Lines are medians over the seeds of a setting, bands reach from the least to
the greatest.

Prints tables, and Spearman's rank correlation over lanes of the accuracy at 100 labels with what the lanes score
otherwise, with 95% bootstrap intervals over lanes; keeps few_labels.csv and few_labels.png. A lane that was measured is
remembered.

Six minutes of CPU once the sweeps are there (2026-11-26), 21 lanes on digits and 18 on sprites, three seeds a setting.

MNIST, labels              10               100              1,000            10,000
  logistic, beta 0.001     .38 [.38, .39]   .80 [.79, .81]   .89 [.88, .89]   .90 [.89, .90]
            beta 1         .34 [.34, .35]   .74 [.74, .74]   .85 [.85, .86]   .86 [.86, .87]
            beta 10        .32 [.30, .33]   .68 [.68, .69]   .79 [.79, .80]   .80 [.80, .81]
            pixels         .34              .74              .87              .91
  trees, beta 0.001        .27 [.25, .28]   .64 [.62, .66]   .88 [.87, .88]   .93 [.92, .93]
         beta 1            .21 [.20, .23]   .58 [.56, .58]   .85 [.85, .86]   .91 [.91, .92]
         beta 10           .25 [.25, .27]   .56 [.56, .58]   .80 [.79, .80]   .85 [.84, .85]

The smaller beta, the better the code for digits, for the logistic regression at every number of labels and for trees
from 100 on (rank correlation over lanes of the accuracy at 100 labels with reconstruction -0.95 [-0.99, -0.85] and
-0.66 [-0.86, -0.30]). Up to 1,000 labels codes of beta 0.001 are read better than pixels; a plain VAE's are not, beyond
100. The logistic regression is the better probe of few labels, trees from 3,000 on.

Sprites, labels            10               100              1,000            10,000
  logistic, VAE            .24 [.23, .24]   .35 [.34, .36]   .45 [.45, .46]   .52 [.52, .55]
            beta-TCVAE     .24 [.23, .24]   .34 [.33, .34]   .42 [.42, .42]   .51 [.51, .51]
  trees, VAE               .22 [.22, .23]   .33 [.32, .34]   .50 [.48, .52]   .60 [.59, .62]
         beta-TCVAE        .24 [.22, .24]   .34 [.33, .34]   .51 [.50, .51]   .59 [.59, .59]
         DD-VAE            .20 [.20, .20]   .31 [.29, .31]   .46 [.41, .49]   .53 [.49, .55]

Disentanglement tells which lanes need few labels for trees, which split one latent at a time, and reconstruction tells
it for the logistic regression, which sees all latents. At 100 labels, correlations over 18 lanes, trees and logistic:
MIG +0.81 [+0.47, +0.96] and +0.53 [-0.01, +0.84], DCI +0.80 [+0.47, +0.92] and +0.36 [-0.23, +0.74], reconstruction
-0.37 [-0.79, +0.17] and -0.84 [-0.96, -0.55]. Without DD-VAE, the worst by all of these, MIG +0.70 [+0.28, +0.94] and
+0.21 [-0.45, +0.70]. The effect is small: for trees, methods other than DD-VAE and HFVAE differ by no more than their
seeds do, and the logistic regression tells most off the plain VAE's codes from 300 labels on.
"""

import common
import jax
import jax.numpy as jnp
import numpy as np
from absl import app
from scipy import stats

import jaxvae
from jaxvae.learners import boosting, logistic, moments
from jaxvae.report import style

LABELS = {10: 3, 30: 3, 100: 3, 300: 2, 1000: 2, 3000: 1, 10_000: 1}
"""Number of labelled images -> draws of them. Many labels need few draws: one differs little from the next."""
TOLD = 100  # labels at which lanes are ranked
POOL, HELD_OUT = 15_000, 5_000  # sprites that labels are drawn from, and that accuracy is of
BLOCK = 500
PROBES = {"logistic": "Logistic regression", "boosted": "Boosted trees"}
RANKED_BY = {
    "sprites": ("mig", "dci_disentanglement", "dci_informativeness", "reconstruction", "kl"),
    "digits": ("reconstruction", "kl", "elbo"),
}


def accuracy(probe, codes, values, test_codes, test_values, sizes):
    """Return the share of test values [M, K] that a probe of codes [N, D] and values [N, K] tells, all columns."""
    if probe == "boosted":
        told = boosting.boost(codes, values, sizes, test_codes, jax.random.key(0)).predicted
        return float((told == test_values).mean())
    if probe == "logistic":
        scaling = moments.scaling_of(codes)
        codes, test_codes = (moments.standardise(part, scaling) for part in (codes, test_codes))
    logits = logistic.logits_of(logistic.fit_each(codes, values, sizes), test_codes)  # [sum(sizes), M]
    told = jnp.stack([part.argmax(0) for part in jnp.split(logits, np.cumsum(sizes)[:-1])], axis=1)
    return float((told == test_values).mean())


def curves(codes, values, test_codes, test_values, sizes, probes=tuple(PROBES)):
    """Return [{probe, labels, draw, accuracy}] of one code; which rows are labelled is the same for all codes."""
    rows = []
    wanted = {10: 2, TOLD: 1} if common.FLAGS.quick else LABELS
    for labels, draws in wanted.items():
        for draw in range(draws):
            chosen = np.random.default_rng((labels, draw)).choice(len(codes), labels, replace=False)
            for probe in probes:
                found = accuracy(probe, codes[chosen], values[chosen], test_codes, test_values, sizes)
                rows.append({"probe": probe, "labels": labels, "draw": draw, "accuracy": found})
    return rows


def encode(model, data, rows):
    """Return the posterior means f32[len(rows), D] of images of a data set, of the latents that are scored."""
    blocks = np.array_split(rows, max(1, len(rows) // BLOCK))
    return jnp.concatenate([model.encode(data.batch(jnp.asarray(block)))[0] for block in blocks])


def splits(name):
    """Return (data and rows labels are drawn from, data and rows accuracy is of)."""
    if name == "digits":
        train, test = (jaxvae.data.load("mnist", split, common.FLAGS.data_dir) for split in ("train", "test"))
        return (train, np.random.default_rng(0).permutation(len(train))[:POOL]), (test, np.arange(len(test)))
    data = jaxvae.data.load("mini_sprites")
    pool, held_out = (300, 200) if common.FLAGS.quick else (POOL, HELD_OUT)
    rows = np.random.default_rng(0).permutation(len(data))
    return (data, rows[:pool]), (data, rows[pool : pool + held_out])


def study(name, sweep):
    """Return a row for each lane, probe, number of labels and draw; of digits also those of pixels, lane -1."""
    (train, pool), (test, asked) = splits(name)
    values, test_values = train.factors[pool], test.factors[asked]
    rows = []

    def add(about, found):
        rows.extend({"data": name} | about | row for row in found)

    if name == "digits":
        pixels = [data.batch(rows).reshape(len(rows), -1) for data, rows in splits(name)]
        work = (curves, pixels[0], values, pixels[1], test_values, train.factor_sizes, ("pixels",))
        add({"lane": -1, "setting": "pixels"}, common.remembered("digits_pixels", *work))
    for lane in sweep.results:
        if lane["status"] != "ok":
            continue

        def measure(lane=lane):
            model = sweep.model(lane["lane"])
            codes, test_codes = encode(model, train, pool), encode(model, test, asked)
            return curves(codes, values, test_codes, test_values, train.factor_sizes)

        setting = f"{lane['beta']:g}" if name == "digits" else lane["objective"]
        found = common.remembered(f"{name}_{lane['lane']}", measure)
        known = {column: lane.get(column) for column in RANKED_BY[name]}
        add({"lane": lane["lane"], "setting": setting, "seed": lane["seed"]} | known, found)
        last = {row["probe"]: row["accuracy"] for row in found if row["labels"] <= TOLD}
        print(f"{name}, {setting}, seed {lane['seed']}: at {TOLD} labels {last}", flush=True)
    return rows


def of_lanes(rows, name, probe, labels):
    """Return {lane: (row of the lane, accuracy, mean over draws)}."""
    found = {}
    for row in rows:
        if (row["data"], row["probe"], row["labels"]) == (name, probe, labels):
            found.setdefault(row["lane"], []).append(row)
    return {lane: (draws[0], float(np.mean([row["accuracy"] for row in draws]))) for lane, draws in found.items()}


def numbers_of_labels(rows, name):
    """Return the numbers of labels that were measured."""
    return sorted({row["labels"] for row in rows if row["data"] == name})


def settings_of(rows, name):
    """Return the settings of a data set in the order of lanes."""
    return list(dict.fromkeys(row["setting"] for row in rows if row["data"] == name))


def medians(rows, name, probe):
    """Return a row for each setting, a column for each number of labels: median [least, greatest] over seeds."""
    table = []
    for setting in settings_of(rows, name):
        told = {}
        for labels in numbers_of_labels(rows, name):
            lanes = of_lanes(rows, name, "pixels" if setting == "pixels" else probe, labels).values()
            told[f"{labels}"] = common.said(value for row, value in lanes if row["setting"] == setting)
        table.append({"setting": setting} | told)
    return table


def correlations(rows, name):
    """Return Spearman's correlation over lanes of accuracy at TOLD labels with each other score of a lane."""

    def correlation(pairs):
        ranks = stats.rankdata(pairs, axis=0)
        return np.corrcoef(ranks.T)[0, 1] if np.ptp(ranks, axis=0).all() else np.nan

    table = []
    for column in RANKED_BY[name]:
        told = {"score": column}
        for probe in PROBES:
            lanes = [(row, value) for row, value in of_lanes(rows, name, probe, TOLD).values() if row["lane"] >= 0]
            pairs = np.array([(row[column], value) for row, value in lanes if row[column] is not None], float)
            if len(pairs) > 3:
                found, low, high = common.interval(pairs, correlation, resamples=2000)
                told[f"{probe}, {len(pairs)} lanes"] = f"{found:+.2f} [{low:+.2f}, {high:+.2f}]"
        table.append(told)
    return table


@style.styled
def draw(rows):
    """Draw accuracy over the number of labels, a line for each setting: a panel for each data set and probe."""
    made = style.figure(13.0, 8.6)
    for line, name in enumerate(("digits", "sprites")):
        settings = settings_of(rows, name)
        codes = [setting for setting in settings if setting != "pixels"]
        colours = style.sequential()(np.linspace(0, 1, max(2, len(codes)))) if name == "digits" else style.QUALITATIVE
        for column, (probe, title) in enumerate(PROBES.items()):
            axes = made.add_subplot(2, len(PROBES), len(PROBES) * line + column + 1)
            for setting in settings:
                points = []
                for labels in numbers_of_labels(rows, name):
                    lanes = of_lanes(rows, name, "pixels" if setting == "pixels" else probe, labels).values()
                    here = [value for row, value in lanes if row["setting"] == setting]
                    if here:
                        points.append((labels, np.median(here), min(here), max(here)))
                across, middle, low, high = np.array(points).T
                if setting == "pixels":
                    axes.plot(
                        across, middle, color="#222222", linestyle=(0, (4, 2)), label="pixels, logistic regression"
                    )
                    continue
                colour = colours[codes.index(setting)]
                marker = style.MARKERS[codes.index(setting) % len(style.MARKERS)]
                label = f"β {setting}" if name == "digits" else setting
                axes.plot(across, middle, color=colour, marker=marker, markersize=5, label=label)
                axes.fill_between(across, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.set_xscale("log")
            data = "MNIST, mlp, ten latents" if name == "digits" else "32x32 sprites, mean over five factors"
            axes.set_title(f"{title}\n{data}", loc="left")
            axes.set_xlabel("labelled images" if line else "")
            axes.set_ylabel("test accuracy" if column == 0 else "")
            if column:
                axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=11)
        panels = made.axes[-len(PROBES) :]
        least, most = zip(*(axes.get_ylim() for axes in panels), strict=True)
        for axes in panels:
            axes.set_ylim(min(least), max(most))
    return made


def main(_):
    """Train or open, probe, print, draw."""
    few = {"sweep": {"beta": [1, 4], "seed": range(2)}, "metrics": ("active_units",)}
    axes = common.SHARED["sprites_methods"]["sweep"] | {"seed": range(2)}
    rows = study("digits", common.trained("digits_mlp", quick=few))
    rows += study(
        "sprites", common.trained("sprites_methods", quick={"sweep": axes, "metrics": ("mig", "active_units")})
    )
    for name in RANKED_BY:
        for probe in PROBES:
            print(f"\n{name}, {PROBES[probe]}: accuracy by number of labels, median [least, greatest] over seeds")
            print(common.table(medians(rows, name, probe)))
        print(f"\n{name}: rank correlation over lanes of accuracy at {TOLD} labels with")
        print(common.table(correlations(rows, name)))
    common.keep("few_labels", rows)
    print("figure:", common.keep("few_labels", draw(rows)))


if __name__ == "__main__":
    app.run(main)
