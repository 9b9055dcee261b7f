"""Turns a finished study of attributes into figures, a table and a page. Knows no model, no data and no judge."""

from jaxvae.report.navigation.page import write_navigation

__all__ = ["write_navigation"]
