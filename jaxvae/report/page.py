"""Writes report.html, the page of a sweep. Knows no matplotlib."""

import os
import pathlib
from collections.abc import Mapping
from html import escape
from typing import Any

from jaxvae.report import choice, document, moving, reading, spent, tables, wording
from jaxvae.report.images import file_name
from jaxvae.report.paletted import paletted
from jaxvae.report.plots import PLOTS
from jaxvae.report.summary import what_was_run
from jaxvae.report.takeaway import takeaway
from jaxvae.types import Results

MAX_NAMED = 4  # of sweeps in a title
OF_SCORES = (
    *("method_comparison", "scores", "trade_off", "losses", "rate_distortion", "seen_and_unseen"),
    *("agreement", "udr"),
)
"""Plots of scores, which stand beside the tables; pictures and curves come after them."""

_FACTS = ("device", "wall_seconds", "images_per_second", "seconds_per_lane")
_UNIT = {"wall_seconds": "wall-clock", "images_per_second": "images/s", "seconds_per_lane": "per lane"}


def write_report(
    results: Results, path: str | os.PathLike[str], figures: Mapping[str, str | os.PathLike[str]]
) -> pathlib.Path:
    """Write the report, atomically: what to take away, then scores, then pictures, then how it was made.

    Args:
        results: the finished sweep, or several.
        path: of the page, usually WORKDIR/report.html.
        figures: {name: path of a PNG, WebP or GIF} as `save_figures` returns them; they are copied into the page.
    """
    of_scores = {name: path for name, path in figures.items() if _owner(name) in OF_SCORES}
    others = {name: path for name, path in figures.items() if name not in of_scores}
    sections = [
        *_sources(results),
        *_methods(results),
        *_settings(results),
        *_figure_sections(of_scores, charts=True),
        *_choice(results),
        *_lanes(results, _pictures(results, figures)),
        *_figure_sections(others),
        *_omitted(results),
        *_spec(results),
        *_spent(results),
        *_environment(results),
    ]
    return document.write(path, _title(results), _head(results), sections)


def _title(results: Results) -> str:
    studied = ", ".join(results.spec.get("objectives", ())) or "a sweep"
    if results.sources:
        shown = ", ".join(results.sources[:MAX_NAMED]) + " …" * (len(results.sources) > MAX_NAMED)
        studied = f"{len(results.sources)} sweeps compared ({shown})"
    return f"{studied} on {results.spec['dataset']}" if results.spec.get("dataset") else studied


def _head(results: Results) -> str:
    lines = takeaway(results)
    facts = [("lanes", str(len(results.lanes)))]
    for key in _FACTS:
        if results.environment.get(key) is not None:
            facts.append((_UNIT.get(key, key), _environment_value(key, results.environment[key])))
    lost = [line for line in lines if "did not finish" in line]
    return document.head(lines, facts, lost=lost, notes=what_was_run(results))


def _owner(figure: str) -> str:
    """Return the plot that a figure is of; a plot may have several."""
    return max((plot for plot in PLOTS if figure == plot or figure.startswith(f"{plot}_")), key=len, default=figure)


def _figure_sections(figures: Mapping[str, str | os.PathLike[str]], *, charts: bool = False) -> list[document.Section]:
    """Gather figures under their plots; a plot's docstring is its heading and caption."""
    gathered: dict[str, list[str]] = {}
    for name in figures:
        gathered.setdefault(_owner(name), []).append(name)
    sections = []
    for owner, names in gathered.items():
        heading, caption = explained(owner)
        pictures = {}
        for name in names:
            part = "" if name == owner else f" ({name[len(owner) + 1 :].replace('_', ' ')})"
            picture = pathlib.Path(figures[name]).read_bytes()
            alt = f"{heading}{part}: {document.first_sentence(caption) or heading}"
            pictures[alt] = paletted(picture) if charts else picture
        if any(name.endswith(moving.MOVING) for name in names):
            caption = f"{caption} {moving.CAPTION}"
        anchors = [f"picture-{name}" for name in names]
        content = document.figure(pictures, caption, anchors=anchors)
        sections.append((f"figure-{escape(owner)}", heading, content))
    return sections


def _pictures(results: Results, figures: Mapping[str, str | os.PathLike[str]]) -> dict[int, str]:
    """Return {number of a lane on show: the anchor of its traversals, or of all reconstructions}."""
    found: dict[int, str] = {}
    for showcase in results.showcases:
        names = (f"traversals_{file_name(showcase.title)}", "reconstructions")
        own = next((name for name in names if name in figures), None)
        if own is not None:
            found.setdefault(showcase.lane, f"picture-{own}")
    return found


def _sources(results: Results) -> list[document.Section]:
    if not results.sources:
        return []
    told = document.pairs(results.spec.get("sweeps", {}))
    notes = "".join(map(document.note, results.spec.get("notes", ())))
    return [("sweeps", "Sweeps compared", told + notes)]


def _choice(results: Results) -> list[document.Section]:
    found = choice.choices(results)
    if found is None:
        return []
    note = (
        "What it would have cost to choose one lane without looking at labels: the score of the best lane less that of "
        "the chosen one. Of lanes that cannot be told apart the one with the lowest number is chosen."
    )
    words = document.paragraph(choice.in_words(found))
    return [("choice", "Choosing without labels", words + tables.choice(results, found) + document.note(note))]


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


def _lanes(results: Results, pictures: Mapping[int, str]) -> list[document.Section]:
    note = (
        "A row is one trained model, as in results.csv; losses are nats per image. Green: the best lane. "
        "Red: did not finish."
    )
    if pictures:
        note += " The numbers of lanes on show lead to their pictures."
    number = len(results.lanes)
    if left_out := wording.left_out(min(number, tables.MAX_ROWS), number, f"lanes, {wording.the_best(results)}"):
        note += f" {left_out}."
    return [("lanes", "Lanes", document.note(note) + tables.lanes(results, pictures))]


def _omitted(results: Results) -> list[document.Section]:
    if not results.omitted:
        return []
    return [("omitted", "Metrics left out", document.pairs({wording.title(k): v for k, v in results.omitted.items()}))]


def _spec(results: Results) -> list[document.Section]:
    command = results.environment.get("command")
    if isinstance(command, list | tuple):
        command = " ".join(map(str, command))
    content = f"<pre>{escape(str(command))}</pre>" if command else ""
    told = {name: value for name, value in results.spec.items() if name not in ("sweeps", "notes")}
    return [("spec", "How it was made", content + document.pairs(told))]


def _spent(results: Results) -> list[document.Section]:
    found = spent.read(results.environment.get("spent"))
    if not found:
        return []
    note = "Of the command that wrote this page, up to writing it; training that was done before is not in it."
    return [("spent", "Where the time went", document.note(note) + spent.table(found))]


def _environment(results: Results) -> list[document.Section]:
    told = results.environment.items()
    rest = {k: _environment_value(k, v) for k, v in told if k not in ("command", "spent", "spent_again", "scores")}
    return [("environment", "Where it ran", document.pairs(rest))] if rest else []


def _environment_value(key: str, value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and key in ("wall_seconds", "seconds_per_lane"):
        return wording.duration(float(value))
    if is_number and key == "images_per_second":
        return f"{value:,.0f}".replace(",", " ")
    return document.plain(value)
