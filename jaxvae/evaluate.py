"""Scores of a trained sweep: encode the data once per lane, run the metrics, put some lanes on show. Knows no plot."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import hosts, metrics, models
from jaxvae.data import DATASETS, load
from jaxvae.data.grid import Dataset
from jaxvae.lanes import fetch, make_mesh, over_lanes, pad_lanes, padded_size, put_everywhere, put_lanes
from jaxvae.load import Model, Sweep
from jaxvae.metrics.information import normalised_information
from jaxvae.metrics.rows import draw_rows
from jaxvae.train.keys import Stream, key_for
from jaxvae.types import Factors, Hypers, Program, Results, Showcase, Watch, look_up

BATCH = 64  # small enough for the activations of one batch to stay in a CPU core's cache
LOSSES = ("reconstruction", "kl", "elbo")
SHOWN_IMAGES = 8
MAP_BATCH = 512
MAP_POINTS = 10_000  # for the map of information, as many as MIG draws
TRAVERSAL_VALUES = np.linspace(-2.0, 2.0, 9)


@functools.cache
def _compiled_encode(program: Program, mesh, mode: str, with_logvar: bool):
    """Return the jitted (data, hypers, params [R, …]) -> (means [R, N, D], logvar, nll [R, N/B], kl [R, N/B, D])."""
    module, likelihood = models.build(program), models.likelihood(program)

    def encode_lane(data: Dataset, lane):
        hypers, params = lane

        def one_batch(number):
            indices = number * BATCH + jnp.arange(BATCH)
            real = indices < len(data)  # the last batch may run over the end; what does is not counted
            images = data.batch(jnp.minimum(indices, len(data) - 1))
            out = module.apply({"params": params}, images, key_for(0, Stream.EVALUATE, number))
            nll = likelihood.nll(out.logits, images, hypers)
            codes = (out.q.mean, out.q.logvar if with_logvar else None)
            return codes, jnp.where(real, nll, 0).sum(), jnp.where(real[:, None], out.q.kl, 0).sum(0)

        codes, nll, kl = jax.lax.map(one_batch, jnp.arange(-(-len(data) // BATCH)))
        means, logvar = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1])[: len(data)], codes)
        return means, logvar, nll, kl

    return jax.jit(over_lanes(encode_lane, mesh, mode))


def encode(
    program: Program, hypers: dict[str, np.ndarray], params: dict[str, Any], data: Dataset, *, with_logvar: bool = False
) -> tuple[jax.Array, jax.Array | None, np.ndarray, np.ndarray]:
    """Encode and reconstruct a whole data set with every lane, in one compiled call.

    Args:
        program: the lanes' program.
        hypers: name -> [R]; only those of the likelihood are read.
        params: VAE parameters, leaves [R, …].
        data: N images.
        with_logvar: whether to keep log-variances, which take as much memory as the means.

    Returns:
        Posterior means f32[R', N, D], left on the devices, where lanes past R only pad; log-variances likewise, or
        None; the mean over images of -log p(x|z) at one z ~ q(z|x) each [R], nats; the mean over images of the KL to
        the prior per latent [R, D], nats.
    """
    lanes = len(jax.tree.leaves(params)[0])
    mesh = make_mesh(lanes, sharing=True)
    numbers = {n: hypers[n] for n in models.likelihood(program).hypers}
    hypers, params = put_lanes(pad_lanes((numbers, params), padded_size(lanes, mesh)), mesh)
    means, logvar, nll, kl = encode_in_place(
        program, hypers, params, put_everywhere(data, mesh), with_logvar=with_logvar
    )
    return means, logvar, nll[:lanes], kl[:lanes]


def encode_in_place(
    program: Program, hypers: Hypers, params: dict[str, Any], data: Dataset, *, with_logvar: bool = False
) -> tuple[jax.Array, jax.Array | None, np.ndarray, np.ndarray]:
    """Do as `encode` for hypers and parameters [R', …] that lie on the devices, lanes split, and data that does."""
    mesh = jax.tree.leaves(params)[0].sharding.mesh
    numbers = {n: hypers[n] for n in models.likelihood(program).hypers}
    # Side by side fills an accelerator; one after another stays in a CPU's cache.
    mode = "map" if mesh.devices.flat[0].platform == "cpu" else "vmap"
    means, logvar, nll, kl = _compiled_encode(program, mesh, mode, with_logvar)(data, (numbers, params))
    nll, kl = fetch((nll, kl), lambda sums: sums.sum(1, dtype=np.float64) / len(data))
    return means, logvar, nll, kl


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
        if metric.needs_factors and data.annotation != "factors":
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
    waves, so that there is no step at which all of them are there.

    Args:
        names: metrics, None for all; those that the data does not allow are left out.
        data: the evaluation set.
        is_training_set: whether it is what lanes are trained on, which lies on the devices already.
    """
    names = tuple(name for name in choose_metrics(names, data)[0] if not metrics.METRICS[name].of_siblings)
    with_logvar, factors = needs_logvar(names), Factors(data.factors, data.factor_sizes)

    def score(program: Program, hypers: Hypers, params: dict[str, Any], trained_on: Dataset) -> dict[str, np.ndarray]:
        mesh = jax.tree.leaves(params)[0].sharding.mesh
        there = trained_on if is_training_set else put_everywhere(data, mesh)
        means, logvar, reconstruction, kl = encode_in_place(program, hypers, params, there, with_logvar=with_logvar)
        scores = metrics.score_lanes(means, factors, names, seed=0, logvar=logvar)
        return {"reconstruction": reconstruction, "elbo": -reconstruction - kl.sum(-1)} | scores

    return Watch(("reconstruction", "elbo", *(key for name in names for key in metrics.METRICS[name].keys)), score)


def rescore(
    sweep: Sweep,
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
    sweep: Sweep,
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
        diverged or has no healthy sibling.

    Raises:
        CheckpointError: lanes have not been trained, or their checkpoint is damaged.
    """
    names, omitted = choose_metrics(sweep.spec["metrics"] if names is None else names, data)
    of_siblings = tuple(name for name in names if metrics.METRICS[name].of_siblings)
    of_one = tuple(name for name in names if name not in of_siblings)
    with_logvar = needs_logvar(of_one)
    rows, settings, kl_per_latent, points = [], [], [], []
    for number in range(sweep.num_waves):
        program, lanes, params = sweep.wave(number)
        say(f"scoring {program.objective}_{program.architecture}, {len(lanes)} lanes on {len(data):,} images")
        hypers = {
            name: np.array([lane[name] for lane in lanes], np.float32) for name in models.likelihood(program).hypers
        }
        means, logvar, reconstruction, kl = encode(program, hypers, params, data, with_logvar=with_logvar)
        factors = Factors(data.factors, data.factor_sizes)
        scores = metrics.score_lanes(means, factors, of_one, seed=0, logvar=logvar)
        if of_siblings:
            points += _kept_points(means)[: len(lanes)]
            own = {"lane", "seed", "step", "status"}  # what siblings need not share
            settings += [tuple((n, lane[n]) for n in sorted(lane.keys() - own)) for lane in lanes]
        for index, lane in enumerate(lanes):
            total = float(kl[index].sum())
            losses = (float(reconstruction[index]), total, -float(reconstruction[index]) - total)
            rows.append(
                lane
                | dict(zip(LOSSES, losses, strict=True))
                | {name: float(values[index]) for name, values in scores.items()}
            )
        kl_per_latent.append(kl)
    if of_siblings:
        compared = _compare_siblings(rows, settings, points, np.concatenate(kl_per_latent), of_siblings)
        if not compared:
            reason = "compares healthy lanes that differ in their seed alone, and there are no two such lanes"
            omitted |= dict.fromkeys(of_siblings, reason)
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
        kl_per_latent=np.concatenate(kl_per_latent),
        showcases=showcases(sweep, rows, np.concatenate(kl_per_latent), score_names, data) if hosts.is_first() else [],
        factor_names=data.factor_names if has_factors else (),
    )


def _kept_scores(before: list[dict[str, Any]], now: list[dict[str, Any]], computed: Sequence[str]) -> list[str]:
    """Return the scores of an earlier results.csv that still are those of the models there are now."""
    if [(r["lane"], r.get("step"), r.get("status")) for r in before] != [
        (r["lane"], r["step"], r["status"]) for r in now
    ]:
        return []
    columns = list(before[0])
    return [name for name in columns[columns.index("status") + 1 :] if name not in computed]


def _kept_points(means: jax.Array) -> list[np.ndarray]:
    """Return, lane by lane, the codes [P, D] of the images that siblings are compared on; all lanes see the same."""
    points = metrics.sibling_points(means.shape[1], seed=0)
    take = jax.jit(lambda means, points: means[:, points], out_shardings=means.sharding)
    return list(fetch(take(means, points)))


def _compare_siblings(
    rows: list[dict[str, Any]],
    settings: Sequence[Any],
    codes: Sequence[np.ndarray],
    kl: np.ndarray,
    names: Sequence[str],
) -> bool:
    """Give each row the scores that compare it with its siblings: None for one that cannot be compared.

    Where none can be, no row gets any, and the answer is False.

    Args:
        rows: one for each of L lanes, with its status.
        settings: of each lane, equal for siblings.
        codes: L of [P, D], of the same images.
        kl: [L, D] nats, mean over the evaluation set.
        names: metrics of siblings.
    """
    keys = [key for name in names for key in metrics.METRICS[name].keys]
    families: dict[Any, list[int]] = {}
    for index, (row, setting) in enumerate(zip(rows, settings, strict=True)):
        if row["status"] == "ok" and np.isfinite(codes[index]).all() and np.isfinite(kl[index]).all():
            families.setdefault(setting, []).append(index)
    compared = [family for family in families.values() if len(family) > 1]
    for row in rows if compared else ():
        row |= dict.fromkeys(keys)
    for family in compared:
        scores = metrics.score_siblings([codes[index] for index in family], kl[family], names=names, seed=0)
        for place, index in enumerate(family):
            rows[index] |= {key: float(values[place]) for key, values in scores.items()}
    return bool(compared)


def _hyper_names(rows: list[dict[str, Any]], score_names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are hypers: what is neither a lane's name or fate nor a score; seed and lr last."""
    others = {"lane", "objective", "architecture", "step", "status", *score_names}
    names = list(dict.fromkeys(n for row in rows for n in row if n not in others))
    return (*(n for n in names if n not in ("lr", "seed")), "lr", "seed")


def ranking(rows: list[dict[str, Any]], score_names: Sequence[str]) -> tuple[str, list[dict[str, Any]]]:
    """Return the score that ranks lanes (MIG where it is scored, else the ELBO) and the healthy lanes, best first."""
    score = "mig" if "mig" in score_names else "elbo"
    healthy = [row for row in rows if row["status"] == "ok" and np.isfinite(row[score])]
    return score, sorted(healthy, key=lambda row: -row[score])


def showcases(
    sweep: Sweep, rows: list[dict[str, Any]], kl: np.ndarray, score_names: Sequence[str], data: Dataset
) -> list[Showcase]:
    """Make reconstructions and traversals of the best, the median and the worst healthy lane."""
    _, ranked = ranking(rows, score_names)
    if not ranked:
        return []
    places = dict(zip(("worst", "median", "best"), (len(ranked) - 1, len(ranked) // 2, 0), strict=True))
    chosen = {place: title for title, place in places.items()}  # fewer than three lanes: the better title stays
    # Golden-ratio steps: evenly through the set, and in step with no factor of a grid.
    indices = (np.arange(1, SHOWN_IMAGES + 1) * 0.6180339887 % 1.0 * len(data)).astype(int)
    images = np.asarray(data.batch(jnp.asarray(indices)))
    shown = []
    for place, title in sorted(chosen.items()):
        lane = ranked[place]["lane"]
        model = sweep.model(lane)
        means, _ = model.encode(images)
        has_factors = data.annotation == "factors"
        shown.append(
            Showcase(
                title=title,
                lane=lane,
                originals=images,
                reconstructions=np.asarray(model.decode(means)),
                traversals=np.asarray(model.traverse(means[len(images) // 2], TRAVERSAL_VALUES)),
                traversal_values=TRAVERSAL_VALUES,
                kl=kl[[row["lane"] for row in rows].index(lane)],
                information=information(model, data) if has_factors else None,
            )
        )
    return shown


def information(model: Model, data: Dataset) -> np.ndarray:
    """Return f32[D, K] in 0 … 1, I(latent; factor) / H(factor) with 20 bins of the means, on points that MIG draws.

    Column k's two largest entries are those whose gap MIG averages. A factor that does not vary has a column of NaN.
    """
    factors = Factors(data.factors, data.factor_sizes)
    rows = np.asarray(draw_rows(jax.random.bits(jax.random.key(0), (MAP_POINTS,)), factors))
    blocks = np.resize(rows, -(-len(rows) // MAP_BATCH) * MAP_BATCH).reshape(-1, MAP_BATCH)
    means = np.concatenate([model.encode(data.batch(jnp.asarray(block)))[0] for block in blocks])[: len(rows)]
    return np.asarray(normalised_information(jnp.asarray(means), factors.values[rows], data.factor_sizes))
