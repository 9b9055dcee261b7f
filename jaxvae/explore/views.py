"""From a model, a code and what was turned to pictures and their captions. Pure; knows no page and no folder.

What is turned is a latent, a label that the model is told, or the direction of an attribute. Latents are said in
standard deviations of the prior from its mean, as `Model.traverse` has them, and directions in steps of one standard
deviation of codes, as `jaxvae.navigate.edit` has them; steps come on top of what the latents say.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import latents, objectives
from jaxvae.data.grid import Dataset
from jaxvae.evaluate.planes import BATCH, labels_for
from jaxvae.evaluate.showcases import MAP_POINTS, information
from jaxvae.metrics.rows import draw_distinct
from jaxvae.navigate.results import Navigation
from jaxvae.saved.model import Model
from jaxvae.types import in_32_bits

FOLDED = 0.01
"""Nats of KL below which a latent says nothing."""
REACH = 3.0
"""How far latents and directions are turned either way, in their units."""
TILES = np.linspace(-REACH, REACH, 7)
"""Where a strip shows what is turned; a picture and its strip are decoded together, always as many."""
DECIMALS = 2
"""Of what is turned; a latent that was not touched keeps its code exactly."""


class Prior(NamedTuple):
    """Of the D latents that are turned: all of a flat code, the top group of a hierarchical one."""

    mean: np.ndarray  # f32[D]
    deviation: np.ndarray  # f32[D]


class Start(NamedTuple):
    """Where turning starts from."""

    code: np.ndarray  # f32[D'], D' = D or, of an image, all groups of a hierarchical code
    labels: np.ndarray | None  # i32[K], of a model that is told them
    original: np.ndarray | None  # f32[H, W, C] in [0, 1], the image whose code it is
    caption: str


class Known(NamedTuple):
    """What the data say of a model's latents."""

    kl: np.ndarray  # f32[D], nats to N(0, 1), mean over the images looked at
    information: np.ndarray | None  # f32[D, K] in 0 … 1, I(latent; factor) / H(factor); None without factors


class Directions(NamedTuple):
    """Directions of attributes in a model's codes."""

    names: tuple[str, ...]  # A
    shifts: np.ndarray  # f32[A, D], what one step adds to a code


class Turned(NamedTuple):
    """What was turned, and what it was turned to; a name of a kind is its number."""

    latents: Mapping[int, float]
    labels: Mapping[int, int]
    directions: Mapping[int, float]
    hand: tuple[str, int]  # ("latent" | "label" | "direction", number): what is under the hand


class Frame(NamedTuple):
    """What is seen at once."""

    picture: np.ndarray  # f32[H, W, C] in [0, 1]
    strip: np.ndarray  # f32[T, H, W, C], what is under the hand through its range, the rest as it is
    captions: tuple[str, ...]  # T
    here: int | None  # the tile of the strip nearest to what is there now; None where none is near


@in_32_bits
def prior_of(model: Model) -> Prior:
    """Return the prior that a model was trained with, as far as its latents can be turned."""
    mean, deviation = objectives.prior_moments(model.program, model.networks.extra, model.about)
    return Prior(np.asarray(mean), np.asarray(deviation))


def from_image(model: Model, data: Dataset, number: int) -> Start:
    """Start from the code of an image of the data, its posterior mean."""
    image = np.asarray(data.batch(jnp.asarray([number])))
    labels = labels_for(model, data, [number])
    code = np.asarray(model.encode(image, labels)[0])[0]
    named = zip(data.factor_names, np.asarray(data.factors[number]).tolist(), strict=True)
    facts = [f"{name} {data.values_of(column)[value]}" for column, (name, value) in enumerate(named)]
    most = 8  # of more, which are attributes, a line would not hold them
    words = ", ".join(facts) if len(facts) <= most else ""
    return Start(code, None if labels is None else labels[0], image[0], words)


def from_noise(model: Model, number: int) -> Start:
    """Start from a code drawn from the prior's mean and spread; the same for the same number."""
    prior = prior_of(model)
    drawn = np.random.default_rng(number).standard_normal(len(prior.mean)).astype(np.float32)
    return Start(prior.mean + prior.deviation * drawn, _no_labels(model), None, "")


def from_middle(model: Model) -> Start:
    """Start from the mean of the prior."""
    return Start(prior_of(model).mean, _no_labels(model), None, "")


def _no_labels(model: Model) -> np.ndarray | None:
    return np.zeros(len(model.label_sizes), np.int32) if model.label_sizes else None


@in_32_bits
def look_at(model: Model, data: Dataset) -> Known:
    """Encode at most MAP_POINTS images, and say what is known of each latent."""
    rows = np.asarray(draw_distinct(jax.random.key(0), len(data), MAP_POINTS))
    num = latents.number_scored(model.program)
    means, kl = [], 0.0
    for start in range(0, len(rows), BATCH):
        block = rows[start : start + BATCH]
        padded = np.resize(block, BATCH)  # one shape, compiled once
        mean, logvar = (
            np.asarray(part)[: len(block), :num]
            for part in model.encode(data.batch(jnp.asarray(padded)), labels_for(model, data, padded))
        )
        means.append(mean)
        kl = kl + 0.5 * (mean**2 + np.exp(logvar) - logvar - 1.0).sum(0)
    told = None
    if data.annotation == "factors":
        told = information(np.concatenate(means), np.asarray(data.factors[rows]), data.factor_sizes)
    return Known(np.asarray(kl / len(rows), np.float32), told)


