"""Do the papers' conclusions about beta-VAE and FactorVAE hold? Finished sweeps judge them claim by claim.

python experiments/conclusions.py                                        trains 60 lanes on a CPU, and judges those
python experiments/conclusions.py --sweeps=runs/ONE,runs/ANOTHER         judges sweeps that are there, by their folders
python experiments/conclusions.py --sweeps=experiments/figures/dsprites_study.csv                  … or by results.csv

Sweeps that are judged together are of one data set and network. Each claim is a number with a 95% interval, and *holds*
where all of the interval does, *does not hold* where none does, and is *undecided here* otherwise. Seeds are drawn anew
within each setting. Simulated with normal scores, 12 settings of five seeds, 80 times each, intervals held the truth so
often: the gain at like reconstruction 89% and 90% (a little too short), the order of betas and
the plain VAE's deficit 95% to 99%, the share of seeds 94% and 96%.

The grids of dsprites_study.flags at 7% of their steps (that file says how): 60 lanes, all finished, on one NVIDIA H200
(2026-11-26). Table figures/dsprites_study.csv, figure figures/conclusions.png.

  holds       FactorVAE is the better at like reconstruction: FactorVAE score +.10 [.04, .15], MIG +.04 [.01, .07],
              DCI +.09 [.05, .12]. All its lanes lie between 47 and 65 nats, where beta is 2 to 4
  holds       beta costs reconstruction (of two lanes always the stronger: 35 nats at beta 1, 127 at 16), and so does
              gamma (+.42 [.14, .66]: 50 nats at gamma 10, 60 at 100)
  holds       more beta disentangles by MIG (+.63 [.43, .79], from .04 to .20), DCI, beta-VAE score, SAP and modularity;
  undecided   by the FactorVAE score (+.13 [-.23, .48]), which is highest at beta 6
  undecided   more gamma disentangles (FactorVAE score +.03 [-.28, .38], .75 at 50 and .59 at 100; MIG +.08 [-.28, .42])
  holds       a plain VAE disentangles less by MIG (.06 [.04, .09] below the others) and DCI; undecided by four others
  does not    the beta-VAE score saturates: no lane of 60 is above .95 (the highest .89)
  holds       it tells lanes apart less than the FactorVAE score (its outer deciles are .09 [.05, .15] closer) and DCI
  holds       scores rank lanes alike: MIG and DCI +.90, MIG and FactorVAE score +.71, MIG and beta-VAE score +.78, all
              surely above .5; of beta-VAE and FactorVAE score (+.69 [.49, .83]) undecided
  holds       seeds matter more than the objective, by every score: 10% of the variance of the FactorVAE score is the
              objective's, 7% its strength's and 82% the seed's; of MIG 0%, 33% and 67%. They matter more than both
              together by four scores of six; undecided by MIG (67% [41%, 90%]) and DCI
  holds       gamma lowers the total correlation of samples, as the critic estimates it: from .64 to .02 nats
  does not    and that of mean codes: as of a Gaussian it rises from .43 to 1.0 nats (+.43 [.09, .74])
  undecided   whether ELBO or UDR tell the better seed of a setting
"""

import csv
import functools
import math
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import common
import numpy as np
from absl import app, flags
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from scipy import stats

import jaxvae
from jaxvae.report import style

flags.DEFINE_list("sweeps", None, "Folders of finished sweeps, or their results.csv, judged together. Default: trains.")
flags.DEFINE_integer("resamples", 2000, "Of lanes, for the intervals.")
FLAGS = flags.FLAGS

STUDY = {
    "objective": "beta_vae,factor_vae",
    "architecture": "burgess",
    "sweep": {
        "beta_vae:beta": [1, 2, 4, 6, 8, 16],
        "factor_vae:gamma": [1, 2, 3, 4, 5, 10],  # a tenth of the grid for 64x64 sprites
        "factor_vae:critic_lr": [1e-3],
        "seed": range(5),
    },
    "steps": 1200,
    "batch_size": 32,
    "lr": 2e-3,
    "critic_width": 128,
    "critic_depth": 3,
    "lanes": "map",
    "metrics": "factor_vae,mig,dci,beta_vae,sap,modularity,gaussian_tc,udr",
}
"""What is trained on mini_sprites where no sweeps are given."""

