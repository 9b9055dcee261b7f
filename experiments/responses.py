"""Disentangled against entangled, factor by factor: the curves of latents over factors, beta-VAE beside a plain VAE.

python experiments/responses.py
python experiments/responses.py --models=FOLDER,FOLDER,... --dataset=sprites

The first form takes three seeds of each method on 32x32 sprites from the shared sweep; the second, models that
`Model.save` wrote. For each lane: how many latents are off, how much of each factor's variance its best single latent
explains (over 20 bins of equal count of the latent), and how much of each latent that is on its best single factor
explains (eta squared). Medians [least, greatest] over seeds. Shapes have no order: 0, 1, 2 stand for them.

The figure has the seed of median MIG (or, of models that were not scored, of median share) of the plain VAE and of the
largest beta. Everything is measured on 10,000 images.

FOUND
"""

import common
import jax.numpy as jnp
import numpy as np
from absl import app, flags

import jaxvae
from jaxvae.report import latents, style
from jaxvae.report.responses import draw, extent, shown

flags.DEFINE_list("models", [], "Folders of saved models to look at, instead of the shared sweep's.")
flags.DEFINE_string("dataset", "sprites", "With --models: the data set that they are shown.")
FLAGS = flags.FLAGS
IMAGES, BLOCK, BINS = 10_000, 500, 20


def encode(model, data, rows):
    """Return means and KLs to N(0, 1) in nats, each f64[N, D], of images of a data set."""
    coded = [model.encode(data.batch(jnp.asarray(block))) for block in np.array_split(rows, -(-len(rows) // BLOCK))]
    mean, logvar = (np.concatenate(parts).astype(float) for parts in zip(*coded, strict=True))
    return mean, 0.5 * (mean**2 + np.exp(logvar) - logvar - 1.0)


def shares_of_factors(codes, factors):
    """Return f[K, D], the share of each factor's variance that the mean of it in each bin of a latent explains."""
    ranks = codes.argsort(0, kind="stable").argsort(0, kind="stable")
    bins = ranks * BINS // len(codes)
    return jaxvae.evaluate.respond(factors, bins, (BINS,) * codes.shape[1]).explained


def look(model, data, rows):
    """Return what is known of a lane: curves, KL, information and numbers."""
    codes, kl = encode(model, data, rows)
    factors = np.asarray(data.factors)[rows]
    found = jaxvae.evaluate.respond(codes, factors, data.factor_sizes)
    kl = kl.mean(0)
    on = kl > latents.ACTIVE
    best = shares_of_factors(codes, factors)[:, on].max(1, initial=0)
    row = {"off": int((~on).sum())} | dict(zip(data.factor_names, best.tolist(), strict=True))
    row |= {"mean share": float(best.mean()), "latent's best": float(found.explained[on].max(1, initial=0).mean())}
    known = jaxvae.evaluate.information(codes.astype(np.float32), factors, data.factor_sizes)
    return {"responses": found, "kl": kl, "information": known, "row": row, "mig": model.about.get("mig")}


def models():
    """Return (data set, [(method, seed, model)])."""
    if FLAGS.models:
        found = [jaxvae.load_model(path) for path in FLAGS.models]
        data = jaxvae.data.load(FLAGS.dataset, data_dir=FLAGS.data_dir)
    else:
        axes = common.SHARED["sprites_methods"]["sweep"] | {"seed": range(2)}
        sweep = common.trained("sprites_methods", quick={"sweep": axes, "metrics": ("mig", "active_units")})
        found = [sweep.model(lane["lane"]) for lane in sweep.results if lane["status"] == "ok"]
        data = jaxvae.data.load("mini_sprites")
    return data, [(called(model.about), model.about.get("seed"), model) for model in found]


def called(about):
    """Name the method of a model."""
    if about["objective"] == "vae" or (about["objective"] == "beta_vae" and about.get("beta") == 1):
        return "VAE"
    return f"beta-VAE, beta {about['beta']:g}" if about["objective"] == "beta_vae" else about["objective"]


def median_of(lanes):
    """Return the lane in the middle by MIG, or by the mean share where that is not known."""
    order = sorted(lanes, key=lambda lane: lane["row"]["mean share"] if lane["mig"] is None else lane["mig"])
    return order[(len(order) - 1) // 2]


@style.styled
def draw_both(lanes, names):
    """Draw the lanes {title: lane} side by side, all panels on one scale."""
    low, high = zip(*(extent(lane["responses"]) for lane in lanes.values()), strict=True)
    most = max(len(shown(lane["responses"], lane["kl"])[0]) for lane in lanes.values())
    made = style.figure(16.5, 1.7 + 0.75 * most)
    for index, (title, lane) in enumerate(lanes.items()):
        axes = made.add_subplot(1, len(lanes), index + 1)
        draw(axes, lane["responses"], lane["kl"], lane["information"], names, span=(min(low), max(high)), rows=most)
        mig = "" if lane["mig"] is None else f"MIG {lane['mig']:.2f}, "
        axes.set_title(f"{title}: {mig}{lane['row']['off']} of {len(lane['kl'])} latents off", loc="left")
    return made


def main(_):
    """Encode, print, draw."""
    data, found = models()
    rows = np.random.default_rng(0).permutation(len(data))[: 200 if FLAGS.quick else IMAGES]
    lanes, table = {}, []
    for method, seed, model in found:
        lanes.setdefault(method, []).append(look(model, data, rows))
        table.append({"method": method, "seed": seed, "mig": model.about.get("mig")} | lanes[method][-1]["row"])
    common.keep("responses", table)
    columns = [name for name in table[0] if name not in ("method", "seed")]
    medians = [
        {"method": method, "seeds": len(of)}
        | {name: common.said([row[name] for row in table if row["method"] == method]) for name in columns}
        for method, of in lanes.items()
    ]
    print(f"share of each factor's variance that its best single latent explains, {len(rows)} images")
    print(common.table(medians))
    beta = max((m for m in lanes if m.startswith("beta-VAE")), key=lambda m: float(m.split()[-1]), default=None)
    chosen = {method: median_of(lanes[method]) for method in (beta, "VAE") if method in lanes}
    chosen = chosen or {next(iter(lanes)): median_of(next(iter(lanes.values())))}
    titles = {"VAE": "Plain VAE (β 1)", beta: f"β-VAE, β {beta.split()[-1]}" if beta else ""}
    shown_lanes = {titles.get(method, method): lane for method, lane in chosen.items()}
    print("figure:", common.keep("responses", draw_both(shown_lanes, data.factor_names)))


if __name__ == "__main__":
    app.run(main)
