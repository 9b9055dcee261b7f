"""How much of a grid of factors a VAE has to see: a coarser grid, or a share of the images at random.

python experiments/density.py

A lane sees every s-th value of the ordered factors of mini_sprites (--sweep=sparsity=…), or a share of its 24,576
images (--sweep=fraction=…), and is scored on all of them, and on seen and unseen ones apart (see evaluate.unseen).

18 minutes on one core of two that had other work (2026-11-26), 700 steps, three seeds; medians [least, greatest], and
changes against lanes that saw all with 95% of resamples of the seeds, of which three allow few. At 700 steps no lane
disentangles much (MIG at most .18), so this says what sparse data costs a young model.

  reconstruction  nats an image on unseen ones, VAE: 45.4 [44.4, 47] of a random tenth, 49.3 of 3%, 61.0 of 1%, 166
                  [154, 199] of 0.3% (74 images), where seen ones cost 8.1; all images seen 44.1. A coarser grid gives
                  46.2 at every second value (6%, 1,536 images), 44.6 at every third (2.6%, 648), and breaks at every
                  fourth: 196 [190, 207] (0.4%, 96), seen ones 22.6. A random 3% loses 4.2 nats [3.6, 4.8] over all
                  images, a grid of as many 1.2 [-0.6, 4.2]. beta-VAE likewise, and falls less far: 129 and 171
  disentangling   VAE: no difference found in MIG or FactorVAE score at any density. beta-VAE: MIG .10 [.06, .10],
                  .05 of a tenth (-.04 [-.06, -.01]) and .03 of 0.3% (-.05 [-.08, -.03]); FactorVAE score .66, .59 of a
                  tenth (-.10 [-.17, -.04]), .49 of 0.3% (-.19 [-.28, -.13]), .44 at every fourth value (-.22 [-.26,
                  -.17]); at every third one no difference found (MIG +.02 [-.03, +.09])
  probe           of a random tenth .44 on seen and .45 on unseen images (VAE), .36 and .34 of 1%, .33 and .29 of 0.3%;
                  it is fitted to half of what is looked at, so only the two of one density compare
"""

import matplotlib.ticker
import numpy as np
from absl import app
from common import difference, keep, said, table, trained
from matplotlib.lines import Line2D

import jaxvae
from jaxvae.report import style

COMMON = {
    "objective": "vae,beta_vae",
    "architecture": "burgess",
    "latent_dim": 10,
    "steps": 700,
    "batch_size": 32,
    "lr": 2e-3,
    "metrics": ("mig", "factor_vae"),
    "lanes": "map",
}
SEEDS = range(3)
KINDS = {
    "coarser grid": ("density_sparsity", {"sparsity": [1, 2, 3, 4]}, {"sparsity": [1, 4]}),
    "random share": ("density_fraction", {"fraction": [0.1, 0.03, 0.01, 0.003]}, {"fraction": [0.01]}),
}
"""What is swept: the sweep's name, its axis, and that of --quick."""

NAMES = {"vae": "VAE", "beta_vae": "β-VAE, β = 4"}
PANELS = ("reconstruction", "probe", "mig", "factor_vae")