QUICK = {
    "sweep": {"beta_vae:beta": [1, 4], "factor_vae:gamma": [1, 5], "seed": range(2)},
    "critic_width": 16,
    "metrics": "factor_vae,mig,beta_vae,gaussian_tc",
}

STRENGTHS = {"beta_vae": "beta", "factor_vae": "gamma"}
"""What is swept of each method."""

NAMES = {
    "factor_vae": "FactorVAE score",
    "mig": "MIG",
    "dci_disentanglement": "DCI disentanglement",
    "beta_vae": "beta-VAE score",
    "sap": "SAP",
    "modularity": "modularity",
}
"""Scores of which more is better, by their column."""

MAIN = tuple(NAMES)[:3]
LEVEL = 0.95
Lanes = dict[str, np.ndarray]
"""Columns [L]: method, strength, setting (a number each) and all that results.csv has, NaN where it has nothing."""


class Claim(NamedTuple):
    """What a paper says, as a number that must lie between two bounds."""

    text: str
    source: str
    number: str  # what it is, in words
    statistic: Callable[[Lanes, str], float]
    columns: tuple[str, ...]  # judged by each of them
    needs: tuple[str, ...] = ()  # further columns
    of: str | None = None  # the method whose lanes are looked at; None for both
    above: float = 0.0
    below: float = math.inf


def like_reconstruction(lanes: Lanes, score: str) -> float:
    """Return by how much FactorVAE's lanes are above beta-VAE's curve at their own reconstruction, on average.

    The curve joins the means of beta-VAE's settings; lanes beyond its ends do not count.
    """
    curve = means(only(lanes, "beta_vae"), "reconstruction", score)
    curve = curve[np.argsort(curve[:, 0])]
    factor = only(lanes, "factor_vae")
    inside = (factor["reconstruction"] >= curve[0, 0]) & (factor["reconstruction"] <= curve[-1, 0])
    if not inside.any():
        return math.nan
    return float((factor[score] - np.interp(factor["reconstruction"], *curve.T))[inside].mean())


def order(lanes: Lanes, score: str) -> float:
    """Return how much more often the stronger of two lanes scores higher than lower."""
    return alike(np.subtract.outer(lanes["strength"], lanes["strength"]), np.subtract.outer(lanes[score], lanes[score]))


def among_seeds(other: str, lanes: Lanes, score: str) -> float:
    """Return how much more often, of two seeds of one setting, the one with more of another column scores higher."""
    siblings = np.equal.outer(lanes["setting"], lanes["setting"])
    first, second = (np.subtract.outer(lanes[name], lanes[name]) for name in (other, score))
    return alike(first * siblings, second)


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """Return Somers' D, -1 … 1: pairs of one sign minus pairs of opposite signs, per pair that differs in the first."""
    return float((np.sign(first) * np.sign(second)).sum() / np.count_nonzero(first)) if first.any() else math.nan


def above_plain(lanes: Lanes, score: str) -> float:
    """Return the mean of all settings but the plain VAE, beta 1, minus the mean of that one."""
    plain = (lanes["method"] == "beta_vae") & (lanes["strength"] == 1)
    others = {name: column[~plain] for name, column in lanes.items()}
    return float(means(others, score).mean() - lanes[score][plain].mean()) if plain.any() else math.nan


def saturated(lanes: Lanes, score: str) -> float:
    """Return the share of lanes above .95."""
    return float((lanes[score] > 0.95).mean())


def less_spread(lanes: Lanes, score: str) -> float:
    """Return how much farther apart the outer deciles of a score lie than those of the beta-VAE score."""
    wide, narrow = (np.subtract(*np.quantile(lanes[name], [0.9, 0.1])) for name in (score, "beta_vae"))
    return float(wide - narrow)


def agreement(other: str, lanes: Lanes, score: str) -> float:
    """Return Spearman's rank correlation of two scores."""
    return float(np.corrcoef(stats.rankdata(lanes[other]), stats.rankdata(lanes[score]))[0, 1])


def seed_share(lanes: Lanes, score: str) -> float:
    """Return the share of the variance that neither objective nor strength explain."""
    return shares(lanes, score)[2]


def seed_over_objective(lanes: Lanes, score: str) -> float:
    """Return that share, minus the objective's."""
    objective, _, seed = shares(lanes, score)
    return seed - objective


