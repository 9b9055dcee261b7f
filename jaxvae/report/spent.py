"""Where the time of a run went, in words and as a table. Knows no clock."""

import math
import textwrap
from collections.abc import Mapping
from html import escape
from typing import Any

from jaxvae.ledger import SCORE
from jaxvae.report import wording
from jaxvae.report.terminal import WIDTH

TOGETHER = SCORE.strip(": ")
INDENT = "\N{NO-BREAK SPACE}"
NAMED = 0.05  # seconds of what is worth a word
_MEANING = {
    "start": "Python, imports, flags",
    "data": "rendering or decoding images",
    "compile": "XLA, or reading kept programs",
    "train": "steps of all lanes",
    "save": "checkpoints, the wait for the last one of each wave",
    "encode": "codes and losses of the whole evaluation set",
    "score": "all metrics of all lanes",
    "log": "loggers of --log_to",
    "show": "pictures of the lanes on show",
    "draw": "figures",
    "write": "tables",
    "rest": "tracing programs, opening checkpoints, and what is between the parts",
}


def read(told: Any) -> dict[str, float]:
    """Return the seconds of each part that a file says of a run; {} where it says nothing of the kind."""
    found = told.items() if isinstance(told, Mapping) else ()
    return {str(name): float(own) for name, own in found if isinstance(own, float) and math.isfinite(own)}


def grouped(spent: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of each part, metrics together as "score", and those of each metric, longest first."""
    parts: dict[str, float] = {}
    for name, seconds in spent.items():
        own = TOGETHER if name.startswith(SCORE) else name
        parts[own] = parts.get(own, 0.0) + seconds
    scores = {name.removeprefix(SCORE): seconds for name, seconds in spent.items() if name.startswith(SCORE)}
    return parts, dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def time_line(spent: Mapping[str, float]) -> str:
    """Return where the time went as a paragraph for a terminal, such as "1 min 02 s: train 40 s, score 3.1 s (…)"."""
    parts, scores = grouped(spent)
    told = []
    for name, seconds in parts.items():
        if seconds >= NAMED:
            of = ", ".join(f"{metric} {_short(own)}" for metric, own in scores.items() if own >= NAMED)
            told.append(f"{name} {_short(seconds)} s" + (f" ({of})" if name == TOGETHER and of else ""))
    return textwrap.fill(f"{wording.duration(sum(parts.values()))}: {', '.join(told)}", WIDTH)


def table(spent: Mapping[str, float]) -> str:
    """Return where the time went as HTML: a row for each part and each metric, with a bar."""
    parts, scores = grouped(spent)
    whole = sum(parts.values()) or 1.0
    rows = ""
    for name, seconds in parts.items():
        rows += _row(name, _MEANING.get(name, ""), seconds, whole)
        if name == TOGETHER:
            rows += "".join(_row(2 * INDENT + metric, "", own, whole) for metric, own in scores.items())
    return f'<div class="scroll"><table class="pairs spent"><tbody>{rows}</tbody></table></div>'


def _row(name: str, meaning: str, seconds: float, whole: float) -> str:
    share = max(0.0, seconds / whole)
    bar = f'<span class="bar" style="width:{12 * share:.2f}em"></span>'
    return (
        f'<tr><th scope="row">{escape(name)}</th><td>{_short(seconds)} s</td><td>{100 * share:.0f}%</td>'
        f"<td>{bar}</td><td>{escape(meaning)}</td></tr>"
    )


def _short(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 99.5 else f"{max(0.0, seconds):.1f}"
