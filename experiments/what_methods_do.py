"""What each method does to its codes that a plain VAE does not: one number each, on real digits, and a figure.

python experiments/what_methods_do.py --data_dir=FOLDER_OF_THE_MNIST_GZ_FILES --out=runs/what_methods_do

Prints a table, and writes it with the figure into --out. All lanes have ten latents and the mlp. Everything is measured
on the 10,000 test digits; nats are per image. What labels do to two latents is in labels.py.

Four minutes of CPU time on two cores that had other work (2026-11-25), one seed. Total correlation (TC) is that of
codes, as of a Gaussian with their covariance, and in brackets that of the mixture of 1,000 test digits' posteriors
(figures/methods_total_correlation.png):

  plain VAE            reconstruction 118.2, TC 0.44 (8.76)
  FactorVAE, gamma 3   121.9 (+3%), TC 0.08 (7.33); gamma 10: 127.8, 0.09 (6.76). Below beta-VAE's curve as a Gaussian;
                       above it as a mixture, where a higher KL counts
  beta-TCVAE, beta 2   125.5 (+6%), TC 0.27 (4.71); beta 4: 136.9, 0.12 (1.80). On beta-VAE's curve as a Gaussian, below
                       it as a mixture
  HFVAE, beta 4        131.4, TC between pairs of latents 0.12 of 0.24 in all; plain VAE 0.39 of 0.44: it is left inside
  DIP-VAE-I, -II       squared covariances off the diagonal 0.16 (means), 0.08 (codes); plain VAE 2.14
  free bits, beta 6    least KL of a latent 0.486 at a floor of 0.5, and 0.025 without (beta-VAE); reconstruction
                       147.5 and 152.5. At 1,000 steps no latent of ten has Var(mean) < 0.01 either way
  clipped FactorVAE    floor 0 and 0.5: least KL 0.012 and 0.537, reconstruction 153.5 and 143.1, TC 0.02 and 0.06
  capacity 5, 10, 20   KL 5.34, 10.54, 19.34 at the last step: within 7%, 6%, 4%
  DD-VAE, spike 0.8    Hoyer 0.34, and 0.41 with mmd_weight 10; plain VAE 0.28. Codes within 0.1 of zero: 10%, 39%, 7%
"""

import json
import math
import pathlib
import time

import numpy as np
from absl import app, flags
from measures import gaussian_total_correlation, mixture_total_correlation, sampled, standard_kl

import jaxvae
from jaxvae.report import style
from jaxvae.report.saving import save_figure

flags.DEFINE_string("data_dir", None, "Folder of MNIST's four .gz files.")
flags.DEFINE_string("out", "runs/what_methods_do", "Where table, figure and sweeps go.")
flags.DEFINE_integer("steps", 1000, "Updates of every lane.")
flags.DEFINE_integer("seeds", 1, "Of every setting.")
FLAGS = flags.FLAGS

MIXED = 1000  # test digits whose posteriors, mixed, are q(z) in the total correlation that needs no critic
COMMON = {"architecture": "mlp", "batch_size": 100, "lr": 1e-3, "metrics": (), "lanes": "map"}


def hoyer(codes):
    """Mean sparsity of codes [N, D] in 0 … 1, latents scaled to unit deviation (Mathieu et al. 2019, section 6)."""
    scaled = codes / codes.std(0)
    ratio = np.abs(scaled).sum(1) / np.linalg.norm(scaled, axis=1)
    return float((math.sqrt(codes.shape[1]) - ratio).mean() / (math.sqrt(codes.shape[1]) - 1))


def measure(model, images):
    """Return the numbers of one model that the claims are about."""
    mean, logvar = (np.asarray(part, float) for part in model.encode(images))
    z = sampled(mean, logvar)
    kl = standard_kl(mean, logvar)
    # The aggregate posterior's own covariance: that of the means, and the noise. A latent that is off is then noise
    # that goes with nothing; its mean alone, however small, may go with others.
    means = np.cov(mean.T, bias=True)
    aggregate = means + np.diag(np.exp(logvar).mean(0))
    latents = range(mean.shape[1])
    off = ~np.eye(mean.shape[1], dtype=bool)
    return {
        "reconstruction": model.about["reconstruction"],
        "kl": float(kl.sum(1).mean()),
        "tc": gaussian_total_correlation(aggregate, [[d] for d in latents]),
        "tc_of_mixture": mixture_total_correlation(z[:MIXED], mean[:MIXED], logvar[:MIXED]),
        "tc_of_pairs": gaussian_total_correlation(aggregate, [latents[d : d + 2] for d in latents[::2]]),
        "active": int((np.diagonal(means) > 0.01).sum()),
        "least_kl": float(kl.mean(0).min()),
        "off_means": float((means[off] ** 2).sum()),
        "diagonal_means": float(((np.diagonal(means) - 1) ** 2).sum()),
        "off_codes": float((aggregate[off] ** 2).sum()),
        "diagonal_codes": float(((np.diagonal(aggregate) - 1) ** 2).sum()),
        "hoyer": hoyer(z),
        "near_zero": float((np.abs(z) < 0.1).mean()),
    }


