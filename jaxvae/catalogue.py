"""All there is to choose from, in words, read off the declarations themselves. Knows no flag."""

import inspect
import textwrap
from collections.abc import Callable, Iterable

from jaxvae import data, metrics, models, objectives
from jaxvae.lane.step import RUN_NUMBERS
from jaxvae.loggers import LOGGERS
from jaxvae.metrics import listing
from jaxvae.report.plots import PLOTS
from jaxvae.types import Hyper, Size

WIDTH = 120


def catalogue() -> str:
    """Return every objective, term, architecture, likelihood, data set, metric, plot and logger with its numbers and
    ranges.
    """
    presets = [_entry(name, *_terms(one), numbers=one.numbers) for name, one in objectives.OBJECTIVES.items()]
    terms = [
        _entry(name, one.reference, numbers=one.numbers, sizes=one.sizes, remarks=_remarks(one))
        for name, one in objectives.TERMS.items()
    ]
    architectures = [
        *(_entry(name, _first_line(one.build), sizes=one.sizes) for name, one in models.ARCHITECTURES.items()),
        *(_entry(f"{name}+…", _first_line(one)) for name, one in models.MODIFIERS.items()),
    ]
    sections = {
        "Numbers of every run": [*_numbers(RUN_NUMBERS)],
        "Objectives": presets,
        "Terms, joined by + (exactly one that says how the KL is treated)": terms,
        "Architectures": architectures,
        "Likelihoods": [_entry(name, _first_line(x.nll), numbers=x.numbers) for name, x in models.LIKELIHOODS.items()],
        "Data sets": [_entry(name, source.description, source.obtain) for name, source in data.DATASETS.items()],
        "Metrics": [listing.table(metrics.METRICS)],
        "Plots": [_entry(name, _first_line(plot)) for name, plot in PLOTS.items()],
        "Loggers, of --log_to": [_entry(name, _first_line(logger)) for name, logger in LOGGERS.items()],
    }
    return "\n\n".join("\n".join([heading, "─" * WIDTH, *entries]) for heading, entries in sections.items())


def _entry(
    name: str,
    *lines: str,
    numbers: Iterable[Hyper] = (),
    sizes: Iterable[Size] = (),
    remarks: Iterable[str] = (),
) -> str:
    written = [name, *(line for text in (*lines, *remarks) for line in _wrapped(text, "    "))]
    return "\n".join([*written, *_numbers(numbers), *(_number(f"--{s.name}", s) for s in sizes)])


def _numbers(numbers: Iterable[Hyper]) -> list[str]:
    return [_number(number.name, number) for number in numbers]


def _number(name: str, number: Hyper | Size) -> str:
    default = number.default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else f"{default:g}"
    return "\n".join(_wrapped(f"{name} = {shown}: {number.meaning} ({number.range.words})", "      "))


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "    ")


def _terms(objective: objectives.Objective) -> tuple[str, ...]:
    joined = " + ".join(term.name for term in objective.terms)
    fixed = ", ".join(f"{name} = {value:g}" for name, value in objective.fixed.items())
    return (f"{joined}{f', with {fixed}' if fixed else ''}",)


def _remarks(term: objectives.Term) -> list[str]:
    found = [
        *(["says how the KL is treated"] if term.is_prior_term else []),
        *(["needs labels"] if term.needs_labels else []),
        *(["needs a flat code"] if term.needs_flat else []),
        *([f"needs batches of {term.min_batch} images"] if term.min_batch > 1 else []),
        *([f"needs {term.min_latents} latents"] if term.min_latents > 1 else []),
    ]
    return ["; ".join(found)] if found else []


def _first_line(function: Callable) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]