HIGGINS, KIM, LOCATELLO = "Higgins et al. 2017", "Kim & Mnih 2018", "Locatello et al. 2019"
DUAN = "Duan et al. 2020"
GAIN, DECILES = "mean over its lanes, minus beta-VAE's curve", "distance of outer deciles, minus its"
ORDER = "of two lanes the stronger scores higher, minus lower"
RANKS = "rank correlation over lanes, above .5"
SHARE, SEEDS = "seed's share of variance", "of two seeds of a setting the one with more scores higher, minus lower"
HALF, SMALL, NEGATIVE = {"above": 0.5}, {"above": -1 / 3, "below": 1 / 3}, {"above": -math.inf, "below": 0.0}
BETA, GAMMA, ALL = {"of": "beta_vae"}, {"of": "factor_vae"}, tuple(NAMES)
ranks_as, tells = functools.partial(functools.partial, agreement), functools.partial(functools.partial, among_seeds)
CLAIMS = (
    Claim("FactorVAE gains at like reconstruction", KIM, GAIN, like_reconstruction, MAIN),
    Claim("beta costs reconstruction", HIGGINS, ORDER, order, ("reconstruction",), **BETA),
    Claim("gamma costs reconstruction", KIM, ORDER, order, ("reconstruction",), **GAMMA),
    Claim("more beta disentangles", HIGGINS, ORDER, order, ALL, **BETA),
    Claim("more gamma disentangles", KIM, ORDER, order, ALL, **GAMMA),
    Claim("a plain VAE (beta 1) disentangles less", HIGGINS, "mean of other settings minus its", above_plain, ALL),
    Claim("gamma lowers TC of samples (critic's estimate)", KIM, ORDER, order, ("tc",), **GAMMA, **NEGATIVE),
    Claim("gamma lowers TC of mean codes (Gaussian)", LOCATELLO, ORDER, order, ("gaussian_tc",), **GAMMA, **NEGATIVE),
    Claim("the beta-VAE score saturates", KIM, "share of lanes above .95, most", saturated, ("beta_vae",), **HALF),
    Claim("the beta-VAE score tells lanes apart less", KIM, DECILES, less_spread, MAIN, ("beta_vae",)),
    Claim("ranks as the beta-VAE score does", LOCATELLO, RANKS, ranks_as("beta_vae"), MAIN, ("beta_vae",), **HALF),
    Claim("ranks as MIG does", LOCATELLO, RANKS, ranks_as("mig"), (MAIN[0], MAIN[2]), ("mig",), **HALF),
    Claim("seeds matter more than the objective", LOCATELLO, f"{SHARE}, minus objective's", seed_over_objective, ALL),
    Claim("seeds matter more than all settings", LOCATELLO, f"{SHARE}, above .5", seed_share, ALL, **HALF),
    Claim("the ELBO does not tell the better seed", LOCATELLO, SEEDS, tells("elbo"), MAIN, ("elbo",), **SMALL),
    Claim("UDR tells the better seed", DUAN, SEEDS, tells("udr_spearman"), MAIN, ("udr_spearman",)),
)
"""`source` says who made or examined a claim; the bounds are this study's."""


def only(lanes: Lanes, method: str) -> Lanes:
    """Return the lanes of one method."""
    chosen = lanes["method"] == method
    return {name: column[chosen] for name, column in lanes.items()}


def means(lanes: Lanes, *columns: str) -> np.ndarray:
    """Return the means of columns over each setting that is there, [S, C], in the settings' order."""
    counts = np.bincount(lanes["setting"])
    sums = np.stack([np.bincount(lanes["setting"], lanes[name]) for name in columns], 1)
    return sums[counts > 0] / counts[counts > 0, None]


def parts(lanes: Lanes, score: str) -> tuple[np.ndarray, ...]:
    """Return what a score [L] is the sum of, beside its mean: of objective, strength within it, and seed."""
    values = lanes[score] - lanes[score].mean()
    is_factor = lanes["method"] == "factor_vae"
    objective = np.where(is_factor, values[is_factor].mean(), values[~is_factor].mean())
    setting = (np.bincount(lanes["setting"], values) / np.bincount(lanes["setting"]))[lanes["setting"]]
    return objective, setting - objective, values - setting


