"""Scores of the clusters that a lane's own prior puts its codes into."""

from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import metrics, objectives
from jaxvae.parallel.lanes import fetch, over_lanes, pad_lanes, put_everywhere, put_lanes
from jaxvae.types import Factors, Networks, Program, remember

BLOCK = 4096  # codes that are assigned at a time, times clusters and latents in memory


def why_not(names: Iterable[str]) -> str | None:
    """Return why lanes of these objectives have no clusters to score, None where some have."""
    if any(objectives.objective(name).clusters for name in names):
        return None
    return "needs clusters, which a prior that has them makes (term kl_mixture), and no lane has such a prior"


@remember
def _compiled_scores(program: Program, mesh, names: tuple[str, ...]):
    """Return the jitted (labels, (extra, codes) of lanes [R, …]) -> {key: f32[R]}."""
    term = objectives.objective(program.objective).clusters

    def score_lane(labels: Factors, lane):
        extra, codes = lane
        clusters = jax.lax.map(lambda code: term.assign(extra, code[None])[0], codes, batch_size=BLOCK)
        scores = {}
        for name in names:
            scores |= metrics.METRICS[name].function(clusters, labels, term.num_clusters(program))
        finite = jnp.isfinite(codes).all()
        return {key: jnp.where(finite, value, jnp.nan) for key, value in scores.items()}

    return jax.jit(over_lanes(score_lane, mesh, "map"))


def score_clusters(
    program: Program, networks: Networks, means: jax.Array, labels: Factors, names: Sequence[str]
) -> dict[str, np.ndarray | None]:
    """Score the clusters of R lanes: a number for each, or None where the lanes' prior has no clusters.

    Args:
        program: the lanes' program.
        networks: leaves [R, …], on the host.
        means: posterior means f32[R', N, D] as `encode` leaves them on the devices.
        labels: of the N images, one column.
        names: metrics of clusters.

    Returns:
        f32[R] or None for every key of every metric.
    """
    keys = [key for name in names for key in metrics.METRICS[name].keys]
    term = objectives.objective(program.objective).clusters
    if term is None or not names:
        return dict.fromkeys(keys)
    lanes = len(jax.tree.leaves(networks)[0])
    mesh = means.sharding.mesh
    extra = put_lanes(pad_lanes(networks.extra[term.name], len(means)), mesh)
    scores = _compiled_scores(program, mesh, tuple(names))(put_everywhere(labels, mesh), (extra, means))
    return {key: values[:lanes] for key, values in fetch(scores).items()}
