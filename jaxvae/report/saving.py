"""Puts table, figures and page on disk, each whole or not at all. Knows no plot by name."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from jaxvae import files, ledger
from jaxvae.arguments import as_path
from jaxvae.report import drawing, moving
from jaxvae.report.page import write_report
from jaxvae.report.plots import PLOTS
from jaxvae.types import Results
from jaxvae.words import cell
from jaxvae.workdir import tables


def save_figures(results: Results, directory: str | os.PathLike[str]) -> dict[str, pathlib.Path]:
    """Draw every plot that applies and write it to `directory` as PNG, and in the formats that the sweep asks for.

    Returns:
        {name: path} in the order of PLOTS; a plot that returns several figures gives PLOT_KEY for each.
    """
    directory = as_path("the folder of figures", directory)
    files.make_folder(directory)
    return drawing.draw_all(list(PLOTS), results, directory)


def write_all(results: Results, directory: pathlib.Path) -> pathlib.Path:
    """Write results.csv, figures/ and report.html of a scored sweep into its folder; return the report's path."""
    directory = as_path("the folder of a report", directory)
    with ledger.part("write"):
        write_table(directory / "results.csv", results.columns, results.lanes)
    with ledger.part("draw"):
        figures = save_figures(results, directory / "figures")
        if any(name.startswith(f"{moving.PLOT}_") for name in figures):  # which plug-ins and tests may have taken away
            figures |= moving.save_all(results, directory / "figures")
    if spent := ledger.seconds():
        results = dataclasses.replace(results, environment=results.environment | {"spent": spent})
    with ledger.part("write"):
        return write_report(results, directory / "report.html", figures)


def write_table(path: pathlib.Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file that a spreadsheet can open: names from elsewhere are text there, and never formulas."""
    safe = ({cell(name): cell(value) for name, value in row.items()} for row in rows)
    tables.Table(path, map(cell, columns)).rewrite(safe)
