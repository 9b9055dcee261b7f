"""One table of methods: what each pays in reconstruction and KL, and what its code is worth, on sprites and on digits.

python experiments/methods.py --data_dir=FOLDER_OF_THE_MNIST_GZ_FILES

VAE, NVAE (hierarchical), HFVAE (structured), the decomposed VAE of Mathieu et al. 2019 (dd_vae), beta-VAE, beta-TCVAE
and FactorVAE, three seeds each, at one setting of each: medians [least, greatest] over seeds. Prints a table for each
data set, and keeps every lane as methods.csv and medians and ranges as methods.png.

All but NVAE share networks (burgess on 32x32 sprites, mlp on 28x28 digits), latents, batch size, steps and lr. NVAE
cannot: a step of it costs a CPU many times as much. Its widths are chosen so that it has about as many parameters, its
latents so that its top group is about as long as a flat code, and it is given STEPS steps, at which a lane has cost
about as many CPU seconds as a flat one: its row says what a CPU's time buys, not what the method can reach. It is
scored on SCORED images of the evaluation set. Its ELBO counts the KL of all groups; the scores of its code are of the
top group alone. A score that is not in a sweep's results (an older version of jaxvae trained it) has an empty column.
The critic that FactorVAE trains beside is not among its parameters. Seconds are by the wall's clock.

Two cores that had other work (2026-11-26), so seconds are a rough measure: a lane took 25 to 146 on sprites, 23 to 96
on digits, more for their neighbours on the machine than for the method. Burgess has 469,173 parameters, NVAE 489,082;
the mlp 800,804, NVAE 692,301. figures/methods.png.

Sprites             ELBO                  reconstruction     MIG               DCI disent.       FactorVAE score
  VAE               -46.9 [-47.3, -46.6]  35.1 [35.0, 35.2]  .09 [.03, .13]    .16 [.08, .21]    .61 [.51, .65]
  beta-VAE          -54.9 [-58.3, -54.2]  48.5 [47.2, 52.4]  .16 [.04, .18]    .31 [.20, .32]    .65 [.51, .70]
  beta-TCVAE        -53.9 [-58.2, -53.7]  46.6 [46.3, 51.4]  .16 [.11, .17]    .29 [.28, .31]    .72 [.66, .72]
  FactorVAE         -49.4 [-50.8, -48.3]  37.4 [35.8, 40.4]  .08 [.07, .08]    .18 [.12, .19]    .63 [.60, .64]
  HFVAE             -55.1 [-55.1, -53.9]  47.3 [46.2, 47.7]  .04 [.01, .12]    .16 [.13, .32]    .43 [.39, .68]
  DD-VAE            -67.5 [-72.0, -65.5]  54.9 [52.4, 61.9]  .006 [.003, .023] .04 [.03, .04]    .36 [.36, .40]
  NVAE, 100 steps   -69.6 [-83.2, -62.7]  54.6 [42.5, 66.5]  .008 [.004, .016] .10 [.09, .11]    .52 [.50, .53]

Digits              ELBO                  reconstruction     neighbours        linear probe
  VAE               -127 [-128, -127]     109 [109, 110]     .90 [.90, .91]    .83 [.83, .84]
  beta-VAE          -143 [-144, -143]     136 [135, 136]     .91 [.90, .91]    .82 [.82, .82]
  beta-TCVAE        -139 [-140, -139]     130 [129, 131]     .91 [.90, .91]    .83 [.82, .83]
  FactorVAE         -133 [-134, -133]     117 [117, 118]     .90 [.90, .90]    .81 [.80, .81]
  HFVAE             -135 [-136, -135]     124 [124, 125]     .91 [.89, .91]    .83 [.81, .83]
  DD-VAE            -145 [-145, -144]     128 [127, 128]     .88 [.88, .89]    .81 [.81, .81]
  NVAE, 100 steps   -196 [-236, -178]     167 [146, 209]     .80 [.78, .80]    .81 [.80, .81]

The plain VAE has the best ELBO, as its objective is the ELBO. beta-VAE and beta-TCVAE pay 12 to 13 nats of
reconstruction on sprites for a DCI of twice the VAE's; beta-VAE's seeds overlap with the VAE's in every score, and
beta-TCVAE's lie above them in DCI and in the FactorVAE score, not in MIG. FactorVAE at gamma 5 reconstructs nearly as
the VAE does, and no difference in its code was found. SAP parts nobody but the last two (all medians below .06). DD-
VAE's sparse prior costs the most and disentangles least. Digits' classes are told alike by all flat methods but DD-VAE
(neighbours) and FactorVAE (probe), which are two points behind. NVAE in a flat lane's CPU time is behind all of them on
digits.
"""

