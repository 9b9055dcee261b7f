"""A trained sweep opened from its folder, on any machine. Knows no objective and no metric."""

import logging
import os
import pathlib
import re
from typing import Any

import jax
import numpy as np

from jaxvae import models
from jaxvae.arguments import as_path, shortened
from jaxvae.asked.spec import ask_for_plugins
from jaxvae.saved.model import Model
from jaxvae.types import InputError, Networks, Program, fate, in_32_bits
from jaxvae.workdir import logged, recovery, tables
from jaxvae.workdir.checkpoint import CheckpointError, Checkpoints
from jaxvae.workdir.records import WorkdirError, read_spec

LOGGER = logging.getLogger("jaxvae.saved")
"""Says what of a sweep could not be read, and what stands in for it."""


class SavedSweep:
    """A trained sweep on disk. Parameters are read when a lane is asked for.

    Attributes:
        spec: the resolved spec, JSON types.
        lanes: one dictionary a lane: lane, objective, architecture and its hypers.
        results: the rows of results.csv; [] before the sweep has been scored.
        history: columns of history.csv: lane, step, loss, nll, kl, …, equally long arrays.
        trained_on: what tells the training set from others, as training.plan.fingerprint says it.
        environment: where and how it was trained, {} before it has been scored.
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Open a folder.

        Raises:
            WorkdirError: it does not hold a sweep, or spec.json or run.json is damaged and nothing can replace it.
        """
        path = self.path = as_path("the folder of a sweep", path, WorkdirError)
        if not (path / "spec.json").exists():
            raise WorkdirError(f"{path} does not hold a sweep (no spec.json)")
        self.spec = read_spec(path)
        run, problem = recovery.notes(path)
        if run is None:
            raise WorkdirError(f"the sweep in {path} has not started to train yet")
        self._waves = run["waves"]
        self.lanes = [lane for wave in self._waves for lane in wave["lanes"]]
        if [lane["lane"] for lane in self.lanes] != list(range(len(self.lanes))):
            raise WorkdirError(f"{problem}, which do not tell of all lanes; the command that trained it goes on")
        self.trained_on = run["data"]
        self.environment = run.get("environment", {})
        begins = {wave["lanes"][0]["lane"] for wave in self._waves} if self.spec.get("extends") else set()
        self.results, lost = _read_results(path / "results.csv", self.lanes, begins)
        history = logged.read(path / "history.csv")
        self.history = logged.as_columns(history)
        lacking = logged.gone(history, self.spec["log_every"], self.spec["steps"], _stops(self.results))
        for line in (problem, lost, history.problem, lacking):
            if line:
                LOGGER.warning("%s: %s", path, line)

    def __repr__(self) -> str:
        return f"Sweep({self.path}, {len(self.lanes)} lanes, {'scored' if self.results else 'not scored'})"

    @property
    def hyper_names(self) -> tuple[str, ...]:
        """The hypers that some lane has, in the order of the lanes; lr and seed, which all have, last."""
        others = ("lane", "objective", "architecture", "lr", "seed")
        return (*dict.fromkeys(n for lane in self.lanes for n in lane if n not in others), "lr", "seed")

    @property
    def swept(self) -> tuple[str, ...]:
        """The hypers that take more than one value among the lanes that have them."""
        taken = {name: {lane[name] for lane in self.lanes if name in lane} for name in self.hyper_names}
        return tuple(name for name in self.hyper_names if len(taken[name]) > 1)

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs that its lanes are of, each once."""
        return tuple(dict.fromkeys(Program.from_json(wave["program"]) for wave in self._waves))

    @property
    def num_waves(self) -> int:
        """The number of waves, parts of the sweep that were trained (and are read) as a whole."""
        return len(self._waves)

    @in_32_bits
    def wave(self, number: int) -> tuple[Program, list[dict[str, Any]], Networks]:
        """Return (program, lanes, networks [R, …] as NumPy arrays) of a wave; lanes now with step and status.

        Raises:
            InputError: there is no such wave.
            CheckpointError: the wave has not been saved yet, or its checkpoint is damaged.
        """
        if not _is_number_below(number, len(self._waves)):
            raise InputError(f"there is no wave {number!r}; this sweep has waves 0 to {len(self._waves) - 1}")
        wave = self._waves[number]
        directory = self.path / wave["directory"]
        checkpoints = Checkpoints(directory, {"wave": wave, "mode": None, "data": self.trained_on})
        try:
            step = checkpoints.latest()
            if step is None:
                raise CheckpointError(
                    f"{directory} holds no finished checkpoint: those lanes have not been trained yet"
                )
            state, _ = checkpoints.restore(step, only=("params/vae", "model_state", "status"))
        finally:
            checkpoints.close()
        program = Program.from_json(wave["program"])
        lanes = [
            about | {"step": step, "status": fate(status)}
            for about, status in zip(wave["lanes"], state["status"].tolist(), strict=True)
        ]
        vae = state["params"]["vae"]
        # An empty dictionary leaves no trace in a checkpoint.
        networks = Networks({"params": vae["model"], **state.get("model_state", {})}, vae.get("extra", {}))
        return program, lanes, networks

    @in_32_bits
    def model(self, lane: int) -> Model:
        """Return the model of a lane by its number.

        Raises:
            InputError: there is no such lane.
        """
        if not _is_number_below(lane, len(self.lanes)):
            raise InputError(f"there is no lane {lane!r}; this sweep has lanes 0 to {len(self.lanes) - 1}")
        number = next(n for n, wave in enumerate(self._waves) if lane <= wave["lanes"][-1]["lane"])
        program, lanes, networks = self.wave(number)
        try:
            models.parse(program.architecture)
        except InputError as error:
            raise InputError(f"lane {lane} cannot be opened: {error} {self.missing_plugins()}".rstrip()) from None
        index = lane - lanes[0]["lane"]
        scores = next((row for row in self.results if row["lane"] == lane), {})
        return Model(program, jax.tree.map(lambda leaf: leaf[index], networks), scores | lanes[index])

    def missing_plugins(self) -> str:
        """Return what to say where something of the sweep is unknown here; "" when it was trained without plug-ins."""
        return ask_for_plugins(self.spec.get("plugins", ()))

    @in_32_bits
    def select(self, **wanted: Any) -> Model:
        """Return the one model whose lane has these values: `select(beta=4.0, seed=0)`, `select(objective="vae")`.

        Raises:
            InputError: no lane, or more than one, has them; the message lists what there is to choose from.
        """
        known = {name for lane in self.lanes for name in lane}
        if unknown := set(wanted) - known:
            raise InputError(f"lanes have no {', '.join(sorted(unknown))}; they have {', '.join(sorted(known))}")
        wanted = {name: _single(name, value) for name, value in wanted.items()}
        found = [lane for lane in self.lanes if all(_same(lane.get(n), v) for n, v in wanted.items())]
        if len(found) == 1:
            return self.model(found[0]["lane"])
        candidates = found or self.lanes
        varying = {n: sorted({lane.get(n) for lane in candidates}, key=str) for n in sorted(known - {"lane"})}
        choice = "; ".join(f"{n} {', '.join(map(str, v[:12]))}" for n, v in varying.items() if len(v) > 1)
        raise InputError(f"{len(found) or 'no'} lanes have {wanted}; choose among {choice or 'lane numbers'}")


def _is_number_below(value: Any, count: int) -> bool:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole and 0 <= value < count


def _single(name: str, value: Any) -> Any:
    """Return what a lane is to have, a number of NumPy or JAX as one of Python."""
    if not hasattr(value, "item"):
        return value
    if np.size(value) != 1:
        raise InputError(f"{name}={shortened(value)}: a lane has one value of it; give one")
    return value.item()


def _read_results(
    path: pathlib.Path, lanes: list[dict[str, Any]], begins: set[int]
) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of results.csv, [] where there is none or it is damaged, and what is wrong with it.

    Where lanes were added from one of `begins` on it is of those before, until all are scored.
    """
    if not path.exists():
        return [], ""
    damage = f"{path.name} is damaged"
    try:
        rows = tables.read_table(path)
        told = [(row.get("lane"), row.get("objective"), row.get("architecture")) for row in rows]
        if told == [(lane["lane"], lane["objective"], lane["architecture"]) for lane in lanes] and "status" in rows[0]:
            return rows, ""
        before = [(lane["lane"], lane["objective"], lane["architecture"]) for lane in lanes[: len(rows)]]
        if told == before and len(rows) in begins - {0}:
            return [], ""
    except WorkdirError as error:
        damage = str(error)
    return [], f"{damage}, and its scores are left out; rescore() or the command that trained it makes them anew"


def _stops(results: list[dict[str, Any]]) -> dict[int, tuple[int, int]]:
    """Return {lane: (step, steps that it has taken)}, as results.csv says."""
    ends = {row["lane"]: (row.get("step"), re.search(r"step ([0-9]+)", str(row["status"]))) for row in results}
    return {n: (step, int(end[1]) if end else step) for n, (step, end) in ends.items() if isinstance(step, int)}


def _same(value: Any, wanted: Any) -> bool:
    """Compare as a person would: hypers are float32 inside, so 0.1 must find 0.1."""
    if isinstance(value, (int, float)) and isinstance(wanted, (int, float)):
        return bool(np.isclose(value, wanted, rtol=1e-6, atol=0.0))
    return value == wanted
