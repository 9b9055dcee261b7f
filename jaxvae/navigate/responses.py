"""What a scorer says of decoded pictures as codes are moved. Knows no statistics."""

import functools
import time
from collections.abc import Callable

import numpy as np

from jaxvae.navigate.boundaries import Space
from jaxvae.navigate.coders import BATCH, Coders, padded
from jaxvae.types import InputError

Scorer = Callable[[np.ndarray], np.ndarray]
"""images f32[B, H, W, C] in [0, 1] -> how much of each attribute they show, f32[B, A], any unit, more is more."""

TOGETHER = 8  # directions that are kept as one
SECONDS = 10  # between two lines about the progress

STEPS = (0.75, 1.5, 3.0)
"""Sizes of the steps that are taken both ways, in standard deviations of the codes; between them lines are drawn."""


def score_in_batches(scorer: Scorer, images: np.ndarray, num_attributes: int) -> np.ndarray:
    """Return f32[N, A], the scores of images f32[N, H, W, C], asked for in batches of one size.

    Raises:
        InputError: the scorer returns another shape, or something that is no number.
    """
    scores = np.empty((len(images), num_attributes), np.float32)
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        made = np.asarray(scorer(padded(batch)))
        if made.shape != (BATCH, num_attributes):
            raise InputError(
                f"the scorer returned {made.shape} for {BATCH} images; it takes images [B, H, W, C] and returns "
                f"[B, {num_attributes}], a column for each attribute"
            )
        scores[start : start + len(batch)] = made[: len(batch)]
    if not np.isfinite(scores).all():
        raise InputError("the scorer returned something that is not a number: look at what it makes of single images")
    return scores


def score_codes(coders: Coders, codes: np.ndarray, scorer: Scorer, num_attributes: int) -> np.ndarray:
    """Return f32[M, B, A], the scores of what codes f32[M, B, D] are decoded to."""
    images = coders.decode(codes)
    flat = images.reshape(-1, *images.shape[2:])
    return score_in_batches(scorer, flat, num_attributes).reshape(*codes.shape[:2], num_attributes)


def respond(
    coders: Coders,
    space: Space,
    codes: np.ndarray,
    directions: np.ndarray,
    scorer: Scorer,
    num_attributes: int,
    *,
    steps: tuple[float, ...] = STEPS,
    keep: Callable[[str, Callable[[], dict]], dict] = lambda name, make: make(),
    say: Callable[[str], None] = print,
) -> np.ndarray:
    """Move the codes of n images along directions and score what they are decoded to.

    Args:
        coders: M models.
        space: in which directions and steps are standard deviations.
        codes: f32[M, n, D], as the models encode them.
        directions: f32[M, U, D] of length 1; one of zeros is not taken.
        scorer: of pictures.
        num_attributes: A.
        steps: T sizes; each is taken forwards and backwards.
        keep: gives what a part of a name makes, or made before (see keeping.Keep.arrays); a few directions are one.
        say: is given a line from time to time.

    Returns:
        f32[M, U, T, n, A], half the difference between the scores a step forwards and a step backwards, so that what
        any move does to a picture, whichever way, is left out; NaN where a direction is zeros.
    """
    units = space.standardise(codes)
    total = directions.shape[1]
    began = said = time.monotonic()
    made = 0

    def along(number: int) -> np.ndarray:
        """Return f32[M, T, n, A]."""
        nonlocal said, made
        found = []
        for step in steps:
            way = np.float32(step) * directions[:, None, number]
            ahead, back = (
                score_codes(coders, space.restore(units + sign * way, codes), scorer, num_attributes)
                for sign in (1, -1)
            )
            found.append(0.5 * (ahead - back))
        made += 1
        now = time.monotonic()
        if now - said > SECONDS:
            said = now
            left = (now - began) / made * (total - number - 1)
            say(f"  moved along {number + 1} of {total} directions, about {left:.0f} s left")
        return np.stack(found, axis=1)

    def several(start: int) -> dict[str, np.ndarray]:
        return {"responses": np.stack([along(n) for n in range(start, min(start + TOGETHER, total))], axis=1)}

    blocks = [keep(f"responses_{s}", functools.partial(several, s))["responses"] for s in range(0, total, TOGETHER)]
    found = np.concatenate(blocks, axis=1)
    found[~directions.any(-1)] = np.nan
    return found
