"""Which lane came out best. Knows no model."""

import math
from collections.abc import Sequence
from typing import Any

RANKING = ("mig", "elbo")
"""Scores that rank lanes, of which more is better: the first that some healthy lane has."""


def rank(rows: Sequence[dict[str, Any]]) -> tuple[str | None, tuple[int, ...]]:
    """Return the score that ranks lanes, and the numbers of the healthy lanes that have it, best first.

    Args:
        rows: one for each lane, with its number, its status and its scores.

    Returns:
        None and () where no healthy lane has any score of RANKING as a finite number.
    """
    for score in RANKING:
        ranked = [row for row in rows if row["status"] == "ok" and _is_finite(row.get(score))]
        if ranked:
            return score, tuple(row["lane"] for row in sorted(ranked, key=lambda row: -row[score]))
    return None, ()


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
