"""Weights & Biases, by wandb: a run for each lane, grouped by sweep; offline too (WANDB_MODE). Knows no training.

What was told once cannot be taken back there, so a file beside the runs says what has been told. It is written first:
a row may be lost where everything is killed, but none is told twice. A sweep that goes on takes the same steps to the
same numbers, so that those which are told already need no correction.

Offline, wandb goes on with nothing: it begins a folder each time, and of folders that share an id the one uploaded last
replaces those before. So each is told everything, from the first row on.
"""

import contextlib
import inspect
import io
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

from jaxvae import files
from jaxvae.loggers import growing
from jaxvae.loggers.base import Final, Watched
from jaxvae.types import InputError

PROJECT = "jaxvae"
"""Where no WANDB_PROJECT says another."""

SETTINGS = {
    **dict.fromkeys(("silent", "disable_git", "disable_code", "disable_job_creation"), True),
    **dict.fromkeys(("x_disable_stats", "x_disable_meta", "x_disable_machine_info"), True),
    "console": "off",
    "x_save_requirements": False,
}
"""Of what wandb looks up for every run (packages, git, the machine), nothing: run.json says it once. What a version of
wandb does not know is left out."""


class WeightsAndBiases:
    """Rows as the history of a run, final scores as its summary, pictures one step past the last row."""

    needs = "wandb"

    def __init__(self, folder: pathlib.Path, sweep: Watched):
        self._folder, self._sweep = folder, sweep
        self._lanes = {lane.number: lane for lane in sweep.lanes}
        self._told = folder / "told.csv"
        self._last: dict[int, int] | None = None  # {lane: last step told}
        self._mode = _mode()
        self._is_online = self._mode not in ("offline", "disabled")
        self._runs: dict[int, Any] = {}

    @staticmethod
    def check() -> None:
        """Raise InputError where nobody is logged in, and nothing says that it shall not matter."""
        import wandb

        if _mode() != "online" or "prompt" not in inspect.signature(wandb.login).parameters:
            return  # an earlier version cannot be asked without its asking the user
        if not wandb.login(prompt=False, verify=False):
            raise InputError(
                "--log_to=wandb: nobody is logged in to Weights & Biases; run `wandb login`, set WANDB_API_KEY, or set "
                "WANDB_MODE=offline and upload later with `wandb sync`"
            )

    def begin(self, saved: Mapping[int, int]) -> dict[int, int]:
        """See Logger."""
        if self._last is None:
            files.make_folder(self._folder)
            self._last = self._read() if self._is_online else {}
            if self._last:
                files.replace(self._told, _lines(self._last.items()))
        return self._last

    def rows(self, rows: Sequence[Mapping[str, float]]) -> None:
        """See Logger."""
        self._write_down([(row["lane"], row["step"]) for row in rows])
        for row in rows:
            values = {name: value for name, value in row.items() if name not in ("lane", "step")}
            self._run(row["lane"]).log(values, step=row["step"])

    def finish(self, finals: Sequence[Final]) -> None:
        """See Logger."""
        import wandb

        for final in finals:
            run = self._run(final.lane)
            scores = {f"final/{name}": value for name, value in final.scores.items()}
            run.summary.update(scores | {"status": final.status})
            if final.pictures and self._last.get(final.lane, 0) <= final.step:
                self._write_down([(final.lane, final.step + 1)])
                pictures = {name: wandb.Image(Image.open(io.BytesIO(png))) for name, png in final.pictures.items()}
                run.log(pictures, step=final.step + 1)

    def close(self) -> None:
        """See Logger."""
        for run in self._runs.values():
            run.finish()

    def _read(self) -> dict[int, int]:
        """Return {lane: last step told}."""
        last: dict[int, int] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in files.read(self._told).decode("ascii", "replace").splitlines():
                if found := re.fullmatch("([0-9]{1,9}),([0-9]{1,10})", line):
                    lane, step = map(int, found.groups())
                    last[lane] = max(last.get(lane, 0), step)
        return last

    def _write_down(self, told: Sequence[tuple[int, int]]) -> None:
        self._last |= told
        if self._is_online:
            growing.append(self._told, _lines(told).encode())

    def _run(self, lane: int) -> Any:
        """Return the run of a lane, begun or gone on with when there is something to tell of it."""
        import wandb

        if lane not in self._runs:
            known = self._lanes[lane]
            self._runs[lane] = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                group=f"{self._sweep.name}_{self._sweep.id}",
                name=known.name,
                id=f"{self._sweep.id}_{lane:05d}",
                mode=self._mode,
                resume="allow" if self._is_online else None,
                reinit="create_new",  # many at once
                dir=str(self._folder.parent),  # in which it makes a folder "wandb"
                config=self._sweep.spec | known.hypers,
                settings=wandb.Settings(**{n: v for n, v in SETTINGS.items() if n in wandb.Settings.model_fields}),
            )
        return self._runs[lane]


def _mode() -> str:
    """Return what wandb has been told to do, "online" where nothing was."""
    import wandb

    told = os.environ.get("WANDB_MODE") or getattr(wandb.setup().settings, "mode", None) or "online"
    return {"run": "online", "dryrun": "offline"}.get(told, told)  # as they were called before


def _lines(told: Iterable[tuple[int, int]]) -> str:
    return "".join(f"{lane},{step}\n" for lane, step in told)
