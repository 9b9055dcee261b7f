"""Clipping, clustering, correlation, an adversary, and two of them together: what is each worth beyond beta?

python experiments/together.py --data_dir=FOLDER_OF_THE_MNIST_GZ_FILES

Most methods make codes less correlated, and most reconstruct worse for it, as a higher beta does. So every number is
compared with beta-VAE's at the same reconstruction, interpolated along the betas of the same seed: what is reported is
the difference from that curve, median and range over three seeds. Total correlation (TC) is measured three ways: as of
a Gaussian with the codes' covariance; of the mixture of 1,000 test digits' posteriors; and by a critic, a lower bound.

23 minutes on one core of two that had other work (2026-11-26), 12 of them measuring; the mlp, ten latents, 1,000 steps
of 100. Reconstruction is 118 nats at beta 1, 139 [139, 140] at 4; TC there, in the order above, 0.46, 8.8, 1.9 and
0.08, 1.6, 0.7. Beyond beta-VAE's curve at the same reconstruction (figures/together.png):

- Adversary (gamma 5): Gaussian TC -0.26 [-0.33, -0.25], by a critic -0.85 [-0.86, -0.76], of the mixture +0.96 [+0.94,
  +1.6] at a KL that is 1.6 [1.5, 2.5] higher. Silhouette -0.025 [-0.031, -0.019]: digits lie less apart, though their
  neighbours tell them as well (+0.3 points [+0.1, +0.5]).
- Covariance (DIP-VAE-II) takes correlations alone: Gaussian TC -0.30 [-0.32, -0.29], critic -0.12 [-0.23, -0.04],
  mixture +0.8 [+0.8, +1.0]. TC by minibatch (beta 4): critic -0.28 [-0.28, -0.19], mixture -0.45 [-0.50, -0.37],
  Gaussian no difference found; silhouette +0.007 [+0.002, +0.010].
- Clipping (beta 4, floor 0.5) is nearly beta-VAE at a lower beta: TC of the mixture -0.21 [-0.30, -0.08], KL -0.2
  [-0.2, -0.1], neighbours +0.3 points [+0.0, +0.4], no difference found in the others. A capacity of 18 nats at 0.6 of
  the steps is worse in all three TC (critic +1.1 [+1.1, +1.2]) and in neighbours (-3.2 points [-3.9, -2.8]): it
  reconstructs as at beta 4 with the KL of beta 1.
- Clustering (VaDE, a third of the steps alone) reconstructs better than any beta here, 105.3 [105.2, 105.5], with codes
  far from N(0, I) (KL to it 228 [222, 235]); so there is no curve to compare it with. Neighbours 91.8% [91.2, 91.8] and
  silhouette 0.133 [0.130, 0.134] are the highest of all lanes' (beta 0.5: 90.1% [89.8, 90.5], 0.110 [0.109, 0.111]).
- Two together. Clipping and adversary: critic -0.34 [-0.38, -0.19], Gaussian -0.05 [-0.08, -0.03], where clipping has
  none: the adversary's part stays, at a higher beta where less was left to take. Clipping and TC by minibatch: critic
  -0.08 [-0.10, +0.00], less than the latter alone. Clustering and covariance: as covariance alone, and clustering's
  gain in neighbours and silhouette is gone. Clustering and adversary: critic 0.74 [0.67, 0.77] at a reconstruction of
  112 [111, 113], where beta 0.5 has 2.3 [2.2, 2.4], the lowest TC for what it reconstructs; the price is the clusters,
  silhouette 0.069 [0.068, 0.076]. Capacity and adversary: the adversary takes a part of what capacity adds (critic +0.7
  [+0.4, +0.8]).
"""

import numpy as np
from absl import app
from common import FLAGS, digits, keep, remembered, said, table, trained
from measures import (
    critic_total_correlation,
    gaussian_total_correlation,
    mixture_total_correlation,
    sampled,
    standard_kl,
)

import jaxvae
from jaxvae.report import style

STEPS = 1000
MIXED = 1000  # test digits whose posteriors, mixed, are q(z) in the total correlation that needs no critic
KNOWN = 10_000  # training digits whose codes the critic is fitted to; it is asked about those of all test digits

