"""Codes of every kind, from perfect to worthless, of points whose factors are independent."""

import numpy as np


def rotated(unit, degrees):
    """Return [N, K] with latents 0 and 1, 2 and 3, … turned into each other by an angle."""
    turned, angle = unit.copy(), np.deg2rad(degrees)
    for first in range(0, unit.shape[1] - 1, 2):
        one, two = unit[:, first], unit[:, first + 1]
        turned[:, first] = np.cos(angle) * one - np.sin(angle) * two
        turned[:, first + 1] = np.sin(angle) * one + np.cos(angle) * two
    return turned


def codes_of_every_kind(factors, sizes, num_latents, random):
    """Return {kind: codes f32[N, D]} of factors integers [N, K], D >= 2 K; latents without a use are nearly dead."""
    sizes = np.array(sizes)
    unit = (factors - (sizes - 1) / 2) / np.sqrt((sizes**2 - 1) / 12)
    num_points, num_factors = unit.shape

    def noise(scale, count=num_factors):
        return scale * random.normal(size=(num_points, count))

    mixing = np.linalg.qr(random.normal(size=(num_factors, num_factors)))[0]
    angle = 2 * np.pi * factors / sizes
    kinds = {
        "perfect": unit,
        "a little noise": unit + noise(0.1),
        "noise 0.3": unit + noise(0.3),
        "noise 1": unit + noise(1.0),
        "noise 3": unit + noise(3.0),
        "rotated by 10": rotated(unit, 10) + noise(0.05),
        "rotated by 25": rotated(unit, 25) + noise(0.05),
        "rotated by 45": rotated(unit, 45) + noise(0.05),
        "all mixed": unit @ mixing + noise(0.05),
        "warped": np.sign(unit) * np.abs(unit) ** 3 + noise(0.05),
        "mixed and warped": np.tanh(1.5 * unit @ mixing) + noise(0.05),
        "copied": np.repeat(unit + noise(0.2), 2, axis=1),
        "sine and cosine": np.concatenate([np.sin(angle), np.cos(angle)], axis=1) + noise(0.1, 2 * num_factors),
        "half of the factors": unit[:, : num_factors // 2] + noise(0.1, num_factors // 2),
        "one latent for all": unit.sum(1, keepdims=True) + noise(0.1, 1),
        "random": noise(1.0, num_latents),
    }
    codes = {}
    for kind, latents in kinds.items():
        dead = 1e-3 * random.normal(size=(num_points, num_latents - latents.shape[1]))
        codes[kind] = np.concatenate([latents, dead], axis=1).astype(np.float32)
    return codes
