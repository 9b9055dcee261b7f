"""Which directions are tried for each attribute, and what their responses come to, model beside model."""

import itertools
from typing import NamedTuple

import numpy as np

from jaxvae.navigate import directions
from jaxvae.navigate.boundaries import Boundaries, Space
from jaxvae.navigate.results import Cleanness, Conditioned, Control, Judge, Smaller, comparable
from jaxvae.navigate.scores import Effects, Interval, bootstrapped, interval

NUM_RANDOM = 4
NUM_CONDITIONS = 3
"""Other attributes that are projected out: all of them would leave nothing of a normal among ten latents."""


SMALLER = (0.25, 0.5, 0.75, 1.0)
"""Parts of the target at which models are compared once more."""


class Plan(NamedTuple):
    """The directions to try, f32[M, U, D], and which is which: each a slice of U.

    The last of them are the D single latents, unoriented.
    """

    directions: np.ndarray
    normals: slice
    conditioned: slice
    random: slice
    principal: slice
    latents: slice
    others: np.ndarray  # i32[M, A, C], what was projected out
    left: np.ndarray  # f32[M, A], of the normal after that


def plan_directions(
    boundaries: Boundaries, space: Space, units: np.ndarray, conditions: list[np.ndarray] | None, seed: int
) -> Plan:
    """Return the directions to try.

    Args:
        boundaries: of M models and A attributes.
        space: of their codes.
        units: f32[M, N, D], standardised codes, for principal components.
        conditions: for each attribute the others i32[C] to project out, C the same for all, where its own number
            stands for none; None for those with the nearest normals.
        seed: of random directions.
    """
    num_models, num_attributes, num_latents = boundaries.normals.shape
    others = np.stack(
        [
            directions.nearest(own, NUM_CONDITIONS) if conditions is None else np.stack(conditions)
            for own in boundaries.cosines
        ]
    )
    conditioned = np.zeros_like(boundaries.normals)
    left = np.zeros((num_models, num_attributes), np.float32)
    for model, normals in enumerate(boundaries.normals):
        for attribute in range(num_attributes):
            away = [other for other in others[model, attribute] if other != attribute]
            rest = directions.condition(normals[attribute], normals[away])
            conditioned[model, attribute] = rest
            left[model, attribute] = abs(float(rest @ normals[attribute]))
    drawn = np.stack([directions.at_random(NUM_RANDOM, alive, seed) for alive in space.alive])
    first = np.stack([directions.principal(own) for own in units])[:, None]
    single = np.eye(num_latents, dtype=np.float32)[None] * space.alive[:, None]
    parts = [boundaries.normals, conditioned, drawn, first, single]
    ends = np.cumsum([0, *(part.shape[1] for part in parts)])
    slices = [slice(start, end) for start, end in itertools.pairwise(ends)]
    return Plan(np.concatenate(parts, axis=1).astype(np.float32), *slices, others, left)


class Compared(NamedTuple):
    """What `compare` returns; as in Navigation."""

    normals: Cleanness
    conditioned: Conditioned
    single: Cleanness
    random: Control
    principal: Control
    means: dict
    smaller: Smaller


def compare(
    responses: np.ndarray,
    plan: Plan,
    boundaries: Boundaries,
    judge: Judge,
    steps: tuple[float, ...],
    models: tuple[str, ...],
    *,
    target: float,
    num_bootstraps: int,
    seed: int,
) -> Compared:
    """Score the responses of every direction, model by model, and compare the models.

    Args:
        responses: f32[M, U, T, n, A], standard deviations of scores.
        plan: which directions they are of.
        boundaries: which single latent stands for an attribute, and which way round.
        judge: what it can tell on reconstructions.
        steps: T.
        models: M names.
        target: the matched effect.
        num_bootstraps: resamples of the n images, the same for all.
        seed: of resamples.
    """
    num_models, num_attributes = boundaries.normals.shape[:2]
    every = np.arange(num_attributes)
    kinds: dict[str, list[tuple[Effects, Effects]]] = {"normals": [], "conditioned": [], "single": []}
    kept, random, principal = [], [], []
    for model in range(num_models):
        own = responses[model]
        best = boundaries.best_latents[model]
        sign = np.sign(boundaries.latent_area[model, every, best] - 0.5)
        single = own[plan.latents][best] * sign[:, None, None, None]
        for name, curves in (
            ("normals", own[plan.normals]),
            ("conditioned", own[plan.conditioned]),
            ("single", single),
        ):
            made = bootstrapped(np.nan_to_num(curves), every, steps, target=target, num=num_bootstraps, seed=seed)
            kinds[name].append(made)
        step = kinds["normals"][-1][0].step
        at_step = _at(own[plan.conditioned].mean(2), steps, step)
        whole = kinds["normals"][-1][0].row[every, every]
        kept.append(np.where(whole != 0, at_step[every, every] / np.where(whole != 0, whole, 1.0), np.nan))
        random.append(_control(own[plan.random], steps, step))
        principal.append(_control(own[plan.principal], steps, step))
    stacked = {name: _stack(made) for name, made in kinds.items()}
    clean = {name: cleanness_of(*made) for name, made in stacked.items()}
    gain = _difference(stacked["conditioned"], stacked["normals"])
    chosen = comparable(judge, clean["normals"].steerable)
    means = _means(stacked, chosen, models)
    conditioned = Conditioned(plan.others, plan.left, clean["conditioned"], gain, np.stack(kept))
    controls = (Control(*map(np.stack, zip(*found, strict=True))) for found in (random, principal))
    curves = np.nan_to_num(responses[:, plan.normals])
    smaller = _smaller(curves, judge, steps, target=target, num_bootstraps=num_bootstraps, seed=seed)
    return Compared(clean["normals"], conditioned, clean["single"], *controls, means, smaller)


