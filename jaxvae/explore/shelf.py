"""What there is to choose from: lanes with hypers and scores, single models, images, a study. Knows no page."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxvae import latents
from jaxvae.arguments import as_path
from jaxvae.data import DATASETS, load
from jaxvae.data.grid import Dataset
from jaxvae.evaluate.ranking import rank
from jaxvae.evaluate.reopened import evaluation_set
from jaxvae.navigate import opening
from jaxvae.saved.model import Model
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import InputError

TOLD = {"mig": "MIG", "dci_disentanglement": "DCI", "factor_vae": "FactorVAE score", "elbo": "ELBO"}
"""Scores that a choice is told by; the table of lanes has all."""


class Choice(NamedTuple):
    """A model that can be opened."""

    name: str
    facts: dict[str, Any]  # hypers and scores, of a lane that has been scored
    open: Callable[[], Model]

    @property
    def title(self) -> str:
        """The name with the scores that tell most."""
        scores = [(called, self.facts.get(name)) for name, called in TOLD.items()]
        told = [f"{called} {value:.2g}" for called, value in scores if isinstance(value, float)]
        status = str(self.facts.get("status", "ok"))
        return " · ".join([self.name, *([] if status == "ok" else [status]), *told[:3]])


class Shelf(NamedTuple):
    """Everything that a command line names."""

    choices: tuple[Choice, ...]  # the best first
    columns: tuple[str, ...]  # of the table of lanes: hypers that were swept, then scores
    most_latents: int  # that can be turned of any of them
    most_labels: int  # that any of them is told
    data: Dataset | None
    note: str  # why there are no images, "" where there are


def stock(places: Sequence[str], dataset: str | None = None, data_dir: str | os.PathLike[str] | None = None) -> Shelf:
    """Gather what folders hold.

    Args:
        places: folders of sweeps, for all their lanes, FOLDER:NAME=VALUE,… for one; of saved models, of published
            networks.
        dataset: the data set to take images from; by default the one that the first of them was trained on.
        data_dir: the folder of its files, where it is not where it was.

    Raises:
        InputError: a folder holds no model, or the data set that is named cannot be loaded.
    """
    choices: dict[str, Choice] = {}
    columns: dict[str, None] = {}
    if twice := [place for number, place in enumerate(places) if place in places[:number]]:
        raise InputError(f"{twice[0]} was given twice; give each folder once")
    sweeps, programs = [], []
    for place in places:
        folder = as_path("a model", place)
        if (folder / "spec.json").exists():
            sweep = SavedSweep(folder)
            sweeps.append(sweep)
            found, told = _lanes(sweep)
            columns |= dict.fromkeys(told)
            programs += sweep.programs
        else:
            models = opening.open_models([place])
            found = [_single(name, model) for name, model in models.items()]
            programs += [model.program for model in models.values()]
        for choice in found:
            name = choice.name if choice.name not in choices else f"{choice.name} ({place})"
            choices[name] = choice._replace(name=name)
    if not choices:
        raise InputError(f"no folder was given; give {opening.EXAMPLE}")
    data, note = _images(sweeps, next(iter(choices.values())), dataset, data_dir)
    sizes = max(map(latents.number_scored, programs)), max(len(program.label_sizes) for program in programs)
    return Shelf(tuple(choices.values()), tuple(columns), *sizes, data, note)


def _single(name: str, model: Model) -> Choice:
    known = {key: value for key, value in model.about.items() if isinstance(value, (int, float, str))}
    return Choice(name, known, lambda: model)


def _lanes(sweep: SavedSweep) -> tuple[list[Choice], list[str]]:
    """Return a sweep's lanes, the best first and those that did not finish last, and what tells them apart."""
    rows = sweep.results or [lane | {"status": "ok"} for lane in sweep.lanes]
    ranked = rank(rows)[1]
    place = {lane: number for number, lane in enumerate(ranked)}
    last = len(place)
    best_first = sorted(rows, key=lambda row: (row["status"] != "ok", place.get(row["lane"], last), row["lane"]))

    def choice(row: dict[str, Any]) -> Choice:
        def opened() -> Model:
            model = sweep.model(row["lane"])
            model.about["dataset"] = sweep.spec.get("dataset")
            return model

        return Choice(opening.lane_name(sweep, row), row, opened)

    scores = list(rows[0])
    scores = scores[scores.index("status") + 1 :] if sweep.results else []
    return [choice(row) for row in best_first], [*sweep.swept, *scores]


def _images(
    sweeps: Sequence[SavedSweep], first: Choice, dataset: str | None, data_dir: str | os.PathLike[str] | None
) -> tuple[Dataset | None, str]:
    """Return the images to start from, or why there are none; raises InputError only for those that were asked for."""
    name = dataset or (sweeps[0].spec.get("dataset") if sweeps else first.facts.get("dataset"))
    if dataset is not None or (data_dir is not None and name in DATASETS):
        source = DATASETS.get(name)
        return load(name, source.evaluation_split if source else "train", data_dir), ""
    try:
        if sweeps:
            return evaluation_set(sweeps[0]), ""
        if name in DATASETS:
            return load(name, DATASETS[name].evaluation_split), ""
    except InputError as error:
        return None, f"No images: {error}"
    if name:
        return None, f"No images: there is no data set {name!r} here; --dataset= names one"
    return None, "No images: nothing says which data set this was trained on; --dataset= names one"