def order(known: Known | None, num: int) -> tuple[list[int], list[int]]:
    """Return the latents that say something, largest KL first, and those that do not; all where it is unknown."""
    if known is None:
        return list(range(num)), []
    by_kl = np.argsort(-np.nan_to_num(known.kl), kind="stable").tolist()
    return [n for n in by_kl if not known.kl[n] < FOLDED], [n for n in by_kl if known.kl[n] < FOLDED]


def name_of(latent: int, known: Known | None, factor_names: Sequence[str]) -> str:
    """Name a latent by the factor that it knows best, with the share of its entropy, and by its KL."""
    if known is None:
        return f"z{latent}"
    kl = float(known.kl[latent])
    words = f"z{latent} · {kl:.2f} nats"
    told = None if known.information is None else np.nan_to_num(known.information[latent], nan=-1.0)
    if told is None or not len(told) or told.max() < 0 or kl < FOLDED:
        return words
    best = int(told.argmax())
    return f"z{latent} · {factor_names[best].replace('_', ' ')} {told[best]:.0%} · {kl:.2f} nats"


def directions_of(study: Navigation, name: str, num: int) -> Directions | None:
    """Return the directions that a study found in a model of `num` latents; None where it has no such model.

    Those that move their attribute come first, of them those whose boundary tells it best. An attribute for which no
    direction was found is left out.
    """
    if name not in study.models:
        return None
    model = study.models.index(name)
    spread = np.where(study.space.alive[model], study.space.deviation[model], 0.0)
    shifts = (study.boundaries.normals[model] * spread)[:, :num].astype(np.float32)
    steerable, area = study.normals.steerable[model], np.nan_to_num(study.boundaries.area[model])
    ranked = sorted(range(len(shifts)), key=lambda number: (not steerable[number], -area[number]))
    kept = [number for number in ranked if shifts[number].any()]
    return Directions(tuple(study.attributes[number] for number in kept), shifts[kept])


def shown(start: Start, prior: Prior) -> np.ndarray:
    """Return f32[D], where the latents stand at the start as a hand sees them: rounded, and inside its reach."""
    values = (start.code[: len(prior.mean)] - prior.mean) / np.where(prior.deviation > 0, prior.deviation, 1.0)
    return np.clip(np.round(np.nan_to_num(values), DECIMALS), -REACH, REACH)


def code_of(start: Start, prior: Prior, turned: Turned, directions: Directions | None) -> np.ndarray:
    """Return the code f32[D'] that a start has become."""
    code, there = np.array(start.code, np.float32), shown(start, prior)
    for latent, value in turned.latents.items():
        if abs(value - there[latent]) > 0.5 * 10.0**-DECIMALS:
            code[latent] = prior.mean[latent] + prior.deviation[latent] * value
    if directions is not None:
        for number, steps in turned.directions.items():
            code[: len(prior.mean)] += np.float32(steps) * directions.shifts[number]
    return code


def labels_of(start: Start, turned: Turned) -> np.ndarray | None:
    """Return the labels i32[K] that a start is decoded with."""
    if start.labels is None:
        return None
    labels = np.array(start.labels)
    for column, value in turned.labels.items():
        labels[column] = value
    return labels


def look(model: Model, start: Start, turned: Turned, prior: Prior, directions: Directions | None) -> Frame:
    """Decode what a start has become, and the strip of what is under the hand, in one call."""
    code, labels = code_of(start, prior, turned, directions), labels_of(start, turned)
    codes = np.repeat(code[None], 1 + len(TILES), axis=0)
    told = None if labels is None else np.repeat(labels[None], 1 + len(TILES), axis=0)
    kind, number = turned.hand
    captions = tuple(f"{value:+g}" if value else "0" for value in TILES)
    if kind == "label":
        values = np.unique(np.linspace(0, model.label_sizes[number] - 1, len(TILES)).round().astype(np.int32))
        told[1 : 1 + len(values), number] = values
        captions, now, at = tuple(map(str, values)), labels[number], values
    elif kind == "direction":
        now, at = turned.directions.get(number, 0.0), TILES
        codes[1:, : len(prior.mean)] += ((TILES - now)[:, None] * directions.shifts[number]).astype(np.float32)
    else:
        offset = code[number] - code_of(start, prior, turned, None)[number]  # what directions add to this latent
        codes[1:, number] = prior.mean[number] + prior.deviation[number] * TILES + offset
        now, at = turned.latents.get(number, float(shown(start, prior)[number])), TILES
    made = np.asarray(model.decode(codes, told))
    return Frame(made[0], made[1 : 1 + len(captions)], captions, nearest(now, at))


def nearest(value: float, places: np.ndarray) -> int | None:
    """Return the number of the place nearest to a value; None where the value lies further off than half their gap."""
    best = int(np.abs(places - value).argmin())
    gap = np.diff(places).min() if len(places) > 1 else np.inf
    return best if abs(places[best] - value) <= 0.5 * gap + 1e-6 else None