STUDY = {
    "beta_vae": {"beta": (1, 2, 4, 6)},
    "factor_vae": {"gamma": (3, 10), "critic_lr": (1e-3,)},
    "beta_tcvae": {"beta": (2, 4)},
    "hfvae": {"beta": (4,)},
    "dip_vae_i": {"lambda_od": (10,)},
    "dip_vae_ii": {"lambda_od": (10,)},
    "free_bits_vae": {"beta": (6,), "floor": (0.5,)},
    "clipped_factor_vae": {"beta": (6,), "floor": (0, 0.5), "gamma": (3,), "critic_lr": (1e-3,)},
    "annealed_vae": {"gamma": (100,), "capacity": (5, 10, 20)},
    "dd_vae": {"spike": (0.8,), "mmd_weight": (0, 10)},
}
SHOWN = {  # what is printed of an objective beside reconstruction and KL
    **{name: ("tc", "tc_of_mixture", "tc_of_pairs", "active") for name in ("beta_vae", "beta_tcvae")},
    **{"factor_vae": ("tc", "tc_of_mixture"), "hfvae": ("tc", "tc_of_pairs")},
    **{"dip_vae_i": ("off_means", "diagonal_means"), "dip_vae_ii": ("off_codes", "diagonal_codes")},
    **{"free_bits_vae": ("active", "least_kl"), "clipped_factor_vae": ("active", "least_kl", "tc")},
    **{"annealed_vae": ("capacity",), "dd_vae": ("hoyer", "near_zero")},
}


def study(train_set, test_set, images, out):
    """Train and measure every lane; return rows."""
    axes = {f"{objective}:{name}": values for objective, grid in STUDY.items() for name, values in grid.items()}
    sweep = jaxvae.train(
        train_set,
        eval_data=test_set,
        objective=list(STUDY),
        sweep=axes | {"annealed_vae:capacity_steps": [0.6 * FLAGS.steps], "seed": range(FLAGS.seeds)},
        steps=FLAGS.steps,
        critic_width=128,
        critic_depth=3,
        workdir=out / "study",
        **COMMON,
    )
    rows = []
    for lane in sweep.lanes:
        given = {name: lane[name] for name in STUDY[lane["objective"]]}
        row = {
            "objective": lane["objective"],
            **given,
            "seed": lane["seed"],
            **measure(sweep.model(lane["lane"]), images),
        }
        rows.append(row)
        words = " ".join(f"{n}={row[n]:.4g}" for n in ("reconstruction", "kl", *SHOWN[lane["objective"]]))
        said = ", ".join(f"{n}={v:g}" for n, v in given.items())
        print(f"{lane['objective']:19s} {said:52s} {words}", flush=True)
    told = ("tc", "tc_of_mixture", "tc_of_pairs", "off_means", "diagonal_means", "off_codes", "diagonal_codes")
    told += ("active", "least_kl", "hoyer", "near_zero")
    print("a plain VAE         " + " ".join(f"{n}={rows[0][n]:.4g}" for n in told), flush=True)
    return rows


@style.styled
def draw_total_correlation(rows):
    """Draw the total correlation of codes over reconstruction: a method does its work if it lies below beta-VAE."""
    made = style.figure(10.5, 4.6)
    curves = ("beta_vae", "factor_vae", "beta_tcvae", "hfvae", "dip_vae_i", "dip_vae_ii")
    titles = {"tc": "of a Gaussian with the codes' covariance", "tc_of_mixture": "of the posteriors' mixture"}
    for panel, (name, title) in enumerate(titles.items()):
        axes = made.add_subplot(1, 2, panel + 1)
        for index, objective in enumerate(curves):
            found = sorted((row["reconstruction"], row[name]) for row in rows if row["objective"] == objective)
            look = {"color": style.QUALITATIVE[index], "marker": style.MARKERS[index], "markersize": 8}
            label = "beta_vae, beta 1 to 6" if objective == "beta_vae" else objective
            axes.plot(*zip(*found, strict=True), label=label, markeredgecolor="white", **look)
        axes.set_title(title, loc="left")
        axes.set_xlabel("reconstruction (nats per image)")
        axes.set_ylabel("total correlation (nats)" if panel == 0 else "")
        axes.set_ylim(bottom=0)
    style.legend_above(made, axes.get_legend_handles_labels()[0])
    return made


def main(_):
    """Train, measure, print, draw."""
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    train_set, test_set = (jaxvae.data.load("mnist", split, FLAGS.data_dir) for split in ("train", "test"))
    images = test_set.images(range(len(test_set)))
    rows = study(train_set, test_set, images, out)
    (out / "rows.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    save_figure(draw_total_correlation(rows), out / "total_correlation.png")
    print(f"table and figure: {out}; {time.process_time() / 60:.1f} minutes of CPU in all")


if __name__ == "__main__":
    app.run(main)
