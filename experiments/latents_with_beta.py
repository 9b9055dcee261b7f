"""How do the latents themselves change with beta: where their posteriors lie, how far apart, how wide?

python experiments/latents_with_beta.py --data_dir=FOLDER_OF_THE_MNIST_GZ_FILES

Beta-VAEs of MNIST over beta from 0.001 to 10, three seeds, the mlp with ten latents (the sweep digits_mlp). Measured on
the 10,000 test digits, for each latent of each lane. Prints two tables by beta, of all ten latents and of the one that
says least, as median [least, greatest] over seeds; keeps all numbers as latents.csv, and the figure.
"""

import pathlib

import common
import numpy as np
from absl import app

import jaxvae

SWEEP = "digits_mlp"
NUMBERS = {
    "kl": "KL (nats)",
    "mean": "|mean of means|",
    "absolute_mean": "mean |mean|",
    "variance_of_mean": "variance of means",
    "posterior_variance": "posterior variance",
    "variance": "both variances",
}
ACTIVE = 0.1  # nats


def opened():
    """Return the sweep: as it lies there when it is finished, else trained; nothing but losses need be scored."""
    path = pathlib.Path(common.FLAGS.runs) / (SWEEP + "_quick" * common.FLAGS.quick)
    if (path / "results.csv").exists():
        return jaxvae.load_sweep(path)
    return common.trained(SWEEP, metrics=())


def by_lane(rows):
    """Return beta -> [S, D, numbers] of healthy lanes, latents from the one that says most on."""
    lanes = {}
    for row in rows:
        if row["status"] == "ok":
            row = row | {"mean": abs(row["mean"]), "variance": row["variance_of_mean"] + row["posterior_variance"]}
            lanes.setdefault((row["beta"], row["lane"]), []).append([row[name] for name in NUMBERS])
    found = {}
    for (beta, _), latents in sorted(lanes.items()):
        found.setdefault(beta, []).append(sorted(latents, reverse=True))
    return {beta: np.array(latents) for beta, latents in found.items()}


def told(beta, lanes):
    """Return a row of a table: each number of some lanes [S, numbers], over seeds."""
    return {"beta": f"{beta:g}"} | {title: common.said(lanes[:, i]) for i, title in enumerate(NUMBERS.values())}


def main(_):
    """Measure, print, draw."""
    sweep, flags = opened(), common.FLAGS
    data = jaxvae.data.load("mnist", "test", flags.data_dir) if flags.data_dir else None
    rows = sweep.latents(data=data)
    common.keep("latents", rows)
    found = by_lane(rows)
    print("\nMean over all latents of a lane")
    print(
        common.table(
            [
                told(beta, lanes.mean(1))
                | {f"latents above {ACTIVE} nats": common.said((lanes[:, :, 0] > ACTIVE).sum(1))}
                for beta, lanes in found.items()
            ]
        )
    )
    print("\nThe latent of a lane that says least")
    print(common.table([told(beta, lanes[:, -1]) for beta, lanes in found.items()]))
    print(f"\n{common.keep('latents_with_beta', sweep.plot('latent_statistics', data=data))}")


if __name__ == "__main__":
    app.run(main)
