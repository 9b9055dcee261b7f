"""Turns finished Results and Navigations into figures, self-contained pages and tables. Knows no model and no flag."""

from jaxvae.report import backend  # noqa: F401  before anything that draws
from jaxvae.report.navigation import write_navigation
from jaxvae.report.notebook import notebook_table
from jaxvae.report.page import explained, write_report
from jaxvae.report.plots import PLOTS
from jaxvae.report.saving import save_figures, write_all
from jaxvae.report.spent import time_line
from jaxvae.report.summary import summary
from jaxvae.report.terminal import terminal_table

__all__ = [
    "PLOTS",
    "explained",
    "notebook_table",
    "save_figures",
    "summary",
    "terminal_table",
    "time_line",
    "write_all",
    "write_navigation",
    "write_report",
]
