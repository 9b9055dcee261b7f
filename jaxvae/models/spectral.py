"""How strongly a network can amplify: spectral norms of its convolutions, by power iteration. Knows no architecture.

Vahdat & Kautz 2020, NVAE: A Deep Hierarchical Variational Autoencoder, section 3.2 "Spectral Regularization"; power
iteration with vectors kept from step to step as in Miyato et al. 2018, Spectral Normalization for GANs.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

STEPS, FIRST_STEPS = 4, 40
"""Iterations in a training step, and before the first one, as in the authors' code."""

Vectors = dict[str, jax.Array]
"""{"ROWSxCOLUMNS": f32[n, COLUMNS]}: unit vectors near the first right singular ones of all n matrices of a shape."""


def matrices(params: dict[str, Any]) -> dict[str, jax.Array]:
    """Return the convolution kernels [k, k, in, out] in `params` as {"ROWSxCOLUMNS": [n, k*k*in, out]}."""
    found: dict[str, list[jax.Array]] = {}
    for _, leaf in sorted(traverse_util.flatten_dict(params).items()):
        if leaf.ndim == 4:
            matrix = leaf.reshape(-1, leaf.shape[-1])
            found.setdefault("x".join(map(str, matrix.shape)), []).append(matrix)
    return {shape: jnp.stack(stacked) for shape, stacked in found.items()}


def first_vectors(params: dict[str, Any]) -> Vectors:
    """Return where power iteration starts for these parameters: FIRST_STEPS from a fixed random direction."""
    start = {
        shape: jax.random.normal(jax.random.key(index), (len(stacked), stacked.shape[-1]), stacked.dtype)
        for index, (shape, stacked) in enumerate(sorted(matrices(params).items()))
    }
    return iterate(params, start, FIRST_STEPS)


def _unit(vectors: jax.Array) -> jax.Array:
    return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _forwards(stacked: jax.Array, vectors: jax.Array) -> jax.Array:
    return jnp.einsum("nrc,nc->nr", stacked, vectors, precision="highest")


def _backwards(stacked: jax.Array, vectors: jax.Array) -> jax.Array:
    return jnp.einsum("nrc,nr->nc", stacked, vectors, precision="highest")


def iterate(params: dict[str, Any], vectors: Vectors, steps: int = STEPS) -> Vectors:
    """Take steps of power iteration, u <- W^T W u / |W^T W u|, for every kernel; no gradient."""

    def turned(stacked, vectors):
        def once(_, vectors):
            return _unit(_backwards(stacked, _unit(_forwards(stacked, vectors))))

        return jax.lax.fori_loop(0, steps, once, _unit(vectors))

    stopped = jax.lax.stop_gradient(matrices(params))
    return {shape: turned(stacked, vectors[shape]) for shape, stacked in stopped.items()}


def spectral_norms(params: dict[str, Any], vectors: Vectors) -> Vectors:
    """Return |W u| of every kernel, {"ROWSxCOLUMNS": [n]}, its largest singular value once u has converged.

    Differentiable in the kernels, with u held constant.
    """
    constant = jax.lax.stop_gradient(vectors)
    norms = {}
    for shape, stacked in matrices(params).items():
        # v^T W u with v = W u / |W u| constant: the same number, and a gradient where W is 0.
        image = _unit(_forwards(jax.lax.stop_gradient(stacked), constant[shape]))
        norms[shape] = (image * _forwards(stacked, constant[shape])).sum(-1)
    return norms


def roughness(params: dict[str, Any], vectors: Vectors) -> jax.Array:
    """Return the sum of all kernels' spectral norms and of max |scale| of every batch normalisation, f32[].

    The regulariser of Vahdat & Kautz 2020, section 3.2, before its weight lambda.
    """
    scales = [leaf for path, leaf in traverse_util.flatten_dict(params).items() if path[-1] == "scale"]
    norms = spectral_norms(params, vectors)
    return sum(found.sum() for found in norms.values()) + sum(jnp.abs(scale).max() for scale in scales)
