"""Edited pictures: encoded again, and in rows for the page."""

import numpy as np

from jaxvae.navigate.boundaries import Boundaries, Space
from jaxvae.navigate.coders import Coders
from jaxvae.navigate.results import RoundTrip
from jaxvae.navigate.scores import interval, resamples_of

POSITIONS = np.linspace(-3.0, 3.0, 7, dtype=np.float32)
NUM_SHOWN = 3


def trips(
    coders: Coders, space: Space, codes: np.ndarray, normals: np.ndarray, step: np.ndarray
) -> dict[str, np.ndarray]:
    """Return what re-encoding edited images comes to, f32[M, A, n] each.

    found and drift are shares of the step, of the codes that two edits, forwards and backwards, are encoded to again;
    pixels is the root of the mean squared half difference of the two pictures.
    """
    units = space.standardise(codes)
    shape = (*normals.shape[:2], codes.shape[1])
    found, drift, pixels = (np.zeros(shape, np.float32) for _ in range(3))
    for number in range(normals.shape[1]):
        way = step[:, number, None, None] * normals[:, number, None]
        ahead, back = (coders.decode(space.restore(units + sign * way, codes)) for sign in (1, -1))
        half = 0.5 * (space.standardise(coders.encode_own(ahead)) - space.standardise(coders.encode_own(back)))
        along = np.einsum("mnd,md->mn", half, normals[:, number])
        across = half - along[..., None] * normals[:, number, None]
        longest = np.maximum(step[:, number, None], 1e-12)
        found[:, number] = along / longest
        drift[:, number] = np.linalg.norm(across, axis=-1) / longest
        pixels[:, number] = np.sqrt(np.square(0.5 * (ahead - back)).mean((2, 3, 4)))
    return {"found": found, "drift": drift, "pixels": pixels}


def round_trip_of(trips: dict[str, np.ndarray], effect: np.ndarray, num: int, seed: int) -> RoundTrip:
    """Return means over images of what `trips` returns, with intervals.

    Args:
        trips: as returned.
        effect: f32[M, A], how far each attribute's own score has moved, standard deviations.
        num: of resamples.
        seed: of resamples, those of `scores.bootstrapped`.
    """
    weights = resamples_of(trips["found"].shape[-1], num, seed)
    per_unit = trips["pixels"] / np.maximum(np.abs(effect), 1e-6)[..., None]
    made = []
    for values in (trips["found"], trips["drift"], per_unit):
        made.append(interval(values.mean(-1), np.moveaxis(values @ weights.T, -1, 0)))
    return RoundTrip(*made)


def rows_of_pictures(
    coders: Coders,
    space: Space,
    codes: np.ndarray,
    boundaries: Boundaries,
    images: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the fields of Shown: images of the first faces moved along every normal and every latent."""
    some = np.random.default_rng(seed).permutation(len(images))[:NUM_SHOWN]
    own, units = codes[:, some], space.standardise(codes[:, some])

    def row(direction: np.ndarray, num: int) -> np.ndarray:
        """Return uint8[M, F, T, H, W, C] of directions f32[M, D]."""
        steps = [
            coders.decode(space.restore(units + position * direction[:, None], own)[:, :num]) for position in POSITIONS
        ]
        return np.rint(np.stack(steps, axis=2) * 255).astype(np.uint8)

    edits = [row(boundaries.normals[:, number], len(some)) for number in range(boundaries.normals.shape[1])]
    single = [
        row(np.eye(units.shape[-1], dtype=np.float32)[d] * space.alive[:, d, None], 1)[:, 0]
        for d in range(units.shape[-1])
    ]
    return {
        "originals": images[some],
        "positions": POSITIONS,
        "edits": np.stack(edits, axis=1),
        "latents": np.stack(single, axis=1),
    }
