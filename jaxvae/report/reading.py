"""What a Results says: what was swept, which lanes belong together, which is best. Knows no matplotlib, no HTML.

A *family* is an (objective, architecture) pair; where several sweeps are compared, with the sweep. The *main* hyper is
the one drawn along an axis. A family *moves* when it takes more than one value of the main hyper; a FactorVAE with
three gammas beside a beta grid does not.
"""

import dataclasses
import math
import re
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from jaxvae.evaluate.best import less_is_better
from jaxvae.evaluate.scoring import LOSSES
from jaxvae.evaluate.unseen import is_apart
from jaxvae.types import Results

Lane = dict[str, Any]
Family = tuple[str, ...]

COUNTS = ("active_units", "tad_attributes")
WEIGHT = (
    *("mig", "dci_disentanglement", "factor_vae", "beta_vae", "sap", "modularity", "infom", "udr_spearman"),
    *("dci_completeness", "dci_informativeness", "infoe", "infoc", "explicitness", "irs", "mig_sampled", "udr_lasso"),
    *("tad", "knn_accuracy", "linear_probe", "silhouette"),
)
"""Scores from the best known on; where there is no room for all, the others go first."""

SEED = "seed"
KINDS = ("objective", "architecture", "sweep")
"""What tells families apart."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Lanes that share a family and every hyper in `hypers`, and differ in the rest (usually the seed)."""

    family: Family
    hypers: dict[str, Any]
    lanes: list[Lane]


def number(lane: Lane, name: str) -> float:
    """Return a column of a lane as a float; NaN for what is missing, empty, infinite or not a number."""
    value = lane.get(name)
    try:
        value = float(value)
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def is_ok(lane: Lane) -> bool:
    """Tell whether a lane finished healthy; scores of the others are not averaged, ranked or drawn as results."""
    return str(lane.get("status") or "ok") == "ok"


def stopped_at(lane: Lane) -> int | None:
    """Return the step at which a diverged lane was frozen, read from its status."""
    found = re.search(r"step (\d+)", str(lane.get("status", "")))
    return int(found.group(1)) if found and not is_ok(lane) else None


def unhealthy(results: Results) -> list[Lane]:
    """List the lanes whose status is not "ok"."""
    return [lane for lane in results.lanes if not is_ok(lane)]


def family(lane: Lane) -> Family:
    """Return the (objective, architecture) of a lane, and its sweep where it says one."""
    own = str(lane.get("objective") or ""), str(lane.get("architecture") or "")
    return (*own, lane["sweep"]) if isinstance(lane.get("sweep"), str) else own


def families(results: Results) -> list[Family]:
    """List the families in their order of appearance."""
    return list(dict.fromkeys(family(lane) for lane in results.lanes))


def family_name(results: Results, which: Family) -> str:
    """Name a family by what tells it from the others: its objective, its architecture, its sweep, or some of them."""
    return " · ".join(which[place] for place in _telling(results))


def family_kind(results: Results) -> str:
    """Say what `family_name` names."""
    return " · ".join(KINDS[place] for place in _telling(results))


def _telling(results: Results) -> list[int]:
    """Return which of KINDS differ between families; the first where none does."""
    columns = list(zip(*families(results), strict=True))
    return [place for place, column in enumerate(columns) if len(set(column)) > 1] or [0]


def swept_hypers(results: Results) -> list[str]:
    """List the swept hypers other than the seed, the main one first."""
    names = [name for name in results.swept if name in results.hyper_names and name != SEED]
    main = main_hyper(results)
    return [main, *(name for name in names if name != main)] if main else names


def values(lanes: Iterable[Lane], name: str) -> list[float]:
    """List the distinct finite values of a hyper, ascending."""
    found = {number(lane, name) for lane in lanes}
    return sorted(value for value in found if not math.isnan(value))


def main_hyper(results: Results) -> str | None:
    """Choose the hyper to draw along an axis: beta when some family sweeps it, else the first other numeric one."""
    names = [name for name in results.swept if name in results.hyper_names and name != SEED]
    for name in sorted(names, key=lambda name: name != "beta"):
        if any(len(values(lanes, name)) > 1 for lanes in _by_family(results).values()):
            return name
    return None


def moving_families(results: Results) -> list[Family]:
    """List the families that take more than one value of the main hyper."""
    main = main_hyper(results)
    return [which for which, lanes in _by_family(results).items() if main and len(values(lanes, main)) > 1]


def groups(results: Results, ignore: tuple[str, ...] = ()) -> list[Group]:
    """Gather lanes that agree on family and on every hyper their family sweeps, but for the seed and `ignore`."""
    found: dict[Any, Group] = {}
    sweeps = {
        which: [name for name in _sweeps(results, lanes) if name not in ignore]
        for which, lanes in _by_family(results).items()
    }
    for lane in ordered(results):
        which = family(lane)
        names = sweeps[which]
        key = (which, *(lane.get(name) for name in names))
        group = found.setdefault(key, Group(which, {name: lane.get(name) for name in names}, []))
        group.lanes.append(lane)
    return list(found.values())


def groups_by_family(results: Results) -> dict[Family, list[Group]]:
    """Return the settings of each family (see `groups`), families in their order of appearance."""
    found: dict[Family, list[Group]] = {which: [] for which in families(results)}
    for group in groups(results):
        found[group.family].append(group)
    return found


