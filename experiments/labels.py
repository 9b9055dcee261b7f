"""Labels that guide and let go: what is left in two latents of a classifier whose weight has faded, on real digits.

python experiments/labels.py --data_dir=FOLDER_OF_THE_MNIST_GZ_FILES

A VAE with two latents and the squared error is trained with a classifier on its code. The classifier's weight falls
from 20 to 0.01, by a sigmoid around step 960 or in swings of a cosine that are over by then; the same runs are looked
at after 600 steps, when the weight is still 20 (sigmoid) or at its second peak, 5 (cosine), and after 2,400. Means
are drawn to the origin by |mean| (`kl_l1`) or by mean^2 (`kl` at beta 1/2, which is that term but for the square).
Beside them the same two without labels, and a conditional VAE.

What a decoded image shows is told by its 10 nearest among 10,000 training digits, by their pixels (92% of real test
digits right).

Eight minutes on two cores that had other work (2026-11-26); batches of 100. Medians of three seeds [least, greatest] on
the test digits (figures/labels_planes.png, figures/labels_mixes.png); nats are of the squared error, an image:

- Digits told right by ten neighbours in the plane. Sigmoid: 76.5% before the weight fades, [67.6, 77.1] with |mean| and
  [72.4, 76.7] with mean^2; after, 69.8% [65.0, 72.1] and 60.5% [58.2, 63.8]. Without labels 60.0% [59.2, 61.1] and
  57.3% [57.3, 58.8]. So with |mean| a part of what labels did outlives them by 1,400 steps; with mean^2 no difference
  was found.
- The cosine, whose weight is low half of the time, does less: 51.5% [51.0, 55.1] and 49.2% [48.6, 50.5] after 600
  steps, 62.3% [61.0, 65.6] and 54.9% [51.0, 58.5] in the end: no difference from no labels found with either pull.
- Cost, in the end: none in reconstruction (485.7 [485.3, 485.8] with |mean| and sigmoid, 486.1 [485.9, 486.3] without
  labels; mean^2 486.7 [486.4, 486.9] and 488.4 [487.6, 488.6]). With |mean| codes stay far out (root mean square radius
  6.0 [5.9, 6.0], 5.2 [5.2, 5.4] without labels, 2.1 with mean^2), and the ELBO with N(0, I), which they do not train
  for, is -504.8 [-505.4, -504.5], without labels -501.4 [-502.2, -500.9], with mean^2 -491.2 [-491.3, -490.9].
- Between a 0 and an 8 images that are neither are 49% [40, 73] after |mean| and sigmoid, 66% [63, 69] without labels:
  no difference found. Told to be a 0, the conditional VAE's are neither in 1% [0, 2].
- The conditional VAE keeps the digit out of its plane (19.7% [18.6, 20.0]) and reconstructs best, 479.4 [479.3, 479.5].

Longer guidance leaves more: with STEPS, FADE, EARLY = 8000, 4000, 2400, |mean| and the sigmoid had 92.9% before and
83.5% after, 59.8% without labels (one seed, 2026-11-25).
"""

import math

import numpy as np
from absl import app
from common import digits, keep, remembered, said, table, trained
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from measures import nearest_digit, path_measures, straight_paths

import jaxvae
from jaxvae.report import planes, style
from jaxvae.types import ShownCodes

STEPS, FADE, EARLY = 2400, 960, 600  # in all, until the weight has faded, and where runs are looked at before
FADING = {
    "label_steps": [FADE],
    "label_sharpness": [20 / FADE],
    "label_high": [20],
    "label_low": [0.01],
    "label_halfperiod": [FADE / 3],  # the second trough is at FADE, and from there the weight stays low
}
PULLS = {"kl_l1": "|mean|", "kl": "mean²"}
SCHEDULES = {"label": "sigmoid", "label_cosine": "cosine"}
GUIDED = [f"{pull}+{schedule}" for pull in PULLS for schedule in SCHEDULES]
PAIRS, POINTS, KNOWN = 100, 13, 10_000  # paths from a 0 to an 8, images on each, digits that the judge knows
DRAWN, REGION = 2500, 60  # test codes on a plane, and those whose commonest digit is that of a place
GRID = 18  # images along a side of a manifold

COLOURS = np.array([to_rgb(colour) for colour in planes.colours_of(10)])


