"""Scores of a sweep: after training, while it lasts, and anew from a folder. Knows no plot."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxvae import latents, ledger, metrics, models, objectives
from jaxvae.data.grid import Dataset
from jaxvae.evaluate import parts
from jaxvae.evaluate.choosing import ONLY_BY_NAME, choose_metrics, needs_logvar, those
from jaxvae.evaluate.clusters import score_clusters, why_not
from jaxvae.evaluate.encoding import LATENT_STATISTICS, Encoded, encode, encode_in_place, numbers_read
from jaxvae.evaluate.gap import Trained, elbo_of_seen, losses, stand_in
from jaxvae.evaluate.known import factors_of
from jaxvae.evaluate.objective_loss import loss_in_place
from jaxvae.evaluate.ranking import rank
from jaxvae.evaluate.reopened import check_fit, evaluation_set
from jaxvae.evaluate.showcases import known_rows, showcases
from jaxvae.evaluate.siblings import compare_siblings, kept_points, rows_of_lanes
from jaxvae.evaluate.taken_on import TAKEN_ON, taken_on
from jaxvae.evaluate.unseen import columns, score_apart, seen_images
from jaxvae.metrics.checking import as_names
from jaxvae.parallel import hosts, live, machine
from jaxvae.parallel.lanes import put_everywhere
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import (
    Hypers,
    InputError,
    Networks,
    Program,
    Results,
    Showcase,
    TrainState,
    Watch,
    in_32_bits,
    look_up,
)

SIBLINGS, CLUSTERS, APART = "siblings", "clusters", "seen and unseen"
"""What the ledger calls scores that are worked out for several metrics at once."""

GAP = "generalisation_gap"

LOSSES = ("reconstruction", "kl", "kl_standard", "elbo", GAP)
"""The KL and the ELBO are to the prior that a lane was trained with. The KL to N(0, I) stands beside them in a sweep in
which that is another for some lane; it is None for a lane of a hierarchy, whose latents have no such prior. Where lanes
are scored on images that they were not trained on, the generalisation gap is the ELBO of as many as MOST_COMPARED
training images less the ELBO of the evaluation set: above 0 is what a lane has learned by heart."""

LOSSES_TO_RAISE = ("elbo",)
"""Those of them of which more is better."""

WHILE_TRAINING = ("eval_kl", "eval_loss")
"""Columns that history.csv has beside scores: the KL, and the objective's own weighted total (see
training.held_out), of the evaluation set; their names without "eval_" are those of training batches."""


@in_32_bits
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
    names = those(choose_metrics(names, data)[0], lambda metric: metric.of_codes)
    columns = ("reconstruction", "elbo", *WHILE_TRAINING, *_keys(names))
    with_logvar, factors = needs_logvar(names), factors_of(data)

    def scores_of(program: Program, encoded: Encoded) -> dict[str, np.ndarray]:
        scores = metrics.score_lanes(encoded.means, factors, names, seed=0, logvar=encoded.logvar)
        return scores | losses(program, encoded) | {"eval_kl": encoded.kl}

    @in_32_bits
    def score(program: Program, hypers: Hypers, state: TrainState, trained_on: Dataset) -> dict[str, np.ndarray]:
        mesh, num_lanes = jax.tree.leaves(state)[0].sharding.mesh, len(state.step)
        there = trained_on if is_training_set else put_everywhere(data, mesh)
        most = num_lanes  # of several processes, lanes stay where they are: no process has those of another
        if hosts.count() == 1:
            most = parts.most_at_once(num_lanes, parts.code_bytes(program, data, with_logvar=with_logvar))

        def score_part(start: int, stop: int, size: int) -> dict[str, np.ndarray]:
            if size == num_lanes:
                encoded = encode_in_place(program, hypers, state.networks, there, with_logvar=with_logvar)
            else:
                own = parts.part_of(jax.device_get((hypers, state.networks)), start, stop, size)
                encoded = encode(program, *own, data, with_logvar=with_logvar)
            scores = scores_of(program, encoded)
            return {name: scores[name][: stop - start] for name in columns if name in scores}

        with live.line("scoring", num_lanes, "lanes") as tick:
            found = parts.in_parts(num_lanes, most, score_part, lambda line: None, tick)
        scores = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        scores["eval_loss"] = loss_in_place(program, hypers, state, there, trained_on)
        return {name: scores[name] for name in columns}

    return Watch(columns, score)


@in_32_bits
def rescore(
    sweep: SavedSweep,
    *,
    names: Sequence[str] | str | None = None,
    data: Dataset | None = None,
    say: Callable[[str], None] = print,
    keep: bool | None = None,
) -> Results:
    """Score a trained sweep anew from its checkpoints; nothing is trained and nothing is written.

    `jaxvae --workdir=W --metrics=mig,dci` does so too, and rewrites table and report in the folder.

    Args:
        sweep: from `load_sweep`.
        names: metrics to compute, None for all that the data allows.
        data: the evaluation set. By default the one that the sweep was scored on, loaded as then.
        say: prints a line.
        keep: whether scores that the sweep has already, and that are not asked for, go into the results; by default
            where `data` is not given.

    Raises:
        InputError: a name is unknown, the data set cannot be loaded, has changed since the sweep was trained, or is not
            one that its models take; or a plug-in is missing.
        CheckpointError: lanes have not been trained, or their checkpoint is damaged.
    """
    names = None if names is None else as_names(names)
    for name in names or ():
        look_up("metric", name, metrics.METRICS)  # before a data set is loaded
    _check_known(sweep)
    keep = data is None if keep is None else keep
    with live.heard_by(say):
        if data is None:
            data = evaluation_set(sweep)
        check_fit(sweep, data)
        if names is None:
            _, omitted = choose_metrics(None, data)
            names = tuple(name for name in metrics.METRICS if omitted.get(name) != ONLY_BY_NAME)
        return evaluate(sweep, data, {}, say, tuple(names), keep=keep)


def _check_known(sweep: SavedSweep) -> None:
    """Refuse to score a sweep whose objectives or architectures are not known here."""
    try:
        for lane in sweep.lanes:
            objectives.objective(lane["objective"])
            models.parse(lane["architecture"])
    except InputError as error:
        words = f"the sweep in {sweep.path} cannot be scored: {error} {sweep.missing_plugins()}"
        raise InputError(words.rstrip()) from None


@in_32_bits
def evaluate(
    sweep: SavedSweep,
    data: Dataset,
    environment: dict[str, Any],
    say: Callable[[str], None] = print,
    names: Sequence[str] | None = None,
    keep: bool = True,
    trained_on: Dataset | None = None,
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
        trained_on: the training set, for the generalisation gap; None where it is `data`, or is not at hand.

    Returns:
        Everything a report needs; of several processes only the first has showcases. Reconstruction and KL are means
        over all images, nats per image, the KL to the prior that a lane was trained with (see LOSSES), of single
        latents to the architecture's own; the ELBO is minus their sum. A lane that did not finish is scored in the
        state it was left in, whose loss may not be finite; scores of codes that are not finite are NaN. Scores that
        compare siblings, lanes that differ in their seed alone, are None for a lane that did not finish or has no
        healthy sibling, and those of clusters for a lane whose prior has none. Where some lane has not seen all images
        of `data`, there are columns of seen and of unseen images apart (see evaluate.unseen), None for the lanes that
        have.

    Raises:
        CheckpointError: lanes have not been trained, or their checkpoint is damaged.
    """
    names, omitted = choose_metrics(sweep.spec["metrics"] if names is None else names, data)
    without_clusters = _without_clusters(sweep, names)
    names = tuple(name for name in names if name not in without_clusters)
    some, seen = None if trained_on is None else stand_in(sweep, trained_on), seen_images(sweep, data)
    to_show = known_rows(data, len(sweep.lanes) * max(latents.number_scored(p) for p in sweep.programs))
    with live.line("scoring", len(sweep.lanes), "lanes") as tick:
        told = (names, seen, to_show, say, tick)
        waves = [_score_wave(sweep, number, data, some, *told) for number in range(sweep.num_waves)]
    scored = _joined(waves)
    rows = scored.rows
    with ledger.part(ledger.SCORE + SIBLINGS):
        without_siblings = _compare(sweep, scored, names)
    if not any(objectives.objective(lane["objective"]).has_own_prior for lane in sweep.lanes):
        for row in rows:
            del row["kl_standard"]
    computed = [
        *(name for name in LOSSES if name in rows[0]),
        *_keys(name for name in names if name not in without_siblings),
        *(columns(names, data) if seen else ()),
    ]
    statistics = {name: _side_by_side([lane[name] for lane in scored.latent_statistics]) for name in LATENT_STATISTICS}
    kept = _keep_scores(rows, sweep.results, computed) if keep else []
    main_score, ranked = rank(rows)
    told = {TAKEN_ON: taken_on(data, computed, kept, sweep.environment)}
    return Results(
        spec=sweep.spec,
        environment=environment | told,
        lanes=rows,
        hyper_names=sweep.hyper_names,
        swept=sweep.swept,
        score_names=_in_order([*computed, *kept]),
        omitted=omitted | without_siblings | without_clusters,
        history=sweep.history,
        kl_per_latent=_side_by_side(scored.kl_per_latent),
        latent_statistics=statistics,
        showcases=_showcases(sweep, ranked, scored, data),
        factor_names=data.factor_names if data.annotation == "factors" else (),
        main_score=main_score,
        ranked=ranked,
    )


