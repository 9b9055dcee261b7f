"""A finished study of attributes as plain arrays; all that figures and the page see."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from jaxvae.navigate.boundaries import Boundaries, Space
from jaxvae.navigate.scores import Interval

READABLE = 0.6
"""Area under the ROC curve on a model's reconstructions below which the judge cannot tell an attribute there."""


class Judge(NamedTuple):
    """How well the scorer tells the attributes of images that nothing was fitted on.

    Balanced accuracies are of scores above 0, the areas those under ROC curves; both 0 … 1, chance 1/2.
    """

    share: np.ndarray  # f32[A], of these images that have the attribute
    deviation: np.ndarray  # f32[A], of scores over these images: the unit of all effects
    area: np.ndarray  # f32[A], on the images as they are
    accuracy: np.ndarray  # f32[A]
    rebuilt_area: np.ndarray  # f32[M, A], on the models' reconstructions of them: what is blurred away cannot be judged
    rebuilt_accuracy: np.ndarray  # f32[M, A]


class Cleanness(NamedTuple):
    """The scores of one kind of direction, [M, A] each, with intervals over images; see `scores.Effects`."""

    step: Interval
    steerable: np.ndarray  # bool[M, A]
    certainty: np.ndarray  # f32[M, A], the share of resamples in which it is steerable
    selectivity: Interval
    gap: Interval
    leakage: Interval
    matrix: np.ndarray  # f32[M, A, A], R_ij


class Conditioned(NamedTuple):
    """The directions without those other attributes whose boundaries are nearest in angle.

    Attributes:
        others: i32[M, A, C], the attributes that are projected out.
        left: f32[M, A], length of what is left of the normal; 0 … 1.
        cleanness: of what is left, at matched effect.
        gain: selectivity with it minus selectivity without, [M, A]; above 0 where projecting out cleans.
        kept: f32[M, A], R_ii of what is left at the step of the whole normal: what conditioning costs, 1 is nothing.
    """

    others: np.ndarray
    left: np.ndarray
    cleanness: Cleanness
    gain: Interval
    kept: np.ndarray


class Control(NamedTuple):
    """The scores of directions that know nothing of an attribute, at the step of its normal: [M, A] each."""

    effect: np.ndarray  # |R_ii|, standard deviations of scores
    selectivity: np.ndarray


class Smaller(NamedTuple):
    """How models compare at other matched effects: the smaller it is, the more attributes reach it in every model.

    Attributes:
        targets: f32[K], standard deviations of scores, ascending; the last is that of all other scores.
        comparable: i32[K], attributes that are readable, and that every model's normal moves so far.
        selectivity: [K, M], mean over them.
        difference: [K, M], to that of the first model, on the same resamples.
    """

    targets: np.ndarray
    comparable: np.ndarray
    selectivity: Interval
    difference: Interval


class RoundTrip(NamedTuple):
    """What a model's own encoder says of edited pictures, at matched effect, both ways: [M, A] each.

    Attributes:
        found: how far the re-encoded code has moved along the direction, as a share of the step; 1 is all of it.
        drift: how far it has moved across the direction, as a share of the step; 0 is best.
        pixels: root mean square change of pixels, in units of white, per standard deviation of the attribute's score.
    """

    found: Interval
    drift: Interval
    pixels: Interval


class Shown(NamedTuple):
    """Pictures for the page, uint8.

    Attributes:
        originals: [F, H, W, C], held-out images.
        positions: f32[T], steps in standard deviations, ascending, 0 in the middle.
        edits: [M, A, F, T, H, W, C], the code of an image moved along the normal of an attribute.
        latents: [M, D, T, H, W, C], the code of the first image moved along a single latent; 0 where there is none.
    """

    originals: np.ndarray
    positions: np.ndarray
    edits: np.ndarray
    latents: np.ndarray


@dataclasses.dataclass(frozen=True)
class Navigation:
    """What a study found: M models, A attributes, D latents, in standard deviations of codes and of scores.

    Attributes:
        models: M names.
        attributes: A names.
        spec: what was asked for and of what: data, counts of images, options; JSON types.
        environment: where and how long it ran.
        judge: how well the scorer can tell.
        labels: f32[A, A], ρ_ij of the labels of held-out images.
        by_labels: f32[A], the selectivity that those correlations alone would give; see scores.expected_by_labels.
        reconstruction: f32[M], cross-entropy of images and reconstructions in nats per image, at the posterior mean.
        kl: f32[M], KL(q(z|x) || N(0, I)), nats per image.
        space: how codes are standardised; its `alive` says which latents hold anything.
        boundaries: where attributes begin in the codes.
        normals: what moving along the normals does.
        conditioned: … without the nearest other attributes.
        single: … along the single latent that tells each attribute best.
        random: along random directions.
        principal: along the first principal component of the codes.
        round_trip: what the model's own encoder says of the edits.
        means: selectivity of normals and of single latents, mean over the attributes that are `comparable`:
            {"normals", "conditioned", "single", "gap", "leakage", …: Interval [M]}, and "… - MODEL" for differences to
            the first model on the same resamples of images.
        smaller: how models compare at smaller effects.
        shown: pictures.
    """

    models: tuple[str, ...]
    attributes: tuple[str, ...]
    spec: dict[str, Any]
    environment: dict[str, Any]
    judge: Judge
    labels: np.ndarray
    by_labels: np.ndarray
    reconstruction: np.ndarray
    kl: np.ndarray
    space: Space
    boundaries: Boundaries
    normals: Cleanness
    conditioned: Conditioned
    single: Cleanness
    random: Control
    principal: Control
    round_trip: RoundTrip
    means: dict[str, Interval]
    smaller: Smaller
    shown: Shown

    @property
    def alive(self) -> np.ndarray:
        """bool[M, D], the latents that hold anything."""
        return self.space.alive

    @property
    def readable(self) -> np.ndarray:
        """bool[A], what the judge can tell on the reconstructions of every model."""
        return (self.judge.rebuilt_area >= READABLE).all(0)

    @property
    def comparable(self) -> np.ndarray:
        """bool[A], attributes that are readable, and that every model's normal moves by the target."""
        return comparable(self.judge, self.normals.steerable)


def comparable(judge: Judge, steerable: np.ndarray) -> np.ndarray:
    """Return bool[A], the attributes that models are compared by: told on, and moved by, all of them."""
    return (judge.rebuilt_area >= READABLE).all(0) & steerable.all(0)