def models_of(train_set, test_set):
    """Return {(stage, objective, seed): model} of all that is trained; stages are before, after, and cvae."""
    common = {"eval_data": test_set, "likelihood": "gaussian", "latent_dim": 2, "batch_size": 100, "lr": 1e-3}
    common |= {"metrics": (), "lanes": "map"}
    numbers = {"seed": range(3), "sigma": [math.sqrt(0.5)]}
    halved = {f"{name}:beta": [0.5] for name in ("kl", *(f"kl+{schedule}" for schedule in SCHEDULES))}
    guided = {name: value for name, value in halved.items() if name != "kl:beta"}
    asked = {
        "after": {"objective": [*PULLS, *GUIDED], "sweep": numbers | FADING | halved, "steps": STEPS},
        "before": {"objective": GUIDED, "sweep": numbers | FADING | guided, "steps": EARLY},
        "cvae": {"objective": "kl", "sweep": numbers | {"beta": [0.5]}, "steps": STEPS},
    }
    found = {}
    for stage, choices in asked.items():
        architecture = "cvae+mlp" if stage == "cvae" else "mlp"
        sweep = trained(f"labels_{stage}", train_set, architecture=architecture, **common, **choices)
        for lane in sweep.lanes:
            found[stage, lane["objective"], lane["seed"]] = sweep.model(lane["lane"])
    return found


class Judge:
    """Tells the digit on images by the pixels of digits that it knows."""

    def __init__(self, train_set):
        known = range(min(KNOWN, len(train_set)))
        self.pixels = train_set.images(known).reshape(len(known), -1) / np.float32(255)
        self.labels = np.asarray(train_set.factors[: len(known), 0])

    def __call__(self, images):
        """Return the digit i[N] on images [N, …] in [0, 1]."""
        images = np.asarray(images, np.float32)
        return nearest_digit(self.pixels, self.labels, images.reshape(len(images), -1))


def encode(model, images, labels):
    """Return the posterior means [N, 2], whether or not the model is told labels."""
    return np.asarray(model.encode(images, *((labels,) if model.label_sizes else ()))[0], float)


def decode(model, codes, told=0):
    """Return images [N, 28, 28], of the digit `told` where the model is told labels."""
    given = (np.full(len(codes), told, np.int32),) if model.label_sizes else ()
    return np.asarray(model.decode(codes, *given))[..., 0]


def measure(model, images, labels, judge):
    """Return what is measured of one model on the test digits."""
    codes = encode(model, images, labels)
    begin, end = (np.flatnonzero(labels == digit)[:PAIRS] for digit in (0, 8))
    paths = straight_paths(codes[begin], codes[end], POINTS)
    drawn = decode(model, paths.reshape(-1, 2))
    shown = judge(drawn).reshape(-1, POINTS)[:, 1:-1]
    return {
        "neighbours": jaxvae.metrics.score(codes, labels[:, None], names="neighbours")["knn_accuracy"],
        "reconstruction": model.about["reconstruction"],
        "elbo": model.about["elbo"],
        "radius": float(np.sqrt((codes**2).sum(1).mean())),
        "neither": float(((shown != 0) & (shown != 8)).mean()),
        **path_measures(drawn.reshape(-1, POINTS, 784)),
    }


def main(_):
    """Train, measure, print, draw."""
    train_set, test_set = digits()
    images, labels = np.asarray(test_set.images(range(len(test_set)))), np.asarray(test_set.factors[:, 0])
    judge = Judge(train_set)
    right = remembered("judge", lambda: float((judge(images[:2000] / 255.0) == labels[:2000]).mean()))
    print(f"the judge tells {right:.1%} of test digits right")
    found = models_of(train_set, test_set)
    rows = []
    for (stage, objective, seed), model in found.items():
        name = f"{stage}_{objective}_{seed}"
        measured = remembered(name, lambda model=model: measure(model, images, labels, judge))
        rows.append({"stage": stage, "objective": objective, "seed": seed, **measured})
    keep("table", rows)
    numbers = {}
    for row in rows:
        numbers.setdefault((row["stage"], row["objective"]), []).append(row)
    names = list(rows[0])[3:]
    summary = [
        {"stage": stage, "objective": objective} | {name: said([row[name] for row in group]) for name in names}
        for (stage, objective), group in numbers.items()
    ]
    print(table(summary))
    keep("planes", draw_planes(found, images, labels, numbers))
    keep("mixes", draw_mixes(found, images, labels, judge))


@style.styled
def draw_planes(found, images, labels, numbers):
    """Draw test codes of seed 0 and regions of digits, with the accuracy of 10 neighbours over seeds."""
    made = style.figure(13.5, 6.6)
    columns = [("after", "", "no labels")]
    for schedule, name in SCHEDULES.items():
        columns += [("before", f"+{schedule}", f"{name}, before"), ("after", f"+{schedule}", f"{name}, after")]
    grid = made.subplots(len(PULLS), len(columns))
    for line, (pull, pull_name) in zip(grid, PULLS.items(), strict=True):
        for axes, (stage, schedule, title) in zip(line, columns, strict=True):
            codes = encode(found[stage, pull + schedule, 0], images, labels)
            told = [100 * row["neighbours"] for row in numbers[stage, pull + schedule]]
            draw_plane(axes, codes, labels)
            axes.set_title(
                f"{title}\n{np.median(told):.1f}% [{min(told):.1f}, {max(told):.1f}]", loc="left", fontsize=12
            )
        line[0].set_ylabel(f"pull of the prior: {pull_name}", fontsize=12)
    return made