def _showcases(sweep: SavedSweep, ranked: Sequence[int], scored: "_Scored", data: Dataset) -> list[Showcase]:
    if not hosts.is_first():
        return []
    with ledger.part("show"):
        return showcases(sweep, ranked, scored.kl_per_latent, data, scored.shown)


class _Scored(NamedTuple):
    """What scoring some waves gives, lane by lane."""

    rows: list[dict[str, Any]]
    kl_per_latent: list[np.ndarray]  # [D] nats, mean over the evaluation set, to the architecture's own prior
    latent_statistics: list[dict[str, np.ndarray]]  # {name: [D]}
    points: list[np.ndarray]  # codes [P, D] to compare siblings on; [] where no metric asks
    shown: list[np.ndarray]  # codes [P, D] to be shown; [] where all lanes' would take too much


def _score_wave(
    sweep: SavedSweep,
    number: int,
    data: Dataset,
    trained_on: Trained | None,
    names: Sequence[str],
    seen: Sequence[np.ndarray] | None,
    shown_rows: np.ndarray | None,
    say: Callable[[str], None],
    tick: Callable[[int], None],
) -> _Scored:
    """Encode the data with every lane of a wave, and score each by itself.

    `seen` are the images that each lane of the sweep has seen; None where all of them saw all. `shown_rows` are the
    images whose codes are kept.
    """
    machine.forget_compiled()
    program, lanes, networks = sweep.wave(number)
    hypers = {  # a sweep of an earlier version may lack some
        name: np.array([lane.get(name, default) for lane in lanes], np.float32)
        for name, default in numbers_read(program).items()
    }
    with_logvar = needs_logvar(those(names, lambda metric: metric.of_codes))
    code = parts.code_bytes(program, data, with_logvar=with_logvar, each_image=seen is not None)
    most = parts.most_at_once(len(lanes), code)
    apart = f", {most} at a time as memory allows" if most < len(lanes) else ""
    say(f"scoring {program.objective}_{program.architecture}, {len(lanes)} lanes on {len(data):,} images{apart}")

    most = min(most, parts.convenient(len(lanes)))

    def score(start: int, stop: int, size: int) -> _Scored:
        own = parts.part_of((hypers, networks), start, stop, size)
        return _score_lanes(program, lanes[start:stop], *own, data, trained_on, names, seen, shown_rows)

    try:
        return _joined(parts.in_parts(len(lanes), most, score, say, tick))
    except MemoryError as error:
        raise parts.too_large(code, str(error)) from None


