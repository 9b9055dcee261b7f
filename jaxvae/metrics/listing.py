"""The table of all metrics, read off METRICS and the docstrings, so that nothing is said twice. Knows no code."""

import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from jaxvae.types import Metric

WIDTH = 120


class Entry(NamedTuple):
    """What there is to say of a metric, in words."""

    name: str
    keys: tuple[str, ...]
    needs: str
    what: str
    range: str
    chance: str
    paper: str


def entry(name: str, metric: Metric) -> Entry:
    """Describe a metric from its record and its docstring.

    The docstring says what is scored in its first sentence, and has a paragraph that begins with "Range " and holds a
    sentence on the chance level.
    """
    paragraphs = [" ".join(part.split()) for part in (inspect.getdoc(metric.function) or "").split("\n\n")]
    ranged = next((part for part in paragraphs if part.startswith("Range ")), "")
    needs = [
        *([_factors(metric)] if metric.needs_factors else []),
        *(["log-variances"] if metric.needs_logvar else []),
        *(["siblings (models that differ in their seed alone)"] if metric.of_siblings else []),
        *(["clusters (of the term kl_mixture)", "one label"] if metric.of_clusters else []),
    ]
    chance = next((part for part in _sentences(ranged) if "hance level" in part), "")
    return Entry(
        name=name,
        keys=metric.keys,
        needs=", ".join(needs) or "codes alone",
        what=next(iter(_sentences(paragraphs[0])), ""),
        range=re.split(r"[;.](?=\s|$)", ranged.removeprefix("Range "), maxsplit=1)[0],
        chance=re.sub(r"^Chance level:?\s*", "", chance).rstrip("."),
        paper=metric.reference,
    )


def _factors(metric: Metric) -> str:
    if metric.needs_binary:
        return "factors of two values"
    if metric.of_labels:
        return "labels or factors (classes)"
    return "factors" if metric.takes_numbers else "factors (classes)"


def table(metrics: Mapping[str, Metric]) -> str:
    """Return all metrics as text at most WIDTH columns wide."""
    rows = [entry(name, metric) for name, metric in metrics.items()]
    heading = ("metric", "keys", "needs", "range", "chance level", "paper")
    cells = [(row.name, "\n".join(row.keys), row.needs, row.range, row.chance, row.paper) for row in rows]
    widths = [max(len(word) for row in [heading, *cells] for word in row[column].split()) for column in range(6)]
    widths[2], widths[5] = max(widths[2], 13), max(widths[5], 16)
    left = WIDTH - sum(widths[column] for column in (0, 1, 2, 5)) - 2 * 5
    widths[3] = max(widths[3], left // 3)
    widths[4] = max(widths[4], left - widths[3])
    lines = [_row(heading, widths), "─" * WIDTH]
    for row in cells:
        lines.append(_row(row, widths))
    return "\n".join(lines)


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    columns = [
        [line for part in cell.split("\n") for line in textwrap.wrap(part, width, break_on_hyphens=False) or [""]]
        for cell, width in zip(cells, widths, strict=True)
    ]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    lines = zip(*padded, strict=True)
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _sentences(paragraph: str) -> list[str]:
    """Cut at full stops that end a sentence: before a capital or a digit, and not those of "et al."."""
    return re.split(r"(?<=[.])(?<!al\.)\s+(?=[A-Z0-9])", paragraph)