def draw_plane(axes, codes, labels):
    """Colour a plane by the commonest digit of the nearest codes, with the codes on it."""
    # All but the farthest codes: one that runs away would flatten the others.
    low, high = np.quantile(codes, (0.004, 0.996), axis=0)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    across = [np.linspace(low[d], high[d], 100) for d in range(2)]
    places = np.stack(np.meshgrid(*across), -1)
    few = min(REGION, len(codes) - 1)  # enough that a region is not a single code
    nearest = nearest_digit(codes, labels, places.reshape(-1, 2), few).reshape(places.shape[:2])
    extent = (low[0], high[0], low[1], high[1])
    light = ListedColormap(0.68 + 0.32 * COLOURS)
    axes.imshow(nearest, cmap=light, vmin=-0.5, vmax=9.5, extent=extent, origin="lower", aspect="auto")
    for digit in range(10):
        axes.contour(*across, nearest == digit, levels=[0.5], colors="white", linewidths=0.6)
    some = slice(DRAWN)
    shown = ShownCodes(codes[some], labels[some], "digit", tuple(map(str, range(10))))
    planes.scatter(axes, shown.means, shown, named=True)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.grid(False)
    axes.locator_params(nbins=4)


@style.styled
def draw_mixes(found, images, labels, judge):
    """Draw the way from a 0 to an 8, and manifolds, inked in the colour of the digit that the judge sees."""
    guided = GUIDED[0]
    paths = {
        "no labels": (("after", "kl_l1"), 0),
        "|mean|, sigmoid, before": (("before", guided), 0),
        "|mean|, sigmoid, after": (("after", guided), 0),
        "|mean|, cosine, after": (("after", GUIDED[1]), 0),
        "mean², sigmoid, after": (("after", GUIDED[2]), 0),
        "conditional, told 0": (("cvae", "kl"), 0),
        "conditional, told 8": (("cvae", "kl"), 8),
    }
    manifolds = {
        "no labels": (("after", "kl_l1"), 0),
        "|mean|, sigmoid, after": (("after", guided), 0),
        "conditional, told 8": (("cvae", "kl"), 8),
    }
    made = style.figure(13.2, 9.6)
    top, bottom = made.subfigures(2, 1, height_ratios=(4.7, 4.7))
    ends = [_typical(images, labels, digit) for digit in (0, 8)]
    for axes, (name, (which, told)) in zip(top.subplots(len(paths), 1), paths.items(), strict=True):
        model = found[*which, 0]
        codes = encode(model, images[ends], labels[ends])
        drawn = decode(model, straight_paths(codes[:1], codes[1:], 21)[0], told)
        _show(axes, np.concatenate(_inked(drawn, judge), 1))
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=12)
    top.suptitle("straight from the code of a typical 0 to that of a typical 8", fontsize=13)
    for axes, (name, (which, told)) in zip(bottom.subplots(1, len(manifolds)), manifolds.items(), strict=True):
        model = found[*which, 0]
        across = np.quantile(encode(model, images, labels), np.linspace(0.02, 0.98, GRID), axis=0)
        codes = np.stack(np.meshgrid(across[:, 0], across[::-1, 1]), -1).reshape(-1, 2)
        inked = _inked(decode(model, codes, told), judge).reshape(GRID, GRID, 28, 28, 3)
        _show(axes, inked.transpose(0, 2, 1, 3, 4).reshape(28 * GRID, 28 * GRID, 3))
        axes.set_title(name, loc="left", fontsize=12)
    handles = [Line2D([], [], marker="s", ls="", color=COLOURS[d], label=str(d)) for d in range(10)]
    bottom.legend(
        handles=handles,
        loc="outside lower center",
        ncols=10,
        title="the digit that is seen there (planes: at quantiles of the codes)",
    )
    return made


def _typical(images, labels, digit):
    """Return the index of the image of a digit that is nearest to the mean image of that digit."""
    those = np.flatnonzero(labels == digit)
    pixels = images[those].astype(float)
    return int(those[((pixels - pixels.mean(0)) ** 2).sum((1, 2, 3)).argmin()])


def _inked(drawn, judge):
    """Return images [N, 28, 28, 3], the ink of each in the colour of the digit that is seen on it."""
    return 1 - drawn[..., None] * (1 - COLOURS[judge(drawn)][:, None, None] * 0.85)


def _show(axes, picture):
    axes.imshow(np.clip(picture, 0, 1))
    axes.spines[:].set_visible(False)
    axes.xaxis.set_major_locator(NullLocator())
    axes.yaxis.set_major_locator(NullLocator())


if __name__ == "__main__":
    app.run(main)
