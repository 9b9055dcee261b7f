"""Does a better disentanglement score mean that attributes can be moved more cleanly? On sprites the truth is known.

python experiments/navigate_sprites.py --sweeps=runs/ONE,runs/ANOTHER --out=runs/navigate_sprites

Every healthy lane of sweeps that were trained on mini_sprites is navigated: a linear boundary for each attribute, codes
moved along its normal and along the single latent that tells it best, pictures judged by the nearest of all 24,576
rendered ones. Prints Spearman's rank correlation over lanes between how selectively attributes move and the sweep's own
scores, with 95% bootstrap intervals over lanes, and once more given the reconstruction error, since blur alone makes
edits less selective. Draws lane by lane. What is missing of the scores is computed.

An attribute that a lane cannot move by one standard deviation counts with what it came to at the longest step, and is
not left out: leaving out is what a lane that knows little would gain by. A gap counts as -1 where it is below.

Three minutes of CPU time on two cores that had other work (2026-11-25), for 34 lanes: the 10 of the quickstart
(burgess, MIG 0.02 to 0.23), and 24 that hardly disentangle (mlp, MIG 0.00 to 0.08), beta-VAE at beta 1 to 16,
beta-TCVAE at 2 and 6 and FactorVAE at gamma 6, three seeds each, 3,000 steps of 64 at lr 1e-3. Chance is 0.2. Figure:
figures/navigate_sprites.png.

                                       MIG                    the same given reconstruction   DCI, given reconstruction
  single latents, selectivity          +0.67 [+0.34, +0.87]   +0.66 [+0.34, +0.86]            +0.68 [+0.39, +0.85]
  normals, selectivity                 -0.27 [-0.54, +0.08]   -0.19 [-0.47, +0.15]            -0.18 [-0.49, +0.20]

So the scores promise what single latents do, and nothing of what normals do. Normals are the more selective in 28 lanes
of 34 (0.47 on average, single latents 0.35), whatever MIG is: a linear boundary finds an attribute that is spread over
latents. That normals fall as DCI rises (-0.52 [-0.68, -0.29]) goes with beta: lanes of higher beta blur. Within the
quickstart's lanes single latents go with MIG at +0.90 [+0.47, +1.00], within the mlp's nothing is certain (+0.27
[-0.18, +0.66]): much of what is found over all lanes is the difference between these two sweeps. Of five attributes a
lane moves two by a full standard deviation, on average.
"""

import json
import pathlib
import time

import numpy as np
from absl import app, flags
from scipy import stats

import jaxvae
from jaxvae import navigate
from jaxvae.report import style
from jaxvae.report.drawing import save_figure

flags.DEFINE_list("sweeps", None, "Folders of sweeps trained on mini_sprites.", required=True)
flags.DEFINE_string("out", "runs/navigate_sprites", "Where table and figure go.")
flags.DEFINE_list("attributes", ["shape=2", "scale>1", "orientation>3", "x_position>7", "y_position>7"], "Moved.")
flags.DEFINE_integer("images", 4096, "Drawn from the grid: 85% to fit boundaries on, the others to report on.")
flags.DEFINE_integer("edited", 32, "Of the images to report on.")
flags.DEFINE_integer("lanes", 0, "Take so many of each sweep, evenly; 0 for all.")
flags.DEFINE_integer("seed", 0, "Of all that is drawn.")
FLAGS = flags.FLAGS

SCORES = {"mig": "mig", "dci": "dci_disentanglement", "sap": "sap", "factor_vae": "factor_vae"}  # metric: its column
NAMES = {"mig": "MIG", "dci": "DCI disentanglement", "sap": "SAP", "factor_vae": "FactorVAE score"}
MEASURES = {
    "normals": "selectivity along normals",
    "single": "selectivity along single latents",
    "gap": "gap along normals",
    "single_gap": "gap along single latents",
}
LEAST_GAP = -1.0  # another attribute moves twice as far: how much farther still, where hardly anything moves, is chance
NUM_BOOTSTRAPS = 2000


def lanes_of(path):
    """Return the scored rows of the healthy lanes of a sweep, and their models."""
    sweep = jaxvae.load_sweep(path)
    missing = [metric for metric, column in SCORES.items() if not sweep.results or column not in sweep.results[0]]
    if missing:
        sweep = sweep.rescore(names=missing)
    rows = [row for row in sweep.results if row["status"] == "ok"]
    if FLAGS.lanes:
        rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, FLAGS.lanes).astype(int))]
    pairs = [(row, sweep.model(row["lane"])) for row in rows]
    return [pair for pair in pairs if not pair[1].label_sizes]  # what is told labels has codes without them


