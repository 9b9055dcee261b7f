"""Writes report.html: one file that needs nothing else, to be mailed, archived and opened offline. Knows no matplotlib.

Every string that is not written here goes through `html.escape`: flags, statuses and reasons are other people's text.
"""

import base64
import json
import os
import pathlib
import string
from collections.abc import Mapping
from html import escape
from typing import Any

from jaxvae.report import style, tables, wording
from jaxvae.report.plots import PLOTS
from jaxvae.report.summary import summary
from jaxvae.training.workdir import write_text
from jaxvae.types import Results

PIXELS_PER_CSS_PIXEL = style.DPI / 96  # a CSS inch has 96 pixels
TEMPLATE = pathlib.Path(__file__).with_name("page.html")

_FACTS = ("device", "wall_seconds", "images_per_second", "seconds_per_lane")
_UNIT = {"wall_seconds": "wall-clock", "images_per_second": "images/s", "seconds_per_lane": "per lane"}


def write_report(
    results: Results, path: str | os.PathLike[str], figures: Mapping[str, str | os.PathLike[str]]
) -> pathlib.Path:
    """Write the report, atomically.

    Args:
        results: the finished sweep.
        path: of the page, usually WORKDIR/report.html.
        figures: {name: path of a PNG} as `save_figures` returns them; they are copied into the page.
    """
    sections = [_figure_sections(figures), _methods(results), _settings(results), _lanes(results), _omitted(results)]
    sections += [_spec(results), _environment(results)]
    found = [section for group in sections for section in group]
    studied = ", ".join(results.spec.get("objectives", ())) or "a sweep"
    title = f"{studied} on {results.spec['dataset']}" if results.spec.get("dataset") else studied
    links = " ".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in found)
    body = "\n".join(
        f'<section id="{name}">\n<h2>{escape(heading)}</h2>\n{content}\n</section>' for name, heading, content in found
    )
    page = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title), head=_head(results) + f'\n<nav aria-label="Contents">{links}</nav>', sections=body
    )
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


def _head(results: Results) -> str:
    lines = summary(results)
    lost = {line for line in lines if "did not finish" in line}
    words = "".join(f"<p{tables.css_class('lost' if line in lost else '')}>{escape(line)}</p>" for line in lines)
    facts = [("lanes", str(len(results.lanes)))]
    for key in _FACTS:
        if results.environment.get(key) is not None:
            facts.append((_UNIT.get(key, key), _environment_value(key, results.environment[key])))
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<div class="summary">{words}</div>\n<dl class="facts">{listed}</dl>'


def _figure_sections(figures: Mapping[str, str | os.PathLike[str]]) -> list[tuple[str, str, str]]:
    """Gather figures under their plots; a plot's docstring is its heading and caption."""
    gathered: dict[str, list[str]] = {}
    for name in figures:
        owner = max((plot for plot in PLOTS if name == plot or name.startswith(f"{plot}_")), key=len, default=name)
        gathered.setdefault(owner, []).append(name)
    sections = []
    for owner, names in gathered.items():
        heading, caption = explained(owner)
        content = ""
        for name in names:
            data = pathlib.Path(figures[name]).read_bytes()
            picture = base64.b64encode(data).decode("ascii")
            alt = heading if name == owner else f"{heading}: {name[len(owner) + 1 :].replace('_', ' ')}"
            image = f'<img alt="{escape(alt)}"{_size(data)} src="data:image/png;base64,{picture}">'
            content += f'<div class="picture">{image}</div>\n'
        content = f"<figure>\n{content}<figcaption>{escape(caption)}</figcaption>\n</figure>"
        sections.append((f"figure-{escape(owner)}", heading, content))
    return sections


def _size(png: bytes) -> str:
    """Return the width and height at which letters are as large as the text around, in every figure alike."""
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))  # of the header chunk, IHDR
    return f' width="{round(width / PIXELS_PER_CSS_PIXEL)}" height="{round(height / PIXELS_PER_CSS_PIXEL)}"'


def explained(plot: str) -> tuple[str, str]:
    """Return heading and caption; just the name for a figure of somebody else's, or when Python dropped docstrings."""
    text = (PLOTS[plot].__doc__ if plot in PLOTS else None) or f"{wording.title(plot)}."
    heading, _, caption = text.strip().partition("\n")
    return heading.rstrip("."), " ".join(caption.split())


def _methods(results: Results) -> list[tuple[str, str, str]]:
    table = tables.methods(results)
    if table is None:
        return []
    note = "Median [least, greatest] over all healthy lanes of each: its settings and seeds. Click a heading to sort."
    return [("methods", "Methods", f'<p class="note">{note}</p>{table}')]


def _settings(results: Results) -> list[tuple[str, str, str]]:
    table = tables.settings(results)
    if table is None:
        return []
    note = "Mean ± standard deviation over the healthy lanes of each setting. Click a heading to sort."
    return [("settings", "Settings", f'<p class="note">{note}</p>{table}')]


def _lanes(results: Results) -> list[tuple[str, str, str]]:
    note = (
        "A row is one trained model, as in results.csv; losses are nats per image. Green: the best lane. "
        "Red: did not finish."
    )
    return [("lanes", "Lanes", f'<p class="note">{note}</p>{tables.lanes(results)}')]


def _omitted(results: Results) -> list[tuple[str, str, str]]:
    if not results.omitted:
        return []
    return [("omitted", "Metrics left out", _pairs({wording.title(k): v for k, v in results.omitted.items()}))]


def _spec(results: Results) -> list[tuple[str, str, str]]:
    command = results.environment.get("command")
    if isinstance(command, list | tuple):
        command = " ".join(map(str, command))
    content = f"<pre>{escape(str(command))}</pre>" if command else ""
    return [("spec", "How it was made", content + _pairs({k: _plain(v) for k, v in results.spec.items()}))]


def _environment(results: Results) -> list[tuple[str, str, str]]:
    rest = {k: _environment_value(k, v) for k, v in results.environment.items() if k != "command"}
    return [("environment", "Where it ran", _pairs(rest))] if rest else []


def _pairs(found: Mapping[str, Any]) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(str(v))}</td></tr>' for k, v in found.items())
    return f'<div class="scroll"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def _environment_value(key: str, value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and key in ("wall_seconds", "seconds_per_lane"):
        return wording.duration(float(value))
    if is_number and key == "images_per_second":
        return f"{value:,.0f}".replace(",", " ")
    return _plain(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