def family_sweeps(results: Results, which: Family) -> list[str]:
    """List the hypers, without the seed, that take more than one value inside one family."""
    return _sweeps(results, _by_family(results)[which])


def _sweeps(results: Results, lanes: list[Lane]) -> list[str]:
    return [name for name in swept_hypers(results) if len({lane.get(name) for lane in lanes}) > 1]


def ordered(results: Results) -> list[Lane]:
    """Sort lanes by family, then by the swept hypers, the main one first, then by seed."""
    position = {which: index for index, which in enumerate(families(results))}
    names = [*swept_hypers(results), SEED]

    def key(lane: Lane) -> tuple[Any, ...]:
        numbers = (number(lane, name) for name in names)
        return position[family(lane)], *(-math.inf if math.isnan(value) else value for value in numbers)

    return sorted(results.lanes, key=key)


def scores(results: Results) -> list[str]:
    """List the scores of the whole evaluation set, other than the losses, that at least one healthy lane has."""
    found = [name for name in results.score_names if name not in LOSSES and not is_apart(name)]
    return [name for name in found if _is_present(results, name)]


def apart(results: Results) -> list[str]:
    """List the scores of seen, or of unseen, images alone that at least one healthy lane has."""
    return [name for name in results.score_names if is_apart(name) and _is_present(results, name)]


def disentanglement_scores(results: Results) -> list[str]:
    """List the scores that measure disentanglement, of which more is better: neither losses nor counts."""
    return [name for name in scores(results) if name not in COUNTS and not less_is_better(name)]


def is_label_free(name: str) -> bool:
    """Tell whether a score compares lanes with each other instead of with factors."""
    return name.startswith("udr_")


def by_weight(results: Results, names: Iterable[str]) -> list[str]:
    """Sort scores: the one that ranks lanes, then WEIGHT, then the others in their order."""
    order = [results.main_score, *WEIGHT]
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def curves(results: Results) -> list[str]:
    """List the scores that were also measured while training."""
    # The history's own KLs are those of training batches.
    return [name for name in results.score_names if name not in ("kl", "kl_standard") and name in results.history]


def losses(results: Results) -> list[str]:
    """List the losses, reconstruction first, that at least one healthy lane has."""
    return [name for name in LOSSES if name in results.score_names and _is_present(results, name)]


def best_lane(results: Results) -> Lane | None:
    """Return the lane that ranks first, None where none is ranked."""
    return next((lane for lane in results.lanes if lane.get("lane") in results.ranked[:1]), None)


def best_lanes(results: Results, most: int) -> list[Lane]:
    """Return at most so many lanes in the order of `ordered`: of more, those that rank first, then the others."""
    if len(results.lanes) <= most:
        return ordered(results)
    place = {number: rank for rank, number in enumerate(results.ranked)}
    kept = sorted(results.lanes, key=lambda lane: place.get(lane.get("lane"), len(place)))[:most]
    chosen = {id(lane) for lane in kept}
    return [lane for lane in ordered(results) if id(lane) in chosen]


def best_groups(results: Results, found: list[Group], most: int) -> list[Group]:
    """Return at most so many settings in their order: of more, those whose mean of the score that ranks is best."""
    if len(found) <= most or results.main_score is None:
        return found[:most]
    means = [mean_and_spread(group.lanes, results.main_score)[0] for group in found]
    best = sorted(range(len(found)), key=lambda index: -math.inf if math.isnan(means[index]) else means[index])
    return [found[index] for index in sorted(best[-most:])]


def spread_out(found: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many things in their order: of more, the first, the last, and some evenly between them."""
    if len(found) <= most:
        return list(found)
    return [found[round(index * (len(found) - 1) / (most - 1))] for index in range(most)]


def mean_and_spread(lanes: Iterable[Lane], name: str) -> tuple[float, float, int]:
    """Return mean, standard deviation (n - 1 in the denominator; NaN for one lane) and count over healthy lanes."""
    found = [number(lane, name) for lane in lanes if is_ok(lane)]
    found = [value for value in found if not math.isnan(value)]
    if not found:
        return math.nan, math.nan, 0
    mean = math.fsum(found) / len(found)
    if len(found) == 1:
        return mean, math.nan, 1
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in found) / (len(found) - 1)), len(found)


def median_and_range(lanes: Iterable[Lane], name: str) -> tuple[float, float, float, int]:
    """Return median, least, greatest and count over healthy lanes; NaN three times where there are none."""
    found = [number(lane, name) for lane in lanes if is_ok(lane)]
    found = [value for value in found if not math.isnan(value)]
    if not found:
        return math.nan, math.nan, math.nan, 0
    return statistics.median(found), min(found), max(found), len(found)


def methods(results: Results) -> list[Group]:
    """Gather lanes by family alone, over all settings and seeds; [] where there is nothing to compare or to gather."""
    found = [Group(which, {}, lanes) for which, lanes in _by_family(results).items()]
    return found if 1 < len(found) < len(results.lanes) else []


def _by_family(results: Results) -> dict[Family, list[Lane]]:
    found: dict[Family, list[Lane]] = {}
    for lane in results.lanes:
        found.setdefault(family(lane), []).append(lane)
    return found


def _is_present(results: Results, name: str) -> bool:
    return any(is_ok(lane) and not math.isnan(number(lane, name)) for lane in results.lanes)