def measure(models, data, judge):
    """Return what navigation finds of each model, a dict of numbers."""
    rows = np.random.default_rng(FLAGS.seed).permutation(len(data))[: FLAGS.images]
    some = jaxvae.data.from_arrays(
        data.images(rows), factors=np.asarray(data.factors)[rows], factor_names=data.factor_names, name="some sprites"
    )
    found = navigate.study(
        models, some, FLAGS.attributes, scorer=judge, faces=FLAGS.edited, bootstraps=2, seed=FLAGS.seed
    )

    def means(kind):
        return kind.selectivity.value.mean(1), np.maximum(kind.gap.value, LEAST_GAP).mean(1)

    (normals, gap), (single, single_gap) = means(found.normals), means(found.single)
    columns = {
        "normals": normals,
        "single": single,
        "gap": gap,
        "single_gap": single_gap,
        "steerable": found.normals.steerable.mean(1),
        "area": found.boundaries.area.mean(1),
        "participation": found.boundaries.participation.mean(1),
        "random": found.random.selectivity.mean(1),
        "readable": (found.judge.rebuilt_area >= 0.6).mean(1),
    }
    return [{name: float(column[number]) for name, column in columns.items()} for number in range(len(models))]


def correlation(left, right, given, random):
    """Return Spearman's rank correlation of two columns, and the partial one given a third: [value, low, high] each.

    The bounds are of 95% intervals, by a bootstrap over lanes.
    """
    columns = np.array([left, right, given])

    def of(rows):
        ranks = stats.rankdata(columns[:, rows], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            plain, first, second = np.corrcoef(ranks)[[0, 0, 1], [1, 2, 2]]
            return plain, (plain - first * second) / np.sqrt((1 - first**2) * (1 - second**2))

    num = columns.shape[1]
    again = [of(random.integers(0, num, num)) for _ in range(NUM_BOOTSTRAPS)]
    bounds = np.nanquantile(again, (0.025, 0.975), axis=0)
    return np.stack([of(np.arange(num)), *bounds], axis=1).tolist()


@style.styled
def draw(rows):
    """Draw how selectively lanes move attributes over their scores; a point is a lane."""
    made = style.figure(11.5, 6.8)
    sweeps = list(dict.fromkeys(row["sweep"] for row in rows))
    for place, (measure_name, score) in enumerate(
        (measure_name, score) for measure_name in ("normals", "single") for score in ("mig", "dci")
    ):
        axes = made.add_subplot(2, 2, place + 1)
        for index, sweep in enumerate(sweeps):
            points = [(row[SCORES[score]], row[measure_name]) for row in rows if row["sweep"] == sweep]
            look = {"color": style.QUALITATIVE[index % 7], "marker": style.MARKERS[index % 7], "label": sweep}
            axes.scatter(*zip(*points, strict=True), s=40, edgecolor="white", linewidth=0.6, **look)
        axes.axhline(1 / len(FLAGS.attributes), color=style.FAINT, linestyle="--", linewidth=1)
        axes.set_ylim(0, 1)
        axes.set_xlabel(NAMES[score])
        axes.set_ylabel(MEASURES[measure_name] if score == "mig" else "")
    style.legend_above(made, axes.get_legend_handles_labels()[0])
    return made


def main(_):
    """Navigate, print, draw."""
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    data = jaxvae.data.load("mini_sprites")
    judge = navigate.nearest_factors(data, FLAGS.attributes)
    rows = []
    for path in FLAGS.sweeps:
        pairs = lanes_of(path)
        models = {f"{row['objective']} {row['lane']}": model for row, model in pairs}
        found = measure(models, data, judge)
        for (row, _), numbers in zip(pairs, found, strict=True):
            about = {n: row[n] for n in ("lane", "objective", "architecture", "seed", "reconstruction")}
            scores = {column: row[column] for column in SCORES.values()}
            rows.append({"sweep": pathlib.Path(path).name, **about, **scores, **numbers})
            words = " ".join(f"{name}={value:.3f}" for name, value in {**scores, **numbers}.items())
            print(f"{rows[-1]['sweep']} lane {row['lane']:2d} {row['objective']:16s} {words}", flush=True)
    random, table = np.random.default_rng(FLAGS.seed), {}
    sweeps = list(dict.fromkeys(row["sweep"] for row in rows))
    for group in ["all", *sweeps] if len(sweeps) > 1 else ["all"]:
        own = [row for row in rows if group in ("all", row["sweep"])]
        print(f"\nrank correlations over {len(own)} lanes ({group}), and given the lanes' reconstruction error")
        for name, words in MEASURES.items():
            for score, column in SCORES.items():
                columns = ([row[key] for row in own] for key in (name, column, "reconstruction"))
                found = table[f"{group}: {name}, {score}"] = correlation(*columns, random)
                told = "   ".join(f"{value:+.2f} [{low:+.2f}, {high:+.2f}]" for value, low, high in found)
                print(f"  {words:34s} {NAMES[score]:20s} {told}", flush=True)
    (out / "rows.json").write_text(json.dumps({"lanes": rows, "correlations": table}, indent=1), encoding="utf-8")
    save_figure(draw(rows), out / "navigate_sprites.png")
    print(f"table and figure: {out}; {time.process_time() / 60:.1f} minutes of CPU in all")


if __name__ == "__main__":
    app.run(main)
