"""Scores of a sweep: after training, while it lasts, and anew from a folder. Knows no plot."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxvae import metrics, models
from jaxvae.data import DATASETS, load
from jaxvae.data.grid import Dataset
from jaxvae.evaluate.clusters import score_clusters, why_not
from jaxvae.evaluate.encoding import encode, encode_in_place
from jaxvae.evaluate.showcases import showcases
from jaxvae.evaluate.siblings import compare_siblings, kept_points
from jaxvae.parallel import hosts
from jaxvae.parallel.lanes import put_everywhere
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import Factors, Hypers, Networks, Program, Results, Watch, look_up

LOSSES = ("reconstruction", "kl", "elbo")


def choose_metrics(names: Sequence[str] | None, data: Dataset) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the metrics that can be computed on a data set, and {metric: why not} for the others.

    Args:
        names: those asked for; None for all.
        data: the evaluation set.

    Raises:
        InputError: an unknown name.
    """
    reasons = {
        "labels": f"needs the factors the images were made from; {data.name} has labels only",
        "none": f"needs the factors the images were made from; {data.name} has none",
    }
    chosen, omitted = [], {}
    for name in metrics.METRICS if names is None else names:
        metric = look_up("metric", name, metrics.METRICS)
        if metric.of_clusters and len(data.factor_sizes) != 1:
            omitted[name] = f"needs one label of each image; {data.name} has {len(data.factor_sizes) or 'none'}"
        elif metric.needs_factors and data.annotation != "factors":
            omitted[name] = reasons[data.annotation]
        else:
            chosen.append(name)
    return tuple(chosen), omitted


def needs_logvar(names: Sequence[str]) -> bool:
    """Return whether some of these metrics look at log-variances."""
    return any(metrics.METRICS[name].needs_logvar for name in names)


def watch(names: Sequence[str] | None, data: Dataset, *, is_training_set: bool) -> Watch:
    """Return what scores lanes while they train, as `evaluate` scores them afterwards and by the same programs.

    The models stay where they are. Metrics of siblings are left out: a setting's seeds may be trained in different
    waves, so that there is no step at which all of them are there. So are metrics of clusters, which only some lanes
    have; the objective's own logs say how they come about.

    Args:
        names: metrics, None for all; those that the data does not allow are left out.
        data: the evaluation set.
        is_training_set: whether it is what lanes are trained on, which lies on the devices already.
    """
    names = tuple(name for name in choose_metrics(names, data)[0] if metrics.METRICS[name].of_codes)
    with_logvar, factors = needs_logvar(names), Factors(data.factors, data.factor_sizes)

    def score(program: Program, hypers: Hypers, networks: Networks, trained_on: Dataset) -> dict[str, np.ndarray]:
        mesh = jax.tree.leaves(networks)[0].sharding.mesh
        there = trained_on if is_training_set else put_everywhere(data, mesh)
        means, logvar, reconstruction, kl = encode_in_place(program, hypers, networks, there, with_logvar=with_logvar)
        scores = metrics.score_lanes(means, factors, names, seed=0, logvar=logvar)
        return {"reconstruction": reconstruction, "elbo": -reconstruction - kl.sum(-1)} | scores

    return Watch(("reconstruction", "elbo", *(key for name in names for key in metrics.METRICS[name].keys)), score)


