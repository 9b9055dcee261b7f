"""Which lane has the best of any one score, and whether that is the least or the most of it. Knows no model."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxvae import metrics
from jaxvae.evaluate.scoring import LOSSES, LOSSES_TO_RAISE
from jaxvae.evaluate.unseen import ENDINGS
from jaxvae.types import InputError, look_up

ALIKE = 1e-6
"""Two scores that differ by less, as a share of the greater, are equal: they are float32, in which sums round."""

Row = dict[str, Any]


class Best(NamedTuple):
    """The lane that has the best of a score, and what to say of it."""

    row: Row  # of results.csv
    value: float
    tied: tuple[int, ...]  # numbers of the other healthy lanes that have the same

    def words(self, name: str) -> str:
        """Say that other lanes have the same, and which one is taken; "" where it is alone."""
        if not self.tied:
            return ""
        several = len(self.tied) > 1
        others = f"lane{'s' * several} {', '.join(map(str, self.tied))} {'have' if several else 'has'}"
        return f"lane {self.row['lane']} is taken; {others} the same {name}, {self.value:.4g}"


def less_is_better(name: str) -> bool:
    """Tell whether the least of a column of results.csv is the best, as LOSSES and METRICS declare it."""
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    if name in LOSSES:
        return name not in LOSSES_TO_RAISE
    return any(metric.less_is_better for metric in metrics.METRICS.values() if name in metric.keys)


def best_row(rows: Sequence[Row], name: str) -> Best:
    """Return the healthy lane with the best of a score; of lanes that have the same, the one with the lowest number.

    Args:
        rows: those of results.csv, not empty.
        name: a column of them that is a score.

    Raises:
        InputError: there is no such score, it has not been computed, or no healthy lane has it.
    """
    check_computed(rows, name)
    found = [(row, row[name]) for row in rows if row["status"] == "ok" and is_number(row[name])]
    if not found:
        raise InputError(f"no lane that finished healthy has a number for {name!r}, so none is best")
    best = (min if less_is_better(name) else max)(value for _, value in found)
    tied = [row for row, value in found if math.isclose(value, best, rel_tol=ALIKE)]
    tied.sort(key=lambda row: row["lane"])
    return Best(tied[0], float(tied[0][name]), tuple(row["lane"] for row in tied[1:]))


def check_computed(rows: Sequence[Row], name: str) -> None:
    """Refuse what is no score of these rows.

    Raises:
        InputError: nothing is called so, or it is a score that these rows do not have.
    """
    columns = list(rows[0])
    computed = columns[columns.index("status") + 1 :]
    keys = {key: metric for metric, declared in metrics.METRICS.items() for key in declared.keys}
    known = dict.fromkeys([*computed, *LOSSES, *keys])
    if isinstance(name, str) and name in metrics.METRICS and name not in known:
        raise InputError(f"{name!r} is a metric of several scores; name one: {', '.join(metrics.METRICS[name].keys)}")
    look_up("score", name, known)
    if name not in computed:
        remedy = f"; rescore({keys[name]!r}) computes it, if the data allows" if name in keys else ""
        raise InputError(f"the score {name!r} has not been computed; there are {', '.join(computed)}{remedy}")


def is_number(value: Any) -> bool:
    """Tell whether a cell of results.csv holds a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