import json

import common
import jax
import numpy as np
from absl import app
from matplotlib.lines import Line2D

import jaxvae
from jaxvae.report import style, wording

NAMES = {
    "vae": "VAE",
    "beta_vae": "β-VAE, β 4",
    "beta_tcvae": "β-TCVAE, β 4",
    "factor_vae": "FactorVAE, γ 5",
    "hfvae": "HFVAE, β 4",
    "dd_vae": "DD-VAE, spike 0.2",
    "nvae": "NVAE",
}
LOSSES = ("elbo", "reconstruction", "kl")
COLUMNS = {
    "sprites": (*LOSSES, "mig", "dci_disentanglement", "sap", "factor_vae"),
    "digits": (*LOSSES, "knn_accuracy", "linear_probe"),
}
SHORT = {
    "reconstruction": "Reconstr.",
    "dci_disentanglement": "DCI disent.",
    "factor_vae": "FactorVAE s.",
    "knn_accuracy": "10 neighbours",
    "linear_probe": "Linear probe",
}
STEPS, SCORED = 100, 4096  # of nvae
NVAE = {
    "objective": "vae",
    "architecture": "nvae",
    "sweep": {"seed": range(3)},
    "groups_per_scale": (1, 1),
    "latent_dim": 1,  # at each place: 4x4 of them are the top group
    "steps": STEPS,
    "batch_size": 32,
    "lr": 2e-3,
    "lanes": "map",
}
WIDTHS = {"sprites": 20, "digits": 24}  # nvae's stem: what makes its parameters about as many
DIGITS = {
    **{name: common.SHARED["sprites_methods"][name] for name in ("objective", "sweep", "critic_width", "critic_depth")},
    "architecture": "mlp",
    "latent_dim": 10,
    "steps": 1500,
    "batch_size": 128,
    "lr": 1e-3,
    "lanes": "map",
}


def some(data):
    """Return SCORED images of a Dataset, drawn at random, with what is known of each."""
    rows = np.random.default_rng(0).permutation(len(data))[:SCORED]
    known = {data.annotation: np.asarray(data.factors)[rows], "factor_names": data.factor_names}
    return jaxvae.data.from_arrays(np.asarray(data.images(rows)), **known, name=f"{data.name}_{len(rows)}")


def sweeps():
    """Yield (data set, sweep), trained or opened."""
    few = {"sweep": DIGITS["sweep"] | {"seed": range(2)}, "metrics": ("mig", "active_units")}
    tiny = {"sweep": {"seed": range(2)}, "stem_width": 4, "groups_per_scale": (1,), "metrics": few["metrics"]}
    yield "sprites", common.trained("sprites_methods", quick=few)
    data = jaxvae.data.load("mini_sprites")
    yield (
        "sprites",
        common.trained("sprites_nvae", data, eval_data=some(data), quick=tiny, stem_width=WIDTHS["sprites"], **NVAE),
    )
    yield "digits", common.trained("digits_methods", "mnist", quick=few, **DIGITS)
    data, tested = (jaxvae.data.load("mnist", split, common.FLAGS.data_dir) for split in ("train", "test"))
    yield (
        "digits",
        common.trained("digits_nvae", data, eval_data=some(tested), quick=tiny, stem_width=WIDTHS["digits"], **NVAE),
    )


def seconds_of(sweep):
    """Return {lane: seconds}: what its wave took to train, without compiling, over its lanes. By the wall's clock."""
    run = json.loads((sweep.path / "run.json").read_text(encoding="utf-8"))
    waves = [(wave["lanes"], run["seconds"][wave["directory"]]) for wave in run["waves"]]
    return {lane["lane"]: seconds / len(lanes) for lanes, seconds in waves for lane in lanes}


