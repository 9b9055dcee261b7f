"""Writes report.html, the page of a sweep. Knows no matplotlib."""

import os
import pathlib
from collections.abc import Mapping
from html import escape
from typing import Any

from jaxvae.report import document, moving, reading, spent, tables, wording
from jaxvae.report.plots import PLOTS
from jaxvae.report.summary import summary
from jaxvae.types import Results

_FACTS = ("device", "wall_seconds", "images_per_second", "seconds_per_lane")
_UNIT = {"wall_seconds": "wall-clock", "images_per_second": "images/s", "seconds_per_lane": "per lane"}


def write_report(
    results: Results, path: str | os.PathLike[str], figures: Mapping[str, str | os.PathLike[str]]
) -> pathlib.Path:
    """Write the report, atomically.

    Args:
        results: the finished sweep.
        path: of the page, usually WORKDIR/report.html.
        figures: {name: path of a PNG, WebP or GIF} as `save_figures` returns them; they are copied into the page.
    """
    sections = [_figure_sections(figures), _methods(results), _settings(results), _lanes(results), _omitted(results)]
    sections += [_spec(results), _spent(results), _environment(results)]
    studied = ", ".join(results.spec.get("objectives", ())) or "a sweep"
    title = f"{studied} on {results.spec['dataset']}" if results.spec.get("dataset") else studied
    return document.write(path, title, _head(results), [section for group in sections for section in group])


def _head(results: Results) -> str:
    lines = summary(results)
    facts = [("lanes", str(len(results.lanes)))]
    for key in _FACTS:
        if results.environment.get(key) is not None:
            facts.append((_UNIT.get(key, key), _environment_value(key, results.environment[key])))
    return document.head(lines, facts, lost=[line for line in lines if "did not finish" in line])


def _figure_sections(figures: Mapping[str, str | os.PathLike[str]]) -> list[document.Section]:
    """Gather figures under their plots; a plot's docstring is its heading and caption."""
    gathered: dict[str, list[str]] = {}
    for name in figures:
        owner = max((plot for plot in PLOTS if name == plot or name.startswith(f"{plot}_")), key=len, default=name)
        gathered.setdefault(owner, []).append(name)
    sections = []
    for owner, names in gathered.items():
        heading, caption = explained(owner)
        pictures = {}
        for name in names:
            alt = heading if name == owner else f"{heading}: {name[len(owner) + 1 :].replace('_', ' ')}"
            pictures[alt] = pathlib.Path(figures[name]).read_bytes()
        if any(name.endswith(moving.MOVING) for name in names):
            caption = f"{caption} {moving.CAPTION}"
        sections.append((f"figure-{escape(owner)}", heading, document.figure(pictures, caption)))
    return sections


def explained(plot: str) -> tuple[str, str]:
    """Return heading and caption; just the name for a figure of somebody else's, or when Python dropped docstrings."""
    return document.explanation(PLOTS[plot].__doc__ if plot in PLOTS else None, f"{wording.title(plot)}.")


def _methods(results: Results) -> list[document.Section]:
    table = tables.methods(results)
    if table is None:
        return []
    note = "Median [least, greatest] over all healthy lanes of each: its settings and seeds. Click a heading to sort."
    return [("methods", "Methods", document.note(note) + table)]


def _settings(results: Results) -> list[document.Section]:
    table = tables.settings(results)
    if table is None:
        return []
    number = len(reading.groups(results))
    left_out = wording.left_out(min(number, tables.MAX_ROWS), number, f"settings, {wording.the_best(results)}")
    note = "Mean ± standard deviation over the healthy lanes of each setting. Click a heading to sort."
    note += f" {left_out}." if left_out else ""
    return [("settings", "Settings", document.note(note) + table)]


def _lanes(results: Results) -> list[document.Section]:
    note = (
        "A row is one trained model, as in results.csv; losses are nats per image. Green: the best lane. "
        "Red: did not finish."
    )
    number = len(results.lanes)
    if left_out := wording.left_out(min(number, tables.MAX_ROWS), number, f"lanes, {wording.the_best(results)}"):
        note += f" {left_out}."
    return [("lanes", "Lanes", document.note(note) + tables.lanes(results))]


def _omitted(results: Results) -> list[document.Section]:
    if not results.omitted:
        return []
    return [("omitted", "Metrics left out", document.pairs({wording.title(k): v for k, v in results.omitted.items()}))]


def _spec(results: Results) -> list[document.Section]:
    command = results.environment.get("command")
    if isinstance(command, list | tuple):
        command = " ".join(map(str, command))
    content = f"<pre>{escape(str(command))}</pre>" if command else ""
    return [("spec", "How it was made", content + document.pairs(results.spec))]


def _spent(results: Results) -> list[document.Section]:
    found = spent.read(results.environment.get("spent"))
    if not found:
        return []
    note = "Of the command that wrote this page, up to writing it; training that was done before is not in it."
    return [("spent", "Where the time went", document.note(note) + spent.table(found))]


def _environment(results: Results) -> list[document.Section]:
    told = results.environment.items()
    rest = {k: _environment_value(k, v) for k, v in told if k not in ("command", "spent", "spent_again")}
    return [("environment", "Where it ran", document.pairs(rest))] if rest else []


def _environment_value(key: str, value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and key in ("wall_seconds", "seconds_per_lane"):
        return wording.duration(float(value))
    if is_number and key == "images_per_second":
        return f"{value:,.0f}".replace(",", " ")
    return document.plain(value)