def _smaller(
    curves: np.ndarray, judge: Judge, steps: tuple[float, ...], *, target: float, num_bootstraps: int, seed: int
) -> Smaller:
    """Return how models compare at parts of the target, of the responses f32[M, A, T, n, A] along normals."""
    targets, counts, scores, differences = [], [], [], []
    for part in SMALLER:
        made = [
            bootstrapped(own, np.arange(len(own)), steps, target=part * target, num=num_bootstraps, seed=seed)
            for own in curves
        ]
        value, again = _stack(made)
        chosen = comparable(judge, value.steerable)
        mean, resampled = _mean(value.selectivity[..., chosen]), _mean(again.selectivity[..., chosen])
        targets.append(part * target)
        counts.append(chosen.sum())
        scores.append(interval(mean, resampled))
        differences.append(interval(mean - mean[:1], resampled - resampled[:, :1]))
    joined = (Interval(*map(np.stack, zip(*found, strict=True))) for found in (scores, differences))
    return Smaller(np.array(targets, np.float32), np.array(counts, np.int32), *joined)


def cleanness_of(value: Effects, resampled: Effects) -> Cleanness:
    """Return scores with intervals, of effects with leaves [M, A, …] and resamples of them [num, M, A, …]."""
    return Cleanness(
        interval(value.step, resampled.step),
        value.steerable,
        resampled.steerable.mean(0).astype(np.float32),
        interval(value.selectivity, resampled.selectivity),
        interval(value.gap, resampled.gap),
        interval(value.leakage, resampled.leakage),
        value.row,
    )


def _stack(made: list[tuple[Effects, Effects]]) -> tuple[Effects, Effects]:
    values = Effects(*(np.stack(leaves) for leaves in zip(*(value for value, _ in made), strict=True)))
    resamples = Effects(*(np.stack(leaves, axis=1) for leaves in zip(*(again for _, again in made), strict=True)))
    return values, resamples


def _difference(left: tuple[Effects, Effects], right: tuple[Effects, Effects]):
    return interval(
        left[0].selectivity - right[0].selectivity,
        left[1].selectivity - right[1].selectivity,
    )


def _means(stacked: dict[str, tuple[Effects, Effects]], chosen: np.ndarray, models: tuple[str, ...]) -> dict:
    """Return means over the chosen attributes, of each model and of its difference to the first one."""
    means = {}
    columns = [(kind, kind, "selectivity") for kind in stacked] + [
        (n, "normals", n) for n in ("gap", "leakage", "step")
    ]
    for name, kind, field in columns:
        value, again = (getattr(effects, field)[..., chosen] for effects in stacked[kind])
        value, again = _mean(value), _mean(again)
        means[name] = interval(value, again)
        means[f"{name} - {models[0]}"] = interval(value - value[:1], again - again[:, :1])
    return means


def _mean(values: np.ndarray) -> np.ndarray:
    if not values.shape[-1]:
        return np.full(values.shape[:-1], np.nan, np.float32)
    return values.mean(-1)


def _at(curves: np.ndarray, steps: tuple[float, ...], step: np.ndarray) -> np.ndarray:
    """Return f32[A, A], what mean responses [A, T, A] come to at a step of its own for each row, f32[A]."""
    at = np.array([0.0, *steps])
    padded = np.concatenate([np.zeros_like(curves[:, :1]), curves], axis=1)
    return np.stack([[np.interp(own, at, column) for column in rows.T] for own, rows in zip(step, padded, strict=True)])


def _control(curves: np.ndarray, steps: tuple[float, ...], step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return |R_ii| and selectivity f32[A] of directions f32[V, T, n, A] at the step of each attribute, mean over V."""
    effect, selectivity = [], []
    for means in curves.mean(2):
        rows = np.abs(_at(np.repeat(means[None], len(step), axis=0), steps, step))
        own = np.diagonal(rows)
        effect.append(own)
        selectivity.append(own / np.maximum(rows.sum(1), 1e-12))
    return np.mean(effect, 0).astype(np.float32), np.mean(selectivity, 0).astype(np.float32)
