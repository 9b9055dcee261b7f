"""history.csv read again: lines that are rows of numbers, and what is said of those that are not. Knows no device."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxvae import files

KEYS = ("lane", "step")
"""The first columns, whole numbers that no two rows share."""

_NUMBER = r"(?:[-+]?(?:[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|inf|nan))?"
_SHOWN = 5


class Logged(NamedTuple):
    """What a history says: the lines that can be read, N of them, in the order of the file."""

    columns: tuple[str, ...]  # the first two are KEYS; () where nothing can be read
    lines: list[str]  # without line ends
    lanes: np.ndarray  # i64[N]
    steps: np.ndarray  # i64[N]
    problem: str  # what could not be read, "" for nothing


NOTHING = Logged((), [], np.zeros(0, np.int64), np.zeros(0, np.int64), "")


def head(path: pathlib.Path) -> tuple[str, ...]:
    """Return the names of the columns of a history, () where it does not say."""
    try:
        return _names(files.read(path).partition(b"\n")[0].decode("utf-8", "replace"))
    except OSError:
        return ()


def _names(line: str) -> tuple[str, ...]:
    names = tuple(line.split(","))
    are_names = names[:2] == KEYS and len(set(names)) == len(names) and all(n and n.isprintable() for n in names)
    return names if are_names else ()


def read(path: pathlib.Path, columns: Sequence[str] = ()) -> Logged:
    """Read a history. A last line that a kill has cut short is left out without a word; nothing is raised.

    Args:
        path: the file; it need not exist.
        columns: what its columns are where its first line does not say.
    """
    try:
        text = files.read(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        return NOTHING._replace(problem=f"{path.name} cannot be read ({error.strerror or error})")
    if not text:
        return NOTHING._replace(problem=f"{path.name} is empty")
    first, *lines = text.split("\n")
    lines = lines[:-1]  # what comes after the last line end is nothing, or a line that is not whole
    named = _names(first)
    problem = "" if named else f"{path.name} does not begin with the names of its columns"
    named = named or tuple(columns)
    if not named:
        return NOTHING._replace(problem=f"{problem}, and none of its {len(lines):,} lines can be read")
    is_row = re.compile(rf"[0-9]{{1,9}},[0-9]{{1,9}}(?:,{_NUMBER}){{{len(named) - 2}}}").fullmatch
    kept = [line for line in lines if is_row(line)]
    # One number after the other: of millions of rows, lists of two texts would take more memory than the file.
    numbers = np.fromiter((int(key) for line in kept for key in line.split(",", 2)[:2]), np.int64).reshape(-1, 2)
    new = np.zeros(len(kept), bool)
    new[np.unique(_key(*numbers.T), return_index=True)[1]] = True
    if len(kept) < len(lines) or not new.all():
        is_new = iter(new.tolist())
        odd = [place for place, line in enumerate(lines, 2) if not is_row(line) or not next(is_new)]
        listed = ", ".join(map(str, odd[:_SHOWN])) + f" and {len(odd) - _SHOWN:,} more" * (len(odd) > _SHOWN)
        lost = f"line{'s' * (len(odd) > 1)} {listed} of {path.name} {'are' if len(odd) > 1 else 'is'} no row of numbers"
        problem = f"{problem}; {lost}" if problem else lost
    return only(Logged(named, kept, *numbers.T, problem), new)


def _key(lanes: np.ndarray, steps: np.ndarray) -> np.ndarray:
    return lanes * 10**9 + steps


def only(logged: Logged, which: np.ndarray) -> Logged:
    """Return the rows that a mask bool[N] is true of."""
    lines = [line for line, wanted in zip(logged.lines, which.tolist(), strict=True) if wanted]
    return logged._replace(lines=lines, lanes=logged.lanes[which], steps=logged.steps[which])


def as_columns(logged: Logged) -> dict[str, np.ndarray]:
    """Return {name: [N]} of all columns: lane and step i64, the others f64 with NaN for an empty cell."""
    if not logged.lines:
        return {}
    filled = re.sub(r",(?=,|$)", ",nan", "\n".join(logged.lines), flags=re.MULTILINE)
    table = np.fromstring(filled.replace("\n", ","), sep=",").reshape(len(logged.lines), -1)
    return dict(zip(logged.columns, table.T.copy(), strict=True)) | {"lane": logged.lanes, "step": logged.steps}


def gone(logged: Logged, log_every: int, last: int, stops: Mapping[int, tuple[int, int]]) -> str:
    """Say which rows a history lacks, "" for none.

    Args:
        logged: the history.
        log_every: steps between its rows.
        last: the step at which training ends, which has a row too.
        stops: {lane: (step of its checkpoint, steps that it has taken, fewer where it has diverged)}.
    """
    due = np.unique([*range(log_every, last + 1, log_every), last])
    before = np.concatenate([[0], due[:-1]])
    expected = [
        _key(np.full(len(own), lane), own)
        for lane, (saved, taken) in stops.items()
        for own in [due[(due <= saved) & (before < taken)]]
    ]
    lacking = np.setdiff1d(np.concatenate([*expected, np.zeros(0, np.int64)]), _key(logged.lanes, logged.steps))
    if not len(lacking):
        return ""
    lanes, steps = np.unique(lacking // 10**9).tolist(), np.unique(lacking % 10**9).tolist()
    return (
        f"{len(lacking):,} rows are gone from history.csv ({_span('lane', lanes)}, {_span('step', steps)}); "
        "the others are kept, and the models are not touched"
    )


def _span(called: str, numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"{called} {numbers[0]:,}"
    whole = len(set(np.diff(numbers).tolist())) == 1
    return (
        f"{called}s {numbers[0]:,} to {numbers[-1]:,}"
        if whole
        else f"{len(numbers):,} {called}s from {numbers[0]:,} on"
    )