BETAS = (0.5, 1, 2, 4, 6)
ADVERSARY = {"gamma": 5, "critic_lr": 1e-3}
CLIPPED = {"beta": 4, "floor": 0.5}
CLUSTERS = {"beta": 1, "pretrain_steps": STEPS / 3}
CAPACITY = {"capacity": 18, "capacity_steps": 0.6 * STEPS}
METHODS = {
    "clipping": ("kl_clip", CLIPPED),
    "capacity": ("capacity", CAPACITY | {"gamma": 100}),
    "clustering": ("kl_mixture", CLUSTERS),
    "covariance": ("kl+dip_ii", {"lambda_od": 10}),
    "TC by minibatch": ("kl+tc_mws", {"tc_mws.beta": 4}),
    "adversary": ("kl+tc_critic", ADVERSARY),
    "clipping + adversary": ("kl_clip+tc_critic", CLIPPED | ADVERSARY),
    "clipping + TC by minibatch": ("kl_clip+tc_mws", {"kl_clip.beta": 4, "floor": 0.5, "tc_mws.beta": 4}),
    "capacity + adversary": (
        "capacity+tc_critic",
        CAPACITY | {"capacity.gamma": 100, "tc_critic.gamma": 5, "critic_lr": 1e-3},
    ),
    "clustering + adversary": ("kl_mixture+tc_critic", CLUSTERS | ADVERSARY),
    "clustering + covariance": ("kl_mixture+dip_ii", CLUSTERS | {"lambda_od": 10}),
}
QUICK = ("clipping", "adversary", "clipping + adversary")
QUANTITIES = {
    "tc_gaussian": "TC of a Gaussian (nats)",
    "tc_mixture": "TC of the posteriors' mixture (nats)",
    "tc_critic": "TC by a critic (nats)",
    "kl": "KL to N(0, I) (nats)",
    "neighbours": "digits told right by 10 nearest codes",
    "silhouette": "silhouette of the digits",
}


def measure(model, known, images, labels):
    """Return what is measured of one model on the test digits; its critic knows the codes of training digits."""
    mean, logvar = (np.asarray(part, float) for part in model.encode(images))
    z = sampled(mean, logvar)
    # The aggregate posterior's own covariance: that of the means, and the noise.
    aggregate = np.cov(mean.T, bias=True) + np.diag(np.exp(logvar).mean(0))
    told = jaxvae.metrics.score(mean, labels[:, None], names=("neighbours", "silhouette"))
    return {
        "reconstruction": model.about["reconstruction"],
        "kl": float(standard_kl(mean, logvar).sum(1).mean()),
        "tc_gaussian": gaussian_total_correlation(aggregate, [[d] for d in range(len(aggregate))]),
        "tc_mixture": mixture_total_correlation(z[:MIXED], mean[:MIXED], logvar[:MIXED]),
        "tc_critic": critic_total_correlation(sampled(*(np.asarray(p, float) for p in model.encode(known))), z),
        "neighbours": told["knn_accuracy"],
        "silhouette": told["silhouette"],
        "active": int((mean.var(0) > 0.01).sum()),
    }


def above_curve(row, curve, name):
    """Return how far a number lies above beta-VAE's at the same reconstruction and seed; NaN beyond the curve's ends.

    Args:
        row: of the method.
        curve: rows of beta-VAE of that seed.
        name: of the number.
    """
    at, value = zip(*sorted((other["reconstruction"], other[name]) for other in curve), strict=True)
    return float(row[name] - np.interp(row["reconstruction"], at, value, left=np.nan, right=np.nan))