def _joined(scored: Sequence["_Scored"]) -> "_Scored":
    return _Scored(*(list(itertools.chain(*lanes)) for lanes in zip(*scored, strict=True)))


def _score_lanes(
    program: Program,
    lanes: list[dict[str, Any]],
    hypers: dict[str, np.ndarray],
    networks: Networks,
    data: Dataset,
    trained_on: Trained | None,
    names: Sequence[str],
    seen: Sequence[np.ndarray] | None,
    shown_rows: np.ndarray | None,
) -> _Scored:
    """Encode the data with some lanes of a wave, and score each; hypers and networks may hold more, to pad."""
    of_one = those(names, lambda metric: metric.of_codes)
    of_clusters = those(names, lambda metric: metric.of_clusters)
    kept = {"with_logvar": needs_logvar(of_one), "each_image": seen is not None}
    encoded = encode(program, hypers, networks, data, **kept)
    means, factors = encoded.means, factors_of(data)
    scores = losses(program, encoded)
    scores |= metrics.score_lanes(means, factors, of_one, seed=0, logvar=encoded.logvar)
    if of_clusters:
        with ledger.part(ledger.SCORE + CLUSTERS):
            scores |= score_clusters(program, networks, means, factors, of_clusters)
    if trained_on is not None:
        scores[GAP] = elbo_of_seen(program, lanes, hypers, networks, trained_on) - scores["elbo"][: len(lanes)]
    rows = [
        lane | {name: None if values is None else float(values[index]) for name, values in scores.items()}
        for index, lane in enumerate(lanes)
    ]
    if seen is not None:
        with ledger.part(ledger.SCORE + APART):
            apart = score_apart(encoded, data, [seen[lane["lane"]] for lane in lanes], of_one)
        rows = [row | own for row, own in zip(rows, apart, strict=True)]
    points = kept_points(means)[: len(lanes)] if those(names, lambda metric: metric.of_siblings) else []
    shown = [] if shown_rows is None else rows_of_lanes(means, shown_rows)[: len(lanes)]
    statistics = [
        {name: values[index] for name, values in encoded.latent_statistics.items()} for index in range(len(lanes))
    ]
    return _Scored(rows, list(encoded.kl_per_latent[: len(lanes)]), statistics, points, shown)


