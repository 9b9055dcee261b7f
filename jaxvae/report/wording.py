"""How names, numbers and lanes are written in figures, page and terminal alike. Knows no matplotlib, no HTML."""

import math
from collections.abc import Iterable
from typing import Any

from jaxvae.evaluate.best import less_is_better
from jaxvae.evaluate.scoring import LOSSES
from jaxvae.report import reading
from jaxvae.types import Results, Showcase

_NAMES = {"beta_vae": "β-VAE", "factor_vae": "FactorVAE"}
_WHOLE = {
    "nll": "Reconstruction (NLL)",
    "kl_standard": "KL to N(0, I)",
    "beta_vae": "β-VAE score",
    "factor_vae": "FactorVAE score",
    "mig_sampled": "MIG (sampled)",
    "sap_continuous": "SAP (continuous)",
    "infom": "InfoM",
    "infoe": "InfoE",
    "infoc": "InfoC",
    "gaussian_tc": "Gaussian TC",
    "mutual_information": "Mutual information of latents",
    "knn_accuracy": "Ten neighbours' accuracy",
    "linear_probe": "Linear probe's accuracy",
    "udr_spearman": "UDR (Spearman)",
    "udr_lasso": "UDR (Lasso)",
}
_SHORT = {
    "mutual_information": "MI of latents",
    "knn_accuracy": "10-NN accuracy",
    "linear_probe": "Linear probe",
}
_ACRONYMS = ("dci", "dip", "elbo", "irs", "kl", "mi", "mig", "mmd", "mse", "nll", "sap", "tad", "tc", "udr", "vae")
MISSING = "–"


def title(name: str) -> str:
    """Turn the name of a score or log column into a heading: dci_completeness -> DCI completeness."""
    if name in _WHOLE:
        return _WHOLE[name]
    for code, written in _NAMES.items():
        name = name.replace(code, written)
    words = " ".join(word.upper() if word in _ACRONYMS else word for word in name.split("_"))
    return words[:1].upper() + words[1:] if words.isascii() else words


def short_title(name: str) -> str:
    """Return a heading for a small panel; ↓ says that lower is better."""
    return _SHORT.get(name, title(name)) + " ↓" * (name not in LOSSES and less_is_better(name))


def showcase_title(results: Results, showcase: Showcase, separator: str = " · ") -> str:
    """Name a lane on show by its rank, its hypers and its main score."""
    lane = next((lane for lane in results.lanes if lane.get("lane") == showcase.lane), None)
    parts = [f"{showcase.title[:1].upper()}{showcase.title[1:]}"]
    if lane is not None:
        label = lane_label(results, lane)
        parts.append(f"lane {showcase.lane}" if label.startswith("lane ") else f"lane {showcase.lane}: {label}")
        score = results.main_score
        if score and math.isfinite(reading.number(lane, score)):
            parts.append(f"{title(score)} {short(reading.number(lane, score))}")
    return separator.join(parts)


def hyper(value: Any) -> str:
    """Write the value of a hyper as one would type it on the command line."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)


def hypers(chosen: dict[str, Any]) -> str:
    """Write hypers as "beta=4, seed=1", leaving out those that do not apply."""
    return ", ".join(f"{name}={hyper(value)}" for name, value in chosen.items() if value is not None)


def lane_label(results: Results, lane: reading.Lane) -> str:
    """Name a lane by what tells it from its siblings: "factor_vae, gamma=40, seed=1"."""
    parts = []
    if len(reading.families(results)) > 1:
        parts.append(reading.family_name(results, reading.family(lane)))
    names = [*reading.family_sweeps(results, reading.family(lane))]
    if reading.SEED in results.swept:
        names.append(reading.SEED)
    parts.append(hypers({name: lane.get(name) for name in names}))
    return ", ".join(part for part in parts if part) or f"lane {lane.get('lane', 0)}"


def decimals(column: Iterable[float]) -> int:
    """Choose how many decimals a whole column of numbers gets, so that they line up and none drowns in digits."""
    finite = [abs(value) for value in column if math.isfinite(value)]
    if all(value == int(value) for value in finite):
        return 0
    largest = max(finite)
    return 3 if largest < 10 else 2 if largest < 1000 else 1 if largest < 100000 else 0


def fixed(value: float, places: int) -> str:
    """Write a number with a fixed count of decimals and a true minus sign; a dash for what is missing."""
    return MISSING if not math.isfinite(value) else f"{value:.{places}f}".replace("-", "−")


def short(value: float) -> str:
    """Write one number on its own, to three significant digits or so."""
    return fixed(value, decimals([value]) if abs(value) != 0 else 0)


def spread(mean: float, deviation: float, places: int, sign: str = " ± ") -> str:
    """Write "mean ± standard deviation", the mean alone when there is one lane."""
    return fixed(mean, places) + ("" if math.isnan(deviation) else f"{sign}{fixed(deviation, places)}")


def span(median: float, least: float, greatest: float, places: int) -> str:
    """Write "median [least, greatest]"; a dash for what is missing."""
    if math.isnan(median):
        return MISSING
    return f"{fixed(median, places)} [{fixed(least, places)}, {fixed(greatest, places)}]"


def duration(seconds: float) -> str:
    """Write a time as one would say it: 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def left_out(shown: int, number: int, what: str, where: str = "all in results.csv") -> str:
    """Say that so many of a number are shown, "200 of 12 600 lanes; all in results.csv"; "" where all of them are.

    Args:
        shown: how many are shown.
        number: how many there are.
        what: they are, and which of them are shown.
        where: the others are found.
    """
    if shown >= number:
        return ""
    numbers = f"{shown:,} of {number:,}".replace(",", " ")
    return f"{numbers} {what}; {where}"


def the_best(results: Results) -> str:
    """Say which of many lanes or settings a table has: "the best by MIG"."""
    return f"the best by {title(results.main_score)}" if results.main_score else "the first"


def count(amount: int, noun: str) -> str:
    """Write "1 lane", "64 lanes"."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}".replace(",", " ")


def group_label(results: Results, group: reading.Group) -> str:
    """Name a group of lanes by what tells it from the others: "beta_vae, beta=4"."""
    name = reading.family_name(results, group.family)
    several = len(reading.families(results)) > 1
    return ", ".join(part for part in (name if several else "", hypers(group.hypers)) if part) or name
