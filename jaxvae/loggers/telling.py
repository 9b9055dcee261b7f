"""Tells loggers what happens to lanes; one that fails is named once, and left out. Knows no logger by name."""

import contextlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxvae import ledger
from jaxvae.loggers.base import Final, Logger, Watched
from jaxvae.words import one_line
from jaxvae.workdir import logged
from jaxvae.workdir.logged import Logged


class Telling:
    """Hears of rows of history.csv as they come, and tells the loggers; nothing that they do is ever an error here.

    Args:
        loggers: name -> what makes one, called as (folder, sweep).
        folder: WORKDIR/logs.
        sweep: what to tell of, called once.
        say: prints a line.
    """

    def __init__(
        self,
        loggers: Mapping[str, Callable[[pathlib.Path, Watched], Logger]],
        folder: pathlib.Path,
        sweep: Callable[[], Watched],
        say: Callable[[str], None],
    ):
        self._makers, self._folder, self._sweep, self._say = dict(loggers), folder, sweep, say
        self._open: dict[str, Logger] = {}
        self._last: dict[str, dict[int, int]] = {}  # name -> {lane: last step told}

    def begin(self, kept: Logged, saved: Mapping[int, int]) -> None:
        """Let loggers forget what checkpoints do not know, and tell them what they lack of what is there.

        Args:
            kept: the rows of history.csv that the checkpoints know.
            saved: {lane: step of its newest checkpoint}, absent for none.
        """
        if self._makers:
            self._make()
        if not self._open:
            return

        def begin(name: str, logger: Logger) -> None:
            last = self._last[name] = dict(logger.begin(saved))
            behind = kept.steps > np.array([last.get(lane, 0) for lane in kept.lanes.tolist()], np.int64)
            if rows := _as_rows(logged.only(kept, behind)):
                self._tell(name, logger, rows)

        self._each(begin)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Tell of new rows, those left out that a logger has been told of already."""
        if self._open and rows:
            self._each(lambda name, logger: self._tell(name, logger, rows))

    def finish(self, finals: Callable[[], Sequence[Final]]) -> None:
        """Tell what lanes have come to; `finals` is called where somebody listens."""
        if self._open and (known := finals()):
            self._each(lambda name, logger: logger.finish(known))

    def close(self) -> None:
        """Tell nothing more."""
        self._each(lambda name, logger: logger.close())
        self._open.clear()

    def _make(self) -> None:
        makers, self._makers = self._makers, {}
        try:
            sweep = self._sweep()
        except Exception as error:
            self._left_out(", ".join(makers), error)
            return
        for name, make in makers.items():
            try:
                self._open[name] = make(self._folder / name, sweep)
            except Exception as error:
                self._left_out(name, error)

    def _tell(self, name: str, logger: Logger, rows: Sequence[Mapping[str, Any]]) -> None:
        last = self._last[name]
        new = [row for row in rows if row["step"] > last.get(row["lane"], 0)]
        if new:
            logger.rows(new)
            last |= {row["lane"]: row["step"] for row in new}

    def _each(self, do: Callable[[str, Logger], None]) -> None:
        with ledger.part("log") if self._open else contextlib.nullcontext():
            for name, logger in list(self._open.items()):
                try:
                    do(name, logger)
                except Exception as error:
                    # Hours of training must not end because somebody who watches is gone.
                    del self._open[name]
                    self._left_out(name, error)

    def _left_out(self, name: str, error: Exception) -> None:
        reason = one_line(error)[:300] or "no reason given"
        self._say(f"--log_to={name} fails and is left out from here on ({type(error).__name__}: {reason})")


def _as_rows(kept: Logged) -> list[dict[str, Any]]:
    """Return rows as they were told when they were new: empty cells left out."""
    columns = logged.as_columns(kept)
    names = [name for name in columns if name not in logged.KEYS]
    rows = []
    for index, (lane, step) in enumerate(zip(kept.lanes.tolist(), kept.steps.tolist(), strict=True)):
        told = {name: float(columns[name][index]) for name in names}
        rows.append({"lane": lane, "step": step} | {name: value for name, value in told.items() if value == value})
    return rows