def lanes_of(data, sweep):
    """Return a row for each lane of a sweep that finished."""
    seconds, rows = seconds_of(sweep), []
    parameters = {}
    for lane in sweep.results:
        if lane["status"] != "ok":
            print(f"left out: {data} {lane['objective']} seed {lane['seed']}, {lane['status']}")
            continue
        method = "nvae" if lane["architecture"] == "nvae" else lane["objective"]
        if method not in parameters:
            params = sweep.model(lane["lane"]).params
            parameters[method] = sum(leaf.size for leaf in jax.tree.leaves(params))
        scores = {name: lane.get(name) for name in COLUMNS[data]}
        known = {"data": data, "method": method, "seed": lane["seed"], "parameters": parameters[method]}
        rows.append(known | {"steps": lane["step"]} | scores | {"seconds": seconds[lane["lane"]]})
    return rows


def medians(rows, data):
    """Return a row for each method: medians [least, greatest]."""
    found = []
    for method, name in NAMES.items():
        lanes = [row for row in rows if row["data"] == data and row["method"] == method]
        if lanes:
            told = {column: common.said(row[column] for row in lanes) for column in (*COLUMNS[data], "seconds")}
            about = {"parameters": lanes[0]["parameters"], "steps": lanes[0]["steps"], "seeds": len(lanes)}
            found.append({"method": name} | about | told)
    return found


@style.styled
def draw(rows):
    """Draw each lane as a dot, medians as ticks: methods down, scores across, a block for each data set."""
    methods = list(NAMES)
    made = style.figure(15.0, 6.6)
    most = max(map(len, COLUMNS.values()))
    titles = {"sprites": "32x32 sprites", "digits": "MNIST"}
    for block, (data, columns) in enumerate(COLUMNS.items()):
        for index, column in enumerate(columns):
            axes = made.add_subplot(len(COLUMNS), most, block * most + index + 1)
            for row, method in enumerate(methods):
                here = [r[column] for r in rows if r["data"] == data and r["method"] == method]
                here = [float(value) for value in here if value is not None and np.isfinite(value)]
                colour = style.FAINT if method == "nvae" else style.QUALITATIVE[row % 6]
                if not here:
                    continue
                axes.plot([min(here), max(here)], [row, row], color=colour, linewidth=1.4, alpha=0.6, zorder=1)
                axes.scatter(here, [row] * len(here), s=26, color=colour, linewidth=0, zorder=3)
                axes.plot([np.median(here)] * 2, [row - 0.3, row + 0.3], color="#222222", linewidth=1.8, zorder=2)
            lower = " ↓" if column == "reconstruction" else ""
            axes.set_title(SHORT.get(column, wording.title(column)) + lower, loc="left", fontsize=12)
            axes.set_yticks(range(len(methods)), [NAMES[m] for m in methods] if index == 0 else [""] * len(methods))
            axes.set_ylim(len(methods) - 0.4, -0.6)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.locator_params(axis="x", nbins=4)
            axes.margins(x=0.08)
            if index == 0:
                axes.set_ylabel(titles[data], fontsize=13)
            if column in LOSSES:
                axes.set_xlabel("nats an image")
    dots = {"marker": "o", "linewidth": 1.4}
    tick = {"color": "#222222", "marker": "|", "markersize": 12, "markeredgewidth": 1.8, "linewidth": 0}
    handles = [
        Line2D([], [], color=style.QUALITATIVE[0], label="a seed, and their range", **dots),
        Line2D([], [], label="median", **tick),
        Line2D([], [], color=style.FAINT, label=f"NVAE: {STEPS} steps, a CPU's time for a flat lane", **dots),
    ]
    style.legend_above(made, handles)
    return made


def main(_):
    """Train or open, print, draw."""
    rows = [row for data, sweep in sweeps() for row in lanes_of(data, sweep)]
    for data in COLUMNS:
        print(f"\n{data}: median [least, greatest] over seeds; nats an image\n{common.table(medians(rows, data))}")
    common.keep("methods", rows)
    print("figure:", common.keep("methods", draw(rows)))


if __name__ == "__main__":
    app.run(main)