def main(_):
    """Train, measure, print, draw."""
    train_set, test_set = digits()
    images, labels = np.asarray(test_set.images(range(len(test_set)))), np.asarray(test_set.factors[:, 0])
    known = train_set.images(range(min(KNOWN, len(train_set))))
    methods = {name: METHODS[name] for name in (QUICK if FLAGS.quick else METHODS)}
    axes = {f"{objective}:{name}": [value] for objective, given in methods.values() for name, value in given.items()}
    sweep = trained(
        "digits_together",
        train_set,
        eval_data=test_set,
        objective=["beta_vae", *(objective for objective, _ in methods.values())],
        architecture="mlp",
        sweep={"beta_vae:beta": BETAS, "seed": range(3)} | axes,
        latent_dim=10,
        steps=STEPS,
        batch_size=100,
        lr=1e-3,
        critic_width=128,
        critic_depth=3,
        metrics=(),
        lanes="map",
        quick={"sweep": {"beta_vae:beta": BETAS[:2], "seed": range(2)} | axes},
    )
    names = {objective: name for name, (objective, _) in methods.items()}
    rows = []
    for lane in sweep.lanes:
        number = lane["lane"]
        measured = remembered(f"lane_{number}", lambda n=number: measure(sweep.model(n), known, images, labels))
        method = names.get(lane["objective"], f"beta {lane.get('beta')}")
        rows.append({"method": method, "objective": lane["objective"], "seed": lane["seed"], **measured})
    for row in rows:
        curve = [other for other in rows if other["objective"] == "beta_vae" and other["seed"] == row["seed"]]
        row |= {f"{name}_above": above_curve(row, curve, name) for name in QUANTITIES}
    keep("table", rows)
    grouped = {}
    for row in rows:
        grouped.setdefault(row["method"], []).append(row)
    shown = ("reconstruction", *QUANTITIES, "active")
    print(table([{"method": n} | {q: said([r[q] for r in group]) for q in shown} for n, group in grouped.items()]))
    print("\nabove beta-VAE's curve at the same reconstruction")
    above = {n: {q: said([row[f"{q}_above"] for row in grouped[n]], 2) for q in QUANTITIES} for n in methods}
    print(table([{"method": name} | numbers for name, numbers in above.items()]))
    keep("curve", draw_curve(grouped))


@style.styled
def draw_curve(grouped):
    """Draw each quantity over reconstruction: beta-VAE as a line, methods as points, their seeds as small ones."""
    made, every = style.panels(len(QUANTITIES))
    made.set_size_inches(13.2, 8.4)
    singles = [name for name in METHODS if "+" not in name]
    colours = dict(zip(singles, style.QUALITATIVE, strict=False))
    curve = [rows for name, rows in grouped.items() if name not in METHODS]
    for (quantity, title), axes in zip(QUANTITIES.items(), every, strict=True):
        at = [np.median([(row["reconstruction"], row[quantity]) for row in rows], axis=0) for rows in curve]
        axes.plot(*np.transpose(at), color="#222222", label="beta-VAE, beta 0.5 to 6", zorder=1)
        low, high = ([pick([row[quantity] for row in rows]) for rows in curve] for pick in (min, max))
        axes.fill_between([x for x, _ in at], low, high, color="#222222", alpha=0.15, lw=0)
        for name in (name for name in METHODS if name in grouped):
            rows = [(row["reconstruction"], row[quantity]) for row in grouped[name]]
            first, _, second = name.partition(" + ")
            look = {"color": colours[first], "marker": "o", "linestyle": "none", "zorder": 3}
            if second:  # ringed in the colour of the other
                look |= {"markeredgecolor": colours[second], "markeredgewidth": 2.5, "markersize": 9}
            else:
                look |= {"markeredgecolor": "white", "markersize": 10}
            axes.plot(
                *np.transpose(rows), color=look["color"], marker=".", ls="none", markersize=4, alpha=0.6, zorder=2
            )
            axes.plot(*np.median(rows, axis=0), label=name, **look)
        axes.set_title(title, loc="left", fontsize=12)
        if quantity.startswith("tc"):
            axes.set_ylim(bottom=0)
        if quantity == "kl":  # of a learned mixture it is ten times that of the others
            axes.set_yscale("log")
    for axes in every[3:]:
        axes.set_xlabel("reconstruction (nats per image)")
    style.legend_above(made, every[0].get_legend_handles_labels()[0])
    return made


if __name__ == "__main__":
    app.run(main)
