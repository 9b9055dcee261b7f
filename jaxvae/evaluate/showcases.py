"""Some lanes put on show: reconstructions, traversals, and which latent knows which factor."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import latents
from jaxvae.data.grid import Dataset
from jaxvae.load import Model, Sweep
from jaxvae.metrics.information import normalised_information
from jaxvae.metrics.rows import draw_rows
from jaxvae.types import Factors, Showcase

SHOWN_IMAGES = 8
MAP_BATCH = 512
MAP_POINTS = 10_000  # for the map of information, as many as MIG draws
TRAVERSAL_VALUES = np.linspace(-2.0, 2.0, 9)


def ranking(rows: list[dict[str, Any]], score_names: Sequence[str]) -> tuple[str, list[dict[str, Any]]]:
    """Return the score that ranks lanes (MIG where it is scored, else the ELBO) and the healthy lanes, best first."""
    score = "mig" if "mig" in score_names else "elbo"
    healthy = [row for row in rows if row["status"] == "ok" and np.isfinite(row[score])]
    return score, sorted(healthy, key=lambda row: -row[score])


def showcases(
    sweep: Sweep, rows: list[dict[str, Any]], kl: Sequence[np.ndarray], score_names: Sequence[str], data: Dataset
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
        scored = latents.number_scored(model.program)
        has_factors = data.annotation == "factors"
        shown.append(
            Showcase(
                title=title,
                lane=lane,
                originals=images,
                reconstructions=np.asarray(model.decode(means)),
                traversals=np.asarray(model.traverse(means[len(images) // 2], TRAVERSAL_VALUES)),
                traversal_values=TRAVERSAL_VALUES,
                kl=kl[[row["lane"] for row in rows].index(lane)][:scored],
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
    means = means[:, : latents.number_scored(model.program)]
    return np.asarray(normalised_information(jnp.asarray(means), factors.values[rows], data.factor_sizes))