def shares(lanes: Lanes, score: str) -> tuple[float, float, float]:
    """Return the shares of a score's variance that objective, strength within it and seed explain, which sum to 1.

    Omega squared: sums of squares less what seeds alone would put into them (Hays 1963).
    """
    found = parts(lanes, score)
    settings = len(np.unique(lanes["setting"]))
    squares = [float((part**2).sum()) for part in found]
    noise = squares[2] / max(1, len(found[0]) - settings)
    total = sum(squares) + noise
    explained = [max(0.0, squares[0] - noise) / total, max(0.0, squares[1] - (settings - 2) * noise) / total]
    return *explained, 1.0 - sum(explained)


def spread_out(lanes: Lanes, score: str, rng: np.random.Generator) -> Lanes:
    """Return lanes of the settings' means with seeds drawn anew, both so scaled that their variances are unbiased.

    Plain resampling would count the noise in the settings' means twice, and find the share of seeds too small.
    """
    objective, strength, seed = parts(lanes, score)
    settings = len(np.unique(lanes["setting"]))
    noise = (seed**2).sum() / max(1, len(seed) - settings)
    drawn = np.empty_like(seed)
    for members in groups(lanes):
        scale = math.sqrt(len(members) / max(1, len(members) - 1))
        drawn[members] = scale * rng.choice(seed[members], len(members))
    kept = [
        part * math.sqrt(max(0.0, (part**2).sum() - freedom * noise) / max((part**2).sum(), 1e-30))
        for part, freedom in ((objective, 1), (strength, settings - 2))
    ]
    return lanes | {score: sum(kept) + drawn}


def groups(lanes: Lanes) -> list[np.ndarray]:
    """Return the numbers of the lanes of each setting."""
    return [np.flatnonzero(lanes["setting"] == number) for number in np.unique(lanes["setting"])]


def drawn_anew(lanes: Lanes, score: str, rng: np.random.Generator) -> Lanes:
    """Return lanes with seeds drawn anew within each setting: one fewer than there are, with replacement.

    So the variance of a mean of n seeds is what it should be (Rao & Wu 1988); of n out of n it is (n - 1) / n of that.
    """
    index = np.concatenate([rng.choice(members, max(1, len(members) - 1)) for members in groups(lanes)])
    return {name: column[index] for name, column in lanes.items()}


def judge(claim: Claim, lanes: Lanes, column: str, resamples: int) -> dict:
    """Return a row of the table: the number, its 95% interval, and what follows from it."""
    lanes = only(lanes, claim.of) if claim.of else lanes
    number, low, high = claim.statistic(lanes, column), math.nan, math.nan
    if math.isfinite(number):
        low, high = interval(claim.statistic, lanes, column, resamples)
    inside, outside = claim.above < low and high < claim.below, high < claim.above or claim.below < low
    return {
        "claim": claim.text,
        "by": NAMES.get(column, column),
        "number": round(number, 3),
        "low": round(low, 3),
        "high": round(high, 3),
        "verdict": "holds" if inside else "does not hold" if outside else "undecided here",
        "what": claim.number,
        "source": claim.source,
    }


def interval(statistic: Callable[[Lanes, str], float], lanes: Lanes, column: str, resamples: int):
    """Return the bounds of a 95% interval: percentiles over resamples, for a share of lanes Wilson's."""
    if statistic is saturated:  # where none is, or all are, resamples would be certain
        count = len(lanes[column])
        return stats.binomtest(round(statistic(lanes, column) * count), count).proportion_ci(LEVEL, "wilson")
    rng, tail = np.random.default_rng(0), (1 - LEVEL) / 2
    if statistic in (seed_share, seed_over_objective):
        draw = spread_out
    else:  # some lean on two settings only: as far out as Student's t of so few seeds
        draw, freedom = drawn_anew, 2 * (min(map(len, groups(lanes))) - 1)
        tail = float(stats.norm.cdf(stats.t.ppf(tail, freedom)))
    drawn = [statistic(draw(lanes, column, rng), column) for _ in range(resamples)]
    return np.nanquantile(drawn, [tail, 1 - tail]).tolist()


