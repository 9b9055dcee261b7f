"""The results of several sweeps as one: their lanes, renumbered, and all that is known of them. Knows no folder."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxvae.evaluate.ranking import rank
from jaxvae.types import Results

LAST = ("lr", "seed")  # hypers that all lanes have


def join(parts: Mapping[str, Results], spec: dict[str, Any], environment: dict[str, Any]) -> Results:
    """Return the lanes of several sweeps in one table; a column that only some have is None in the others.

    Lanes are numbered anew, from 0 on, in the tables as in the history; each says its "sweep" and its "own_lane" there.
    There are no showcases and no KL of single latents.

    Args:
        parts: name of each sweep -> its results.
        spec: what to say of all of them.
        environment: likewise.
    """
    hypers = dict.fromkeys(name for part in parts.values() for name in part.hyper_names)
    hypers = (*(name for name in hypers if name not in LAST), *(name for name in LAST if name in hypers))
    scores = tuple(dict.fromkeys(name for part in parts.values() for name in part.score_names))
    lanes: list[dict[str, Any]] = []
    for name, part in parts.items():
        columns = ("objective", "architecture", *hypers, "step", "status", *scores)
        for lane in part.lanes:
            own = {"lane": len(lanes), "sweep": name, "own_lane": lane["lane"]}
            lanes.append(own | {column: lane.get(column) for column in columns})
    main_score, ranked = rank(lanes)
    return Results(
        spec=spec,
        environment=environment,
        lanes=lanes,
        hyper_names=hypers,
        swept=tuple(name for name in hypers if len({lane[name] for lane in lanes} - {None}) > 1),
        score_names=scores,
        omitted={},
        history=_histories(parts),
        kl_per_latent=np.full((len(lanes), 0), np.nan),
        showcases=[],
        main_score=main_score,
        ranked=ranked,
        sources=tuple(parts),
    )


def _histories(parts: Mapping[str, Results]) -> dict[str, np.ndarray]:
    """Return the rows of all histories, lanes by their new numbers, NaN where a sweep does not have a column."""
    names = dict.fromkeys(name for part in parts.values() for name in part.history)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    first = 0
    for part in parts.values():
        place = {lane["lane"]: first + index for index, lane in enumerate(part.lanes)}
        own = np.asarray(part.history.get("lane", ()), int)
        known = np.isin(own, list(place))  # a damaged history may have rows of no lane
        for name, column in columns.items():
            if name == "lane":
                column.append(np.array([place[lane] for lane in own[known].tolist()], int))
            else:
                column.append(np.asarray(part.history.get(name, np.full(len(own), np.nan)))[known])
        first += len(part.lanes)
    return {name: np.concatenate(column) for name, column in columns.items()}
