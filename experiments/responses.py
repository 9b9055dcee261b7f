"""Disentangled against entangled, factor by factor: the curves of latents over factors, beta-VAE beside a plain VAE.

python experiments/responses.py
python experiments/responses.py --sweep=runs/dsprites_study
python experiments/responses.py --models=FOLDER,FOLDER,...

The first form takes three seeds of each method on 32x32 sprites from the shared sweep; the others, lanes of a sweep, or
models that `Model.save` wrote, on whole dSprites. For each lane: how many latents are off, how much of each factor's
variance its best single latent explains (over 20 bins of equal count of the latent; by chance 0.002 for each latent),
and how much of each latent that is on its best single factor explains (eta squared). Medians [least, greatest] over
seeds. Shapes have no order: 0, 1, 2 stand for them. The figure has the plain VAE and the largest beta, of each the seed
of median MIG (where models do not say it: of median share).

dSprites, 64x64, lanes of dsprites_study.flags (conv, 22,000 steps, five seeds), 12,000 images (figures/responses.png):

                       off       shape           scale           orientation        x position      y position
  VAE (beta 1)         1 [0, 1]  .10 [.04, .11]  .46 [.18, .54]  .006 [.004, .007]  .32 [.30, .59]  .39 [.29, .58]
  beta-VAE, beta 4     3 [2, 4]  .14 [.08, .16]  .69 [.34, .71]  .009 [.006, .013]  .33 [.21, .66]  .51 [.26, .75]
  beta-VAE, beta 16    5 [4, 7]  .20 [.11, .36]  .80 [.50, .86]  .004 [.003, .006]  .92 [.50, .99]  .81 [.43, .99]
  FactorVAE, gamma 10  2 [2, 3]  .15 [.04, .23]  .72 [.22, .82]  .008 [.005, .012]  .53 [.34, .79]  .57 [.30, .76]
  FactorVAE, gamma 50  1 [0, 2]  .19 [.14, .22]  .80 [.58, .82]  .009 [.006, .014]  .66 [.61, .94]  .70 [.54, .94]

Of a latent that is on, its best factor explains .29 [.26, .36] (VAE), .37 [.32, .51] (beta 4), .72 [.45, .93] (beta
16), .32 [.25, .45] and .36 [.31, .39] (FactorVAE). So beta 16 does what is said of it, at the price of half the
latents: in the figure one for scale, and four that hold a position and nothing else; in three seeds of five one latent
knows x to .92 or more. Beta 4 is hardly apart from the plain VAE. Orientation is in no single latent of any method.

32x32 sprites, half a minute of CPU once the sweep is there (2026-11-26), three seeds of 2,000 steps; figure:
figures/responses_mini_sprites.png.

                     shape              scale              orientation        x position         y position
  VAE                .27 [.12, .36]     .31 [.15, .48]     .13 [.12, .14]     .65 [.63, .81]     .42 [.41, .81]
  beta-VAE, beta 4   .45 [.33, .45]     .58 [.46, .61]     .004 [.003, .004]  .57 [.51, .87]     .65 [.64, .70]
  FactorVAE, gamma 5 .24 [.19, .35]     .26 [.22, .43]     .11 [.05, .13]     .78 [.74, .83]     .59 [.45, .78]
  beta-TCVAE, beta 4 .44 [.38, .45]     .58 [.51, .59]     .006 [.004, .008]  .77 [.74, .79]     .74 [.47, .90]
  HFVAE, beta 4      .23 [.13, .45]     .29 [.19, .62]     .007 [.004, .018]  .63 [.38, .84]     .57 [.52, .79]
  DD-VAE, spike 0.2  .04 [.02, .04]     .04 [.01, .04]     .004 [.004, .005]  .65 [.62, .74]     .73 [.56, .74]

  off, of ten: VAE 0, beta-VAE 6 [0, 6], FactorVAE 0, beta-TCVAE 2 [0, 3], HFVAE 3 [0, 3], DD-VAE 0
  of a latent: VAE .36 [.34, .39], beta-VAE .65 [.30, .70], FactorVAE .46 [.44, .54], beta-TCVAE .46 [.46, .49],
  HFVAE .38 [.32, .58], DD-VAE .51 [.50, .54]

A single latent of beta-TCVAE knows more of shape and of scale than any of the VAE, in all seeds; so it is for two seeds
of three of beta-VAE, where the figure has one latent for both. Positions still share latents, and orientation is given
up: what little a latent knows of it, the VAE and FactorVAE do, which reconstruct better. Three seeds show no more.
"""

import common
import jax.numpy as jnp
import numpy as np
from absl import app, flags