def share_of(row, data):
    """Return the share of the images of mini_sprites that a lane has seen."""
    step, sizes = int(row["sparsity"]), zip(data.factor_names, data.factor_sizes, strict=True)
    left = [1.0 if name in data.unordered else -(-size // step) / size for name, size in sizes]
    return float(np.prod(left)) * row["fraction"]


def rows_of_all(data):
    """Train both kinds; return a row a lane with the share it has seen, those that saw all once for each kind."""
    rows = []
    for kind, (name, axis, quick) in KINDS.items():
        quick = {"sweep": quick | {"seed": range(2)}, "architecture": "mlp", "metrics": ("mig",)}
        axis = axis | {"beta_vae:beta": [4], "seed": SEEDS}
        found = trained(name, "mini_sprites", sweep=axis, quick=quick, **COMMON).results
        rows += [row | {"kind": kind, "share": share_of(row, data)} for row in found]
    whole = [row | {"kind": "random share"} for row in rows if row["share"] == 1]
    return rows + whole


def summary(rows):
    """Return a row a setting: median [least, greatest] over seeds."""
    settings = dict.fromkeys((row["kind"], row["objective"], row["share"]) for row in rows)
    names = ("reconstruction", "reconstruction_seen", "reconstruction_unseen", "probe_seen", "probe_unseen")
    names += ("mig", "factor_vae")
    made = []
    for kind, objective, share in sorted(settings, key=lambda setting: (*setting[:2], -setting[2])):
        own = [row for row in rows if (row["kind"], row["objective"], row["share"]) == (kind, objective, share)]
        scores = {name: said([row.get(name) for row in own]) for name in names}
        made.append({"kind": kind, "objective": objective, "share": f"{share:.2g}", **scores})
    return made


def against_all(rows):
    """Return a row a setting: the change of scores against lanes that saw all, bootstrap intervals over seeds."""
    made = []
    for entry in summary(rows):
        own = [r for r in rows if (r["kind"], r["objective"], f"{r['share']:.2g}") == tuple(entry.values())[:3]]
        if own[0]["share"] < 1:
            alike = [r for r in rows if (r["kind"], r["objective"]) == (entry["kind"], entry["objective"])]
            whole = [r for r in alike if r["share"] == 1]
            row = {name: entry[name] for name in ("kind", "objective", "share")}
            for name in ("mig", "factor_vae", "reconstruction"):
                if name in own[0]:
                    change = difference([r[name] for r in own], [r[name] for r in whole])
                    row[name] = "{:+.3g} [{:+.3g}, {:+.3g}]".format(*change)
            made.append(row)
    return made


@style.styled
def drawn(rows):
    """Draw scores against the share of the images that was seen: a row of panels an objective, a colour a kind."""
    made = style.figure(12.4, 5.8)
    titles = ("Reconstruction (nats) ↓", "Probe accuracy", "MIG", "FactorVAE score")
    for line, objective in enumerate(NAMES):
        shared = None
        for place, (name, title) in enumerate(zip(PANELS, titles, strict=True)):
            axes = made.add_subplot(len(NAMES), len(PANELS), len(PANELS) * line + place + 1, sharex=shared)
            shared = axes
            for kind, colour in zip(KINDS, style.QUALITATIVE, strict=False):
                own = [row for row in rows if row["objective"] == objective and row["kind"] == kind]
                if name == "probe" and kind != "random share":
                    continue  # a coarser grid has fewer values to tell, so that its shares are told more easily
                if place < 2:
                    spread(axes, own, f"{name}_seen", name, color=colour, marker="o", linestyle=(0, (1, 1.2)))
                spread(axes, own, f"{name}_unseen" if place < 2 else name, name, color=colour, marker="o")
            axes.set_title(title if line == 0 else "", loc="left")
            axes.set_ylabel(NAMES[objective] if place == 0 else "")
            axes.set_xscale("log")
            if name == "reconstruction":
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
                axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
            else:
                axes.locator_params(axis="y", nbins=5)
            if line == len(NAMES) - 1:
                axes.set_xlabel("share of the images seen")
    handles = [
        Line2D([], [], color=colour, marker="o", label=kind)
        for kind, colour in zip(KINDS, style.QUALITATIVE, strict=False)
    ]
    for label, dashes in (("on unseen images, or all", "-"), ("on seen images", (0, (1, 1.2)))):
        handles.append(Line2D([], [], color="#555555", linestyle=dashes, label=label))
    style.legend_above(made, handles)
    return made


def spread(axes, rows, column, whole, **look):
    """Draw medians over seeds of a column against the share, ranges as a shade; of lanes that saw all, of `whole`."""
    found = {}
    for row in rows:
        value = row.get(whole if row["share"] == 1 else column)
        if value is not None:
            found.setdefault(row["share"], []).append(value)
    if shares := sorted(found):
        values = [found[share] for share in shares]
        axes.fill_between(shares, list(map(min, values)), list(map(max, values)), color=look["color"], alpha=0.15, lw=0)
        axes.plot(shares, list(map(np.median, values)), markersize=6, markeredgecolor="white", **look)


def main(_):
    data = jaxvae.data.load("mini_sprites")
    rows = rows_of_all(data)
    print(table(summary(rows)))
    print(table(against_all(rows)))
    keep("density", summary(rows))
    keep("density_lanes", rows)
    print(keep("density", drawn(rows)))


if __name__ == "__main__":
    app.run(main)