def rows_of(path: str) -> list[dict]:
    """Return the rows of a finished sweep, from its folder or its results.csv, every cell a number or a word.

    From a folder `tc` is joined to them, the critic's last estimate in history.csv.
    """
    table = pathlib.Path(path)
    if table.is_dir():
        sweep = jaxvae.load_sweep(table)
        if not sweep.results:
            raise jaxvae.InputError(f"--sweeps={path}: the sweep has not been scored; run its command to the end")
        return with_tc(sweep)
    try:
        with open(table, newline="", encoding="utf-8") as file:
            rows = [{name: _value(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    except OSError as error:
        raise jaxvae.InputError(f"--sweeps={path} cannot be read ({error.strerror}); give a folder or a .csv") from None
    missing = {"objective", "status", "seed", "reconstruction"} - set(rows[0] if rows else ())
    if missing:
        raise jaxvae.InputError(f"--sweeps={path} is not the results.csv of a sweep: no {', '.join(sorted(missing))}")
    return rows


def with_tc(sweep: jaxvae.Sweep) -> list[dict]:
    """Return the rows of a sweep, each with the critic's last estimate of its TC where there is a critic."""
    history = sweep.history
    last = {}
    if "tc" in history:
        known = np.isfinite(history["tc"])
        last = dict(zip(history["lane"][known].tolist(), history["tc"][known].tolist(), strict=True))
    return [row | ({"tc": last.get(row["lane"])} if last else {}) for row in sweep.results]


def _value(cell: str) -> float | str | None:
    try:
        return float(cell)
    except ValueError:
        return cell or None


def lanes_of(rows: list[dict]) -> Lanes:
    """Return the healthy lanes of both methods as columns.

    Raises:
        InputError: a method is missing, or has one strength or one seed.
    """
    rows = [row for row in rows if row["objective"] in STRENGTHS and row["status"] == "ok"]
    strengths = [float(row[STRENGTHS[row["objective"]]]) for row in rows]
    settings = sorted({(row["objective"], strength) for row, strength in zip(rows, strengths, strict=True)})
    counts = {method: [name for name, _ in settings].count(method) for method in STRENGTHS}
    if min(counts.values()) < 2 or len(rows) < 2 * len(settings):
        words = ", ".join(f"{count} of {method}" for method, count in counts.items())
        raise jaxvae.InputError(f"needs two strengths of each method and two seeds of each; {words}, {len(rows)} lanes")
    numbers = {
        name: np.array([row.get(name) if isinstance(row.get(name), (int, float)) else np.nan for row in rows], float)
        for name in dict.fromkeys(name for row in rows for name in row)
    }
    return numbers | {
        "method": np.array([row["objective"] for row in rows]),
        "strength": np.array(strengths),
        "setting": np.array(
            [settings.index((row["objective"], s)) for row, s in zip(rows, strengths, strict=True)], np.int64
        ),
    }


def can_judge(lanes: Lanes, claim: Claim, column: str) -> bool:
    """Return whether every lane that a claim looks at has the columns that it needs."""
    looked_at = only(lanes, claim.of) if claim.of else lanes
    return all(known(looked_at, name) for name in (column, *claim.needs))


def known(lanes: Lanes, column: str) -> bool:
    """Return whether every lane has a column."""
    return column in lanes and bool(np.isfinite(lanes[column]).all())


COLOURS = dict(zip(STRENGTHS, style.QUALITATIVE, strict=False))
LABELS = {"beta_vae": "beta-VAE", "factor_vae": "FactorVAE"}


@style.styled
def draw(lanes: Lanes, rows: list[dict]):
    """Draw scores against reconstruction, and what decides each score."""
    scores = [name for name in MAIN if known(lanes, name)]
    made = style.figure(11.5, 8.2)
    axes = made.subplots(2, 2).ravel()
    for panel, score in zip(axes, scores, strict=False):
        against_reconstruction(panel, lanes, score)
        gain = next(row for row in rows if (row["claim"], row["by"]) == (CLAIMS[0].text, NAMES[score]))
        words = f"FactorVAE at like reconstruction: {gain['number']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}]"
        panel.set_title(f"{NAMES[score]}\n", loc="left")
        panel.text(0.0, 1.02, words.replace("-", "−"), transform=panel.transAxes, fontsize=11, color="#444444")
    variance(axes[3], lanes)
    for panel in axes[len(scores) : 3]:
        panel.set_visible(False)
    handles = [
        Line2D([], [], color=COLOURS[method], linestyle=line, marker=marker, markersize=8, label=LABELS[method])
        for method, line, marker in zip(STRENGTHS, ("-", "none"), style.MARKERS, strict=False)
    ]
    handles.append(Line2D([], [], linestyle="none", marker="o", markersize=4, color=style.FAINT, label="one seed"))
    style.legend_above(made, handles)
    return made


def against_reconstruction(panel, lanes: Lanes, score: str) -> None:
    """Draw a dot for each lane and a mark for each setting's mean, beta-VAE's joined to the curve that is compared."""
    for method, marker, symbol in zip(STRENGTHS, style.MARKERS, "βγ", strict=False):
        own, colour = only(lanes, method), COLOURS[method]
        panel.scatter(own["reconstruction"], own[score], s=16, color=colour, alpha=0.4, linewidth=0)
        places, strengths = means(own, "reconstruction", score), np.unique(own["strength"])
        if method == "beta_vae":
            panel.plot(*places[np.argsort(places[:, 0])].T, color=colour, linewidth=1.4, zorder=3)
        panel.scatter(*places.T, color=colour, marker=marker, s=70, edgecolor="white", linewidth=0.8, zorder=4)
        told = {0, len(places) - 1, int(places[:, 1].argmax())} if method == "factor_vae" else range(len(places))
        for number in told:
            words = f"{symbol} {strengths[number]:g}"
            below, left, right = ((0, -17), "center"), ((-9, -4), "right"), ((9, -4), "left")
            last = number == len(places) - 1
            place, side = below if method == "beta_vae" or last else right if number else left
            text = panel.annotate(words, places[number], place, textcoords="offset points", ha=side, fontsize=10.5)
            text.set(color=colour, zorder=5, path_effects=[withStroke(linewidth=3, foreground="white")])
    panel.set_xlabel("reconstruction (nats per image)")


def variance(panel, lanes: Lanes) -> None:
    """Draw what decides each score as parts of a bar."""
    scores = [name for name in NAMES if known(lanes, name)]
    colours = ("#4D4D4D", "#56B4E9", "#E2E2E2")
    for place, score in enumerate(reversed(scores)):
        left = 0.0
        for share, colour in zip(shares(lanes, score), colours, strict=True):
            panel.barh(place, share, left=left, color=colour, height=0.6)
            if share > 0.06:
                dark = {"color": "white"} if colour == "#4D4D4D" else {"color": "#222222"}
                look = {"ha": "center", "va": "center", "fontsize": 10} | dark
                panel.text(left + share / 2, place, f"{100 * share:.0f}%", **look)
            left += share
        low, high = (1 - bound for bound in interval(seed_share, lanes, score, FLAGS.resamples))
        panel.plot([low, high], [place - 0.39] * 2, color="#222222", linewidth=1.4, solid_capstyle="butt")
    panel.set_yticks(range(len(scores)), [NAMES[name] for name in reversed(scores)])
    panel.set_xlim(0, 1)
    panel.grid(False)
    panel.set_xlabel("share of the variance over lanes\n(line: 95% interval of where seeds begin)")
    words = ("objective", "its strength", "seed")
    handles = [Patch(color=colour, label=word) for colour, word in zip(colours, words, strict=True)]
    panel.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, handlelength=1.0)


def main(_) -> None:
    """Find or train lanes, judge, print, draw."""
    try:
        if FLAGS.sweeps:
            rows = [row for path in FLAGS.sweeps for row in rows_of(path)]
        else:
            rows = common.remembered("lanes", trained_here)
        lanes = lanes_of(rows)
    except jaxvae.InputError as error:
        sys.exit(f"conclusions: {error}")
    left_out = sum(row["objective"] in STRENGTHS and row["status"] != "ok" for row in rows)
    judged = [(claim, column) for claim in CLAIMS for column in claim.columns if can_judge(lanes, claim, column)]
    found = [judge(claim, lanes, column, FLAGS.resamples) for claim, column in judged]
    common.keep("lanes", rows)
    table = common.keep("conclusions", found)
    picture = common.keep("conclusions", draw(lanes, found))
    count, settings = len(lanes["setting"]), len(np.unique(lanes["setting"]))
    print(f"{count} lanes of {settings} settings" + f", and {left_out} that did not finish" * bool(left_out))
    print(common.table([{key: row[key] for key in list(row)[:-2]} for row in found]))
    print(f"{table}\n{picture}")


def trained_here() -> list[dict]:
    """Train the study of a CPU's size, or open it; return its rows."""
    return with_tc(common.trained("conclusions_sprites", "mini_sprites", quick=QUICK, **STUDY))


if __name__ == "__main__":
    app.run(main)