def rescore(
    sweep: SavedSweep,
    *,
    names: Sequence[str] | str | None = None,
    data: Dataset | None = None,
    say: Callable[[str], None] = print,
) -> Results:
    """Score a trained sweep anew from its checkpoints; nothing is trained and nothing is written.

    `python run_sweep.py --workdir=W --metrics=mig,dci` does so too, and rewrites table and report in the folder.

    Args:
        sweep: from `load_sweep`.
        names: metrics to compute, None for all that the data allows.
        data: the evaluation set. By default the one that the sweep was scored on, loaded as then; scores that the sweep
            has already and that are not asked for are then kept.
        say: prints a line.

    Raises:
        InputError: a name is unknown, or the data set cannot be loaded.
        CheckpointError: lanes have not been trained, or their checkpoint is damaged.
    """
    names = tuple(metrics.METRICS) if names is None else (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        look_up("metric", name, metrics.METRICS)  # before a data set is loaded
    keep = data is None
    if data is None:
        name = sweep.spec["dataset"]
        split = look_up("data set", name, DATASETS).evaluation_split
        data = load(name, split, sweep.spec["data_dir"])
    return evaluate(sweep, data, {}, say, names, keep=keep)


def evaluate(
    sweep: SavedSweep,
    data: Dataset,
    environment: dict[str, Any],
    say: Callable[[str], None] = print,
    names: Sequence[str] | None = None,
    keep: bool = True,
) -> Results:
    """Score every lane of a trained sweep on a data set.

    Args:
        sweep: the sweep, from `load_sweep`.
        data: the evaluation set.
        environment: what to say of the machine and the run; goes into the results as it is.
        say: prints a line.
        names: metrics to compute; None for those of the sweep's spec.
        keep: whether scores that the sweep has from before, and that are not asked for now, go into the results, if
            its models are still those that were scored.

    Returns:
        Everything a report needs; of several processes only the first has showcases. Reconstruction and KL are means
        over all images, nats per image; the ELBO is minus their sum; a diverged lane is scored as it was at its last
        good step. Scores that compare siblings, lanes that differ in their seed alone, are None for a lane that has
        diverged or has no healthy sibling, and those of clusters for a lane whose prior has none.

    Raises:
        CheckpointError: lanes have not been trained, or their checkpoint is damaged.
    """
    names, omitted = choose_metrics(sweep.spec["metrics"] if names is None else names, data)
    of_siblings = tuple(name for name in names if metrics.METRICS[name].of_siblings)
    of_clusters = tuple(name for name in names if metrics.METRICS[name].of_clusters)
    of_one = tuple(name for name in names if metrics.METRICS[name].of_codes)
    with_logvar = needs_logvar(of_one)
    rows, settings, kl_per_latent, points, programs = [], [], [], [], []
    for number in range(sweep.num_waves):
        program, lanes, networks = sweep.wave(number)
        say(f"scoring {program.objective}_{program.architecture}, {len(lanes)} lanes on {len(data):,} images")
        hypers = {
            name: np.array([lane[name] for lane in lanes], np.float32) for name in models.likelihood(program).hypers
        }
        means, logvar, reconstruction, kl = encode(program, hypers, networks, data, with_logvar=with_logvar)
        factors = Factors(data.factors, data.factor_sizes)
        scores = metrics.score_lanes(means, factors, of_one, seed=0, logvar=logvar)
        scores |= score_clusters(program, networks, means, factors, of_clusters)
        programs.append(program)
        if of_siblings:
            points += kept_points(means)[: len(lanes)]
            own = {"lane", "seed", "step", "status"}  # what siblings need not share
            settings += [tuple((n, lane[n]) for n in sorted(lane.keys() - own)) for lane in lanes]
        for index, lane in enumerate(lanes):
            total = float(kl[index].sum())
            losses = (float(reconstruction[index]), total, -float(reconstruction[index]) - total)
            rows.append(
                lane
                | dict(zip(LOSSES, losses, strict=True))
                | {name: None if values is None else float(values[index]) for name, values in scores.items()}
            )
        kl_per_latent += list(kl)
    if of_siblings:
        compared = compare_siblings(rows, settings, points, kl_per_latent, of_siblings)
        if not compared:
            reason = "compares healthy lanes that differ in their seed alone, and there are no two such lanes"
            omitted |= dict.fromkeys(of_siblings, reason)
    if of_clusters and (reason := why_not(programs)):
        omitted |= dict.fromkeys(of_clusters, reason)
        keys = {key for name in of_clusters for key in metrics.METRICS[name].keys}
        rows = [{name: value for name, value in row.items() if name not in keys} for row in rows]
    computed = [*LOSSES, *(key for name in names if name not in omitted for key in metrics.METRICS[name].keys)]
    hyper_names = _hyper_names(rows, computed)
    kept = _kept_scores(sweep.results, rows, computed) if keep else []
    for row, before in zip(rows, sweep.results if kept else rows, strict=True):
        row |= {name: before[name] for name in kept}
    known = [*LOSSES, *(key for metric in metrics.METRICS.values() for key in metric.keys)]
    found = {*computed, *kept}
    score_names = [*(name for name in known if name in found), *(name for name in kept if name not in known)]
    has_factors = data.annotation == "factors"
    return Results(
        spec=sweep.spec,
        environment=environment,
        lanes=rows,
        hyper_names=hyper_names,
        swept=tuple(n for n in hyper_names if len({row[n] for row in rows if row.get(n) is not None}) > 1),
        score_names=tuple(score_names),
        omitted=omitted,
        history=sweep.history,
        kl_per_latent=_side_by_side(kl_per_latent),
        showcases=showcases(sweep, rows, kl_per_latent, score_names, data) if hosts.is_first() else [],
        factor_names=data.factor_names if has_factors else (),
    )


def _side_by_side(rows: list[np.ndarray]) -> np.ndarray:
    """Return [L, D] of L rows; of programs with codes of different length the shorter ones end in NaN."""
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in zip(table, rows, strict=True):
        place[: len(row)] = row
    return table


def _kept_scores(before: list[dict[str, Any]], now: list[dict[str, Any]], computed: Sequence[str]) -> list[str]:
    """Return the scores of an earlier results.csv that still are those of the models there are now."""
    if [(r["lane"], r.get("step"), r.get("status")) for r in before] != [
        (r["lane"], r["step"], r["status"]) for r in now
    ]:
        return []
    columns = list(before[0])
    return [name for name in columns[columns.index("status") + 1 :] if name not in computed]


def _hyper_names(rows: list[dict[str, Any]], score_names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are hypers: what is neither a lane's name or fate nor a score; seed and lr last."""
    others = {"lane", "objective", "architecture", "step", "status", *score_names}
    names = list(dict.fromkeys(n for row in rows for n in row if n not in others))
    return (*(n for n in names if n not in ("lr", "seed")), "lr", "seed")
