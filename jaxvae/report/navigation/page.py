"""Writes faces.html, the page of a study of attributes, its figures and its table. Knows no matplotlib."""

import logging
import os
import pathlib
import re
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from matplotlib.figure import Figure

from jaxvae import files
from jaxvae.arguments import as_path
from jaxvae.navigate import Navigation
from jaxvae.report import document, wording
from jaxvae.report.drawing import save_figure
from jaxvae.report.navigation import charts, matrices, numbers, pictures, reading
from jaxvae.report.navigation.findings import findings
from jaxvae.report.saving import write_table


def write_navigation(results: Navigation, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write figures/*.png, table.csv and faces.html of a finished study into a folder.

    Args:
        results: the study, as `navigate.study` or `navigate.load` return it.
        path: the folder, usually the one that the study is kept in.

    Returns:
        The path of the page, which needs no other file.
    """
    folder = as_path("the folder of a page", path)
    files.make_folder(folder / "figures")
    every = numbers.rows(results)
    write_table(folder / "table.csv", every[0], every)
    draw = _Drawer(results, folder / "figures")
    sections = [
        _edits(results, draw),
        draw.section("matrices", matrices.plot_matrices),
        draw.section("trade_off", charts.plot_trade_off),
        draw.section("smaller", charts.plot_smaller),
        draw.section("selectivity", charts.plot_selectivity),
        draw.section("latents", pictures.plot_latents, photographs=True),
        draw.section("boundaries", charts.plot_boundaries),
        _judged(results),
        draw.section("directions", charts.plot_directions),
        _models(results),
        _cases(results),
        [("spec", "How it was made", document.pairs(results.spec))],
        [("environment", "Where it ran", document.pairs(_environment(results)))],
    ]
    spaces = wording.count(len(results.models), "latent space")
    title = f"Attributes of {results.spec.get('data', 'images')} in {spaces}"
    head = document.head(findings(results), _facts(results))
    return document.write(folder / "faces.html", title, head, [section for group in sections for section in group])


def _facts(results: Navigation) -> list[tuple[str, str]]:
    spec, environment = results.spec, results.environment
    facts = []
    for name, called in (
        ("images_for_classifier", "images for the judge"),
        ("images_for_boundaries", "images for boundaries"),
        ("held_out_images", "held-out images"),
        ("edited_images", "of them edited"),
    ):
        if spec.get(name):
            facts.append((called, f"{spec[name]:,}".replace(",", " ")))
    facts.append(("judge", str(spec.get("scorer", "unknown"))))
    told = results.judge.area
    facts.append(("judge's mean area under ROC", wording.fixed(float(told.mean()), 3)))
    if environment.get("device"):
        facts.append(("device", str(environment["device"])))
    seconds = environment.get("seconds")
    if isinstance(seconds, dict) and seconds:
        facts.append(("wall-clock", wording.duration(float(sum(seconds.values())))))
    return facts


class _Drawer:
    """Draws and keeps figures, each PNG beside the page and inside it."""

    def __init__(self, results: Navigation, folder: pathlib.Path):
        self.results, self.folder = results, folder

    def picture(self, name: str, plot: Callable[..., Any], *arguments: Any) -> dict[str, bytes]:
        """Draw one plot; return {part: PNG}, nothing where the plot does not apply."""
        try:
            drawn = plot(self.results, *arguments)
            parts = {"": drawn} if isinstance(drawn, Figure) else drawn or {}
            saved = {}
            for number, (part, made) in enumerate(parts.items()):
                label = f"{name}_{number + 1}_{_file_name(part)}" if part else name
                saved[part] = save_figure(made, self.folder / f"{label}.png").read_bytes()
            return saved
        except Exception:
            # An hour of edits may stand behind these results; one picture that fails must not cost the others.
            logging.getLogger(__name__).exception("The plot %r failed and is left out of the page.", name)
            return {}

    def section(self, name: str, plot: Callable[..., Any], *, photographs: bool = False) -> list[document.Section]:
        """Draw one plot as a section; its docstring is heading and caption."""
        heading, caption = document.explanation(plot.__doc__, f"{name}.")
        found = self.picture(name, plot)
        if not found:
            return []
        named = {f"{heading}: {part}" if part else heading: png for part, png in found.items()}
        if photographs:  # they are many, and what they are has to be said before
            return [(f"figure-{name}", heading, document.note(caption) + document.figure(named, "", photographs=True))]
        return [(f"figure-{name}", heading, document.figure(named, caption))]


def _file_name(words: str) -> str:
    return re.sub(r"\W+", "_", words.lower()).strip("_") or "part"


def _edits(results: Navigation, draw: _Drawer) -> list[document.Section]:
    """Draw the attributes that are worth a look, and in a fold the others, smaller."""
    heading, caption = document.explanation(pictures.plot_edits.__doc__, "Images moved along attributes.")
    featured = reading.featured(results)
    rest = [number for number in reading.by_selectivity(results).tolist() if number not in featured]
    content = document.note(caption) + document.figure(_rows(results, draw, featured, 2), "", photographs=True)
    others = document.figure(_rows(results, draw, rest, 1), "", photographs=True) if rest else ""
    if others:
        more = escape(wording.count(len(rest), "more attribute"))
        content += f"\n<details><summary>{more}</summary>\n{others}\n</details>"
    return [("figure-edits", heading, content)]


def _rows(results: Navigation, draw: _Drawer, attributes: Iterable[int], num_images: int) -> dict[str, bytes]:
    found = {}
    for number in attributes:
        name = results.attributes[number]
        drawn = draw.picture(f"edits_{number + 1}_{_file_name(name)}", pictures.plot_edits, number, num_images)
        found |= {f"Images moved along {reading.named(name)}": png for png in drawn.values()}
    return found


def _judged(results: Navigation) -> list[document.Section]:
    note = (
        "Every score above is what this judge says, so it is judged itself: area under the ROC curve and balanced "
        "accuracy (of scores above 0) on held-out images and on each model's reconstructions of them; 0 to 1, chance "
        "1/2. Share: of these images that have the attribute. Red: what it cannot tell on some model's reconstructions "
        "(area below 0.6), so that nothing can be said of edits. Click a heading to sort."
    )
    return [("judge", "What the judge can tell", document.note(note) + numbers.judged(results))]


def _models(results: Navigation) -> list[document.Section]:
    note = (
        "Means over the attributes that models are compared by, with 95% intervals over edited images. Reconstruction "
        "and KL: nats per held-out image, lower is better and cheaper. Selectivity: see above. Gap: how far the "
        "attribute is ahead of what moves next most, as a share of its own move; at most 1, below 0 where another "
        "moves more. Leakage: root mean square move of all others, sd of scores, 0 is best. Step: sd of the codes. "
        "Kept: own effect of the conditioned direction at the same step, 1 is all. Found and drift on return: how far "
        "the edited picture, encoded again, has moved along and across the direction, as a share of the step; 1 and 0 "
        "are best. Pixels per sd: root mean square change in units of white for one sd of the score. Steerable: "
        "attributes that reach the target."
    )
    return [("models", "Models", document.note(note) + numbers.models(results))]


def _cases(results: Navigation) -> list[document.Section]:
    note = (
        "A row is an attribute of a model; columns as above, and as in table.csv. Red: unsteerable (no step tried "
        "moves it by the target; scores are at the longest step), or not told by the judge. Click a heading to sort."
    )
    return [("cases", "Attributes of models", document.note(note) + numbers.cases(results))]


def _environment(results: Navigation) -> dict[str, Any]:
    """Return the environment with nested records spread out, and seconds as times."""
    found: dict[str, Any] = {}
    for name, value in results.environment.items():
        if isinstance(value, dict):
            for part, held in value.items():
                timed = name == "seconds" or part == "seconds"
                found[f"{name}: {part}"] = wording.duration(float(held)) if timed else held
        elif value is not None:
            found[name] = value
    return found
