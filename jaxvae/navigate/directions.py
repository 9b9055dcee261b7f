"""Directions to move codes in: normals, normals without others, and controls. Pure geometry; knows no model."""

import numpy as np

NOTHING_LEFT = 0.05
"""Length of what is left of a unit normal below which others explain it: its direction would be rounding and noise."""


def condition(normal: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the part of a normal that leaves other attributes' distances alone, of length 1; 0 where none is left.

    n' = n - Cᵀ(CCᵀ)⁺C n, by least squares, so that others may be collinear (InterFaceGAN, equation 7 for one other).

    Args:
        normal: f32[D], of length 1.
        others: f32[C, D], of length 1.
    """
    normal, others = np.asarray(normal, np.float64), np.asarray(others, np.float64)
    if not len(others):
        return normal.astype(np.float32)
    weights = np.linalg.lstsq(others.T, normal, rcond=1e-4)[0]
    left = normal - others.T @ weights
    length = np.linalg.norm(left)
    return (left / length if length > NOTHING_LEFT else np.zeros_like(left)).astype(np.float32)


def nearest(cosines: np.ndarray, count: int) -> np.ndarray:
    """Return i32[A, count], for each attribute the others whose normals have the largest |cosine| to its own."""
    without = np.abs(cosines) - 2 * np.eye(len(cosines))
    return np.argsort(-without, axis=1, kind="stable")[:, : min(count, len(cosines) - 1)]


def at_random(num: int, alive: np.ndarray, seed: int) -> np.ndarray:
    """Return f32[num, D], directions of length 1, evenly distributed over the latents that are alive, bool[D]."""
    drawn = np.random.default_rng(seed).standard_normal((num, len(alive))) * alive
    length = np.linalg.norm(drawn, axis=1, keepdims=True)
    return (drawn / np.where(length > 0, length, 1.0)).astype(np.float32)


def principal(units: np.ndarray) -> np.ndarray:
    """Return f32[D], of length 1, the first principal component of standardised codes f32[N, D]."""
    covariance = np.cov(np.asarray(units, np.float64).T).reshape(units.shape[1], -1)
    return np.linalg.eigh(covariance)[1][:, -1].astype(np.float32)


def move(units: np.ndarray, direction: np.ndarray, step: float) -> np.ndarray:
    """Return codes f32[N, D] moved by `step` standard deviations."""
    return units + np.float32(step) * direction


def move_to(units: np.ndarray, direction: np.ndarray, normal: np.ndarray, offset: float, distance: float) -> np.ndarray:
    """Return codes f32[N, D] moved along a direction to a signed distance from a boundary.

    Args:
        units: standardised codes.
        direction: f32[D], the normal itself or what is left of it.
        normal, offset: of the boundary.
        distance: signed, in standard deviations of the codes.

    Raises:
        ValueError: the direction runs along the boundary, so no distance can be reached.
    """
    rate = float(direction @ normal)
    if abs(rate) < 1e-6:
        raise ValueError("the direction runs along the boundary: no signed distance can be reached by it")
    return units + ((distance - (units @ normal + offset)) / rate)[:, None] * direction
