"""A sweep that is opened again: what its tables say without its models, and the data of its scores. Knows no plot."""

from typing import Any

import numpy as np

from jaxvae import models
from jaxvae.data import DATASETS, load, rules, split_off
from jaxvae.data.grid import Dataset
from jaxvae.evaluate.encoding import check_labels
from jaxvae.evaluate.ranking import rank
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import InputError, Results, in_32_bits
from jaxvae.workdir.plan import fingerprint
from jaxvae.workdir.records import WorkdirError


def from_table(sweep: SavedSweep) -> Results:
    """Return the results of a sweep that has been scored, as far as results.csv, history.csv and run.json know them.

    There are no showcases, no KL of single latents and no reasons for metrics that were left out.

    Raises:
        InputError: the sweep has not been scored.
    """
    if not sweep.results:
        raise InputError(f"the sweep in {sweep.path} has not been scored yet; sweep.rescore() does so")
    columns = list(sweep.results[0])
    main_score, ranked = rank(sweep.results)
    return Results(
        spec=sweep.spec,
        environment=sweep.environment,
        lanes=sweep.results,
        hyper_names=sweep.hyper_names,
        swept=sweep.swept,
        score_names=tuple(columns[columns.index("status") + 1 :]),
        omitted={},
        history=sweep.history,
        kl_per_latent=np.full((len(sweep.results), 0), np.nan),
        showcases=[],
        main_score=main_score,
        ranked=ranked,
    )


@in_32_bits
def evaluation_set(sweep: SavedSweep) -> Dataset:
    """Load the data set that a sweep was scored on.

    Raises:
        InputError: it was none that has a name, it cannot be loaded, or what is there now is not what the sweep was
            trained on.
    """
    name, share = sweep.spec["dataset"], sweep.spec.get("validation")
    if name not in DATASETS:
        part = f"jaxvae.data.split_off(images, {share:g}, {sweep.spec['seed']})[1]" if share else "them"
        raise InputError(
            f"the sweep in {sweep.path} was trained on images in memory ({name!r}), which are not kept; "
            f"give {part} as data= {sweep.missing_plugins()}".rstrip()
        )
    train, split = load(name, "train", sweep.spec["data_dir"]), DATASETS[name].evaluation_split
    if share:
        train, evaluation = split_off(train, share, sweep.spec["seed"])
    else:
        evaluation = train if split == "train" else load(name, split, sweep.spec["data_dir"])
    seen = rules.without(train, sweep.spec.get("hold_out", ()))
    if sweep.trained_on is not None and fingerprint(seen) != sweep.trained_on:
        raise WorkdirError(
            f"{seen} is not the data that the sweep in {sweep.path} has been trained on; bring that back, or give "
            "what it is to be scored on as data="
        )
    return evaluation


def check_fit(sweep: SavedSweep, data: Any) -> None:
    """Refuse data that the models of a sweep do not take.

    Raises:
        InputError: it is no Dataset, its images have another shape, or a model is told labels that it has not.
    """
    if not isinstance(data, Dataset):
        raise InputError(
            f"data must be a Dataset, as jaxvae.data.load and from_arrays give one, got {type(data).__name__}"
        )
    for program in sweep.programs:
        if data.shape != program.image_shape:
            raise InputError(
                f"{data} has images of shape {data.shape}, and the sweep in {sweep.path} was trained on those of shape "
                f"{program.image_shape}"
            )
        if models.needs_labels(program.architecture):
            check_labels(program, data)