def _without_clusters(sweep: SavedSweep, names: Sequence[str]) -> dict[str, str]:
    """Return {metric: why not} for metrics of clusters where no lane has any."""
    reason = why_not({lane["objective"] for lane in sweep.lanes})
    return dict.fromkeys(those(names, lambda metric: metric.of_clusters), reason) if reason else {}


def _compare(sweep: SavedSweep, scored: _Scored, names: Sequence[str]) -> dict[str, str]:
    """Give all rows the scores that compare siblings; return {metric: why not} where no lanes can be compared."""
    of_siblings = those(names, lambda metric: metric.of_siblings)
    if not of_siblings or compare_siblings(
        scored.rows, sweep.hyper_names, scored.points, scored.kl_per_latent, of_siblings
    ):
        return {}
    reason = "compares healthy lanes that differ in their seed alone, and there are no two such lanes"
    return dict.fromkeys(of_siblings, reason)


def _keep_scores(rows: list[dict[str, Any]], before: list[dict[str, Any]], computed: Sequence[str]) -> list[str]:
    """Give rows the scores of an earlier results.csv that still are those of their models; return their names."""
    if _states(before) != _states(rows):
        return []
    columns = list(before[0])
    names = [name for name in columns[columns.index("status") + 1 :] if name not in computed]
    for row, earlier in zip(rows, before, strict=True):
        row |= {name: earlier[name] for name in names}
    return names


def _states(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what says which models rows are of."""
    return [(row["lane"], row.get("step"), row.get("status")) for row in rows]


def _in_order(found: Sequence[str]) -> tuple[str, ...]:
    """Return scores in the order of METRICS, those that it does not know (kept from a plugin, say) last."""
    known = (*LOSSES, *_keys(metrics.METRICS))
    return (*(name for name in known if name in found), *(name for name in found if name not in known))


def _keys(names: Iterable[str]) -> list[str]:
    """Return the names of the scores that metrics give."""
    return [key for name in names for key in metrics.METRICS[name].keys]


def _side_by_side(rows: list[np.ndarray]) -> np.ndarray:
    """Return [L, D] of L rows; of programs with codes of different length the shorter ones end in NaN."""
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in zip(table, rows, strict=True):
        place[: len(row)] = row
    return table
