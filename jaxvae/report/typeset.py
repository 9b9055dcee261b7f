"""The settings of a sweep as a table for a paper or a README: LaTeX, Markdown. Knows no files and no figures."""

import re
from collections.abc import Callable
from typing import NamedTuple

from jaxvae.evaluate.best import less_is_better
from jaxvae.report import reading, wording
from jaxvae.types import Results
from jaxvae.words import printable

FORMATS = ("latex", "markdown")

_LATEX = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"β": r"$\beta$", "·": r"$\cdot$", "±": r"$\pm$", "−": "$-$", "–": "--", "↓": r"$\downarrow$", "…": r"\dots{}"},
}
"""What stands for signs that mean something to LaTeX, or that it does not know; `…` and the like are our own."""

_MARKDOWN = re.compile(r"([\\`*<>|\[\]])")


class _Column(NamedTuple):
    heading: str
    cells: list[str]  # as `wording` writes them
    is_text: bool = False


def settings_table(results: Results, kind: str) -> str:
    """Return a row for each setting, mean ± standard deviation over its healthy lanes, and what was left out.

    Args:
        results: the sweep.
        kind: "latex", a tabular with the rules of the package booktabs and comments above it; or "markdown", a table of
            pipes and a paragraph below it.
    """
    settings = reading.groups(results)
    columns = [*_names(results, settings), _seeds(settings), *_scores(results, settings)]
    return (_latex if kind == "latex" else _markdown)(columns, _said(results, settings))


def _names(results: Results, settings: list[reading.Group]) -> list[_Column]:
    columns = []
    for name in reading.KINDS:
        if len({lane.get(name) for lane in results.lanes}) > 1 or (name == "objective" and len(settings) == 1):
            columns.append(_Column(name, [str(group.lanes[0].get(name) or "") for group in settings], True))
    for name in reading.swept_hypers(results):
        columns.append(_Column(name, [wording.hyper(group.lanes[0].get(name)) for group in settings]))
    return columns


def _seeds(settings: list[reading.Group]) -> _Column:
    numbers = [(sum(map(reading.is_ok, group.lanes)), len(group.lanes)) for group in settings]
    return _Column("seeds", [f"{ok} of {all_}" if ok < all_ else str(ok) for ok, all_ in numbers])


def _scores(results: Results, settings: list[reading.Group]) -> list[_Column]:
    columns = []
    scores = [*reading.by_weight(results, reading.scores(results)), *reading.losses(results), *reading.apart(results)]
    for name in scores:
        found = [reading.mean_and_spread(group.lanes, name)[:2] for group in settings]
        places = wording.decimals([value for pair in found for value in pair])
        arrow = " ↓" * less_is_better(name)
        columns.append(_Column(wording.title(name) + arrow, [wording.spread(*pair, places) for pair in found]))
    return columns


def _said(results: Results, settings: list[reading.Group]) -> list[str]:
    """Return what the numbers are, and which lanes are in none of them."""
    numbers = sorted({len(group.lanes) for group in settings})
    if numbers == [1]:
        said = ["One seed of each setting: no spread is known."]
    else:
        seeds = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        said = [f"Mean ± standard deviation over {seeds} seeds of each setting (n − 1 in the denominator)."]
    lost = reading.unhealthy(results)
    if lost:
        named = "; ".join(f"{wording.lane_label(results, lane)} ({lane.get('status')})" for lane in lost[:6])
        more = f" and {len(lost) - 6} more" if len(lost) > 6 else ""
        are = "is" if len(lost) == 1 else "are"
        lanes = f"{len(lost)} of {wording.count(len(results.lanes), 'lane')}"
        said.append(f"{lanes} did not finish and {are} in no mean: {named}{more}.")
    return said


def _latex(columns: list[_Column], said: list[str]) -> str:
    kinds = "".join("l" if column.is_text else "r" for column in columns)
    comments = [r"% \usepackage{booktabs}", *(f"% {printable(line)}" for line in said)]
    rows = [[column.cells[row] for column in columns] for row in range(len(columns[0].cells))]
    lines = [rf"\begin{{tabular}}{{@{{}}{kinds}@{{}}}}", r"\toprule"]
    lines += [_row((column.heading for column in columns), _latex_text, " & ", r" \\"), r"\midrule"]
    lines += [_row(cells, _latex_text, " & ", r" \\") for cells in rows]
    return "\n".join([*comments, *lines, r"\bottomrule", r"\end{tabular}"])


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in printable(text))


def _markdown(columns: list[_Column], said: list[str]) -> str:
    rows = [[column.cells[row] for column in columns] for row in range(len(columns[0].cells))]
    ruler = "|".join(["", *("---" if column.is_text else "---:" for column in columns), ""])
    lines = [_row((column.heading for column in columns), _markdown_text, " | "), ruler]
    lines += [_row(cells, _markdown_text, " | ") for cells in rows]
    lines = [line if line == ruler else f"| {line} |" for line in lines]
    return "\n".join([*lines, "", " ".join(map(_markdown_text, said))])


def _markdown_text(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", printable(text))


def _row(cells, write: Callable[[str], str], between: str, end: str = "") -> str:
    return between.join(map(write, cells)) + end
