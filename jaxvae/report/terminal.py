"""The table a finished run prints. Knows no files, no colours."""

import dataclasses
import textwrap

from jaxvae.report import reading, wording
from jaxvae.types import Results
from jaxvae.words import printable

WIDTH = 120
MAX_LANES = 30  # more than a screen of lanes is read in results.csv, not in a terminal
MAX_ROWS = 60  # settings, or lanes that are settings of their own: likewise, the best of more
LONGEST_WORD = 9
MAX_NAMED = 6  # of the scores there is no room for


@dataclasses.dataclass
class _Column:
    heading: str  # words joined by "_", stacked above each other
    cells: list[str]
    align_right: bool = True

    @property
    def lines(self) -> list[str]:
        return [
            word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD - 1] + "." for word in self.heading.split("_")
        ]

    @property
    def width(self) -> int:
        return max(map(len, [*self.lines, *self.cells]))


def terminal_table(results: Results) -> str:
    """Return the lanes as text at most 120 columns wide: a row for each setting, and one for each lane if they are few.

    A row for a setting gives mean ± standard deviation over its healthy lanes. Where objectives or architectures are
    compared, a row for each gives median, least and greatest over its settings and seeds. Scores that do not fit are
    named below the table, and so is how many rows there are where only the best are shown.
    """
    parts = []
    settings = reading.groups(results)
    repeated = len(settings) < len(results.lanes)
    if len(results.lanes) <= MAX_LANES or not repeated:
        parts.append(_lanes(results))
    if repeated:
        parts.append(_settings(results, settings))
    if methods := reading.methods(results):
        parts.append(_methods(results, methods))
    return "\n\n".join(parts)


def _lanes(results: Results) -> str:
    lanes = reading.best_lanes(results, MAX_ROWS)
    first = [_Column("lane", [str(lane.get("lane", "")) for lane in lanes]), *_families(results, lanes)]
    for name in [*reading.swept_hypers(results), *([reading.SEED] if reading.SEED in results.swept else [])]:
        first.append(_Column(name, [wording.hyper(lane.get(name)) for lane in lanes]))
    scores = []
    for name in _by_weight(results):
        column = [reading.number(lane, name) for lane in lanes]
        places = wording.decimals(column)
        scores.append(_Column(name, [wording.fixed(value, places) for value in column]))
    status = _Column("status", [str(lane.get("status") or "ok") for lane in lanes], align_right=False)
    rest = wording.left_out(len(lanes), len(results.lanes), f"lanes, {wording.the_best(results)}")
    return _draw(first, scores, [status], rest)


def _settings(results: Results, settings: list[reading.Group]) -> str:
    number, settings = len(settings), reading.best_groups(results, settings, MAX_ROWS)
    first = _families(results, [group.lanes[0] for group in settings])
    for name in reading.swept_hypers(results):
        first.append(_Column(name, [wording.hyper(group.lanes[0].get(name)) for group in settings]))
    scores = []
    for name in _by_weight(results):
        column = [reading.mean_and_spread(group.lanes, name) for group in settings]
        places = wording.decimals([value for mean, deviation, _ in column for value in (mean, deviation)])
        scores.append(_Column(name, [wording.spread(mean, deviation, places, "±") for mean, deviation, _ in column]))
    healthy = [sum(map(reading.is_ok, group.lanes)) for group in settings]
    lost = [len(group.lanes) - number for group, number in zip(settings, healthy, strict=True)]
    words = [f"{ok} ok" + (f", {bad} lost" if bad else "") for ok, bad in zip(healthy, lost, strict=True)]
    rest = wording.left_out(len(settings), number, f"settings, {wording.the_best(results)}")
    return _draw(first, scores, [_Column("lanes", words, align_right=False)], rest)


def _methods(results: Results, methods: list[reading.Group]) -> str:
    first = _families(results, [group.lanes[0] for group in methods])
    scores = []
    for name in _by_weight(results):
        column = [reading.median_and_range(group.lanes, name)[:3] for group in methods]
        places = wording.decimals([value for found in column for value in found])
        scores.append(_Column(name, [wording.span(*found, min(places, 2)) for found in column]))
    healthy = [str(sum(map(reading.is_ok, group.lanes))) for group in methods]
    kind = reading.family_kind(results)
    return _draw(first, scores, [_Column("lanes", healthy)]) + f"\nMedian [least, greatest] of each {kind}."


def _families(results: Results, lanes: list[reading.Lane]) -> list[_Column]:
    columns = []
    for name in reading.KINDS:
        cells = [str(lane.get(name) or "") for lane in lanes]
        if len({lane.get(name) for lane in results.lanes}) > 1:
            # A composed objective can be long; its terms tell more at the front.
            columns.append(_Column(name, [c if len(c) <= 28 else c[:27] + "…" for c in cells], align_right=False))
    return columns


def _by_weight(results: Results) -> list[str]:
    """Order scores so that what does not fit is what one misses least; the ELBO is the sum of two others."""
    first = [results.main_score, "reconstruction", "kl"]
    present = [*reading.by_weight(results, reading.scores(results)), *reading.losses(results)]
    return sorted(present, key=lambda name: first.index(name) if name in first else len(first))


def _draw(first: list[_Column], scores: list[_Column], last: list[_Column], rest: str = "") -> str:
    used = sum(column.width + 2 for column in [*first, *last])
    fitting, left_out = [], []
    for column in scores:
        if used + column.width + 2 <= WIDTH:
            used += column.width + 2
            fitting.append(column)
        else:
            left_out.append(column.heading)
    columns = [*first, *fitting, *last]
    height = max(len(column.lines) for column in columns)
    lines = []
    for level in range(height):
        padded = [([""] * (height - len(column.lines)) + column.lines)[level] for column in columns]
        lines.append(_row(columns, padded))
    lines += [_row(columns, [column.cells[row] for column in columns]) for row in range(len(columns[0].cells))]
    lines.insert(height, "─" * max(map(len, lines)))
    if rest:
        lines.append(f"{rest}.")
    if left_out:
        more = f" and {len(left_out) - MAX_NAMED} more" if len(left_out) > MAX_NAMED else ""
        lines += textwrap.wrap(
            f"No room for {', '.join(left_out[:MAX_NAMED])}{more}: see results.csv or the report.", WIDTH
        )
    return "\n".join(printable(line.rstrip()) for line in lines)


def _row(columns: list[_Column], cells: list[str]) -> str:
    padded = [
        cell.rjust(column.width) if column.align_right else cell.ljust(column.width)
        for column, cell in zip(columns, cells, strict=True)
    ]
    return "  ".join(padded)[:WIDTH]