import jaxvae
from jaxvae.report import latents, style
from jaxvae.report.responses import draw, extent, shown

flags.DEFINE_list("models", [], "Folders of saved models to look at, instead of the shared sweep's.")
flags.DEFINE_string("sweep", None, "Folder of a trained sweep to look at, instead of the shared one.")
flags.DEFINE_string("dataset", "sprites", "With --models or --sweep: the data set that they are shown.")
flags.DEFINE_integer("images", 10_000, "How many of its images, drawn at random.")
FLAGS = flags.FLAGS
BLOCK, BINS = 500, 20


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


def look(codes, kl, factors, data):
    """Return what is known of a lane, of codes [N, D], KLs [D] and factors [N, K]: curves, information and numbers."""
    found = jaxvae.evaluate.respond(codes, factors, data.factor_sizes)
    on = kl > latents.ACTIVE
    best = shares_of_factors(codes, factors)[:, on].max(1, initial=0)
    row = {"off": int((~on).sum())} | dict(zip(data.factor_names, best.tolist(), strict=True))
    row |= {"mean share": float(best.mean()), "latent's best": float(found.explained[on].max(1, initial=0).mean())}
    known = jaxvae.evaluate.information(codes.astype(np.float32), factors, data.factor_sizes)
    return {"responses": found, "kl": kl, "information": known, "row": row}


def models():
    """Return (data set, [(method, seed, model)])."""
    if FLAGS.models:
        found = [jaxvae.load_model(path) for path in FLAGS.models]
        data = jaxvae.data.load(FLAGS.dataset, data_dir=FLAGS.data_dir)
    elif FLAGS.sweep:
        sweep = jaxvae.load_sweep(FLAGS.sweep)
        found = [sweep.model(lane["lane"]) for lane in sweep.results if lane["status"] == "ok"]
        data = jaxvae.data.load(FLAGS.dataset, data_dir=FLAGS.data_dir)
    else:
        axes = common.SHARED["sprites_methods"]["sweep"] | {"seed": range(2)}
        sweep = common.trained("sprites_methods", quick={"sweep": axes, "metrics": ("mig", "active_units")})
        found = [sweep.model(lane["lane"]) for lane in sweep.results if lane["status"] == "ok"]
        data = jaxvae.data.load("mini_sprites")
    return data, [(called(model.about), model.about.get("seed"), model) for model in found]


def called(about):
    """Name the method of a model, with the strength that sweeps of it differ in."""
    name, beta = about["objective"], about.get("beta")
    if name == "vae" or (name == "beta_vae" and beta == 1):
        return "VAE"
    if name == "factor_vae":
        return f"FactorVAE, gamma {about['gamma']:g}"
    return f"beta-VAE, beta {beta:g}" if name == "beta_vae" else name


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


def say(lanes, table, names, number):
    """Print medians over seeds, keep the table, draw."""
    common.keep("responses", table)
    columns = [name for name in table[0] if name not in ("method", "seed")]
    medians = [
        {"method": method, "seeds": len(of)}
        | {name: common.said([row[name] for row in table if row["method"] == method]) for name in columns}
        for method, of in lanes.items()
    ]
    print(f"share of each factor's variance that its best single latent explains, {number} images")
    print(common.table(medians))
    beta = max((m for m in lanes if m.startswith("beta-VAE")), key=lambda m: float(m.split()[-1]), default=None)
    chosen = {method: median_of(lanes[method]) for method in (beta, "VAE") if method in lanes}
    chosen = chosen or {next(iter(lanes)): median_of(next(iter(lanes.values())))}
    titles = {"VAE": "Plain VAE (β 1)", beta: f"β-VAE, β {beta.split()[-1]}" if beta else ""}
    shown_lanes = {titles.get(method, method): lane for method, lane in chosen.items()}
    print("figure:", common.keep("responses", draw_both(shown_lanes, names)))


def main(_):
    """Encode, look, say."""
    data, found = models()
    rows = np.random.default_rng(0).permutation(len(data))[: 200 if FLAGS.quick else FLAGS.images]
    factors = np.asarray(data.factors)[rows]
    lanes, table = {}, []
    for method, seed, model in found:
        codes, kl = encode(model, data, rows)
        lane = look(codes, kl.mean(0), factors, data) | {"mig": model.about.get("mig")}
        lanes.setdefault(method, []).append(lane)
        table.append({"method": method, "seed": seed, "mig": lane["mig"]} | lane["row"])
    say(lanes, table, data.factor_names, len(rows))


if __name__ == "__main__":
    app.run(main)
