"""Texts and tables of a sweep's folder, which survive a kill: whole, or a row at a time. Knows no device.

Of several processes only the first writes; in the others a write does nothing.
"""

import contextlib
import csv
import io
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxvae import files
from jaxvae.parallel import hosts
from jaxvae.workdir.records import WorkdirError


def write_text(path: pathlib.Path, text: str) -> None:
    """Replace a file so that a reader sees the old or the new text, whatever happens in between."""
    if hosts.is_first():
        files.replace(path, text)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Replace a JSON file as a whole."""
    write_text(path, json.dumps(value, indent=2) + "\n")


class Table:
    """A CSV file that grows row by row and can be cut back to an earlier moment."""

    def __init__(self, path: pathlib.Path, columns: Iterable[str]):
        self.path, self.columns = path, list(columns)

    def rewrite(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace all rows at once; None and absent values become empty cells."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())

    def rewrite_lines(self, columns: Sequence[str], lines: Sequence[str]) -> None:
        """Replace all rows at once by rows of numbers as they were written, under some of the columns."""
        if lines and list(columns) != self.columns:
            places = [columns.index(name) if name in columns else None for name in self.columns]
            split = (line.split(",") for line in lines)
            lines = [",".join("" if place is None else cells[place] for place in places) for cells in split]
        write_text(self.path, "".join(f"{line}\n" for line in (",".join(self.columns), *lines)))

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows at the end; a kill can cut the last one short, which `logged.read` forgives."""
        if hosts.is_first():
            text = io.StringIO()
            csv.DictWriter(text, self.columns, restval="", lineterminator="\n").writerows(rows)
            files.append(self.path, text.getvalue())

    def sync(self) -> None:
        """Wait until all rows are on disk."""
        if hosts.is_first():
            files.sync(self.path)


def read_table(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read a CSV file: numbers become int or float, empty cells None; a torn last row is left out.

    Raises:
        WorkdirError: it is missing, or no table.
    """
    try:
        text = files.read(path).decode("utf-8", "replace")
    except OSError as error:
        raise WorkdirError(f"{path} cannot be read ({error.strerror or error})") from None
    whole = text[: text.rfind("\n") + 1]
    try:
        rows = list(csv.DictReader(io.StringIO(whole, newline="")))
    except csv.Error as error:  # stray line ends or NULs, endless cells
        raise WorkdirError(f"{path} is damaged ({str(error).partition(' - ')[0]})") from None
    return [{n: _value(v) for n, v in row.items()} for row in rows if None not in row and None not in row.values()]


def _value(text: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text or None
