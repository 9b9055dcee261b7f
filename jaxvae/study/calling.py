"""The door from Python: `jaxvae.train`. Knows no flag."""

import contextlib
import dataclasses
import pathlib
import shutil
import signal
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxvae import data as datasets
from jaxvae import ledger, models, plugins
from jaxvae.arguments import as_path, shortened
from jaxvae.asked import axes, spec
from jaxvae.asked.declared import every_size
from jaxvae.data import Dataset
from jaxvae.data.arrays import numbered_as
from jaxvae.parallel import hosts, live, terminal
from jaxvae.study.running import Job, check, check_named, check_split, run
from jaxvae.study.sweep import Sweep
from jaxvae.training import loop
from jaxvae.types import InputError, in_32_bits, look_up

SETTINGS = tuple(
    field.name
    for field in dataclasses.fields(spec.Spec)
    if field.name not in ("dataset", "objectives", "architectures", "sweep", "extends", "sizes", "plugins")
)
"""Fields of a spec that `train` takes by their own names."""


@in_32_bits
def train(
    data: Any = "mini_sprites",
    *,
    objective: str | Sequence[str] = "beta_vae",
    architecture: str | Sequence[str] = "conv",
    sweep: Mapping[str, Iterable[float] | float] | None = None,
    factors: Any = None,
    labels: Any = None,
    factor_names: Sequence[str] | None = None,
    eval_data: Any = None,
    eval_factors: Any = None,
    eval_labels: Any = None,
    workdir: str | pathlib.Path | None = None,
    resume: bool | None = None,
    overwrite: bool = False,
    extend: bool = False,
    resume_from: str = "latest",
    plugins: Sequence[str] | str = (),
    say: Callable[[str], None] | None = print,
    **settings: Any,
) -> Sweep:
    """Train every lane of a grid as one compiled program, score all of them, and return the sweep.

    All that the command line promises holds: the same call goes on from what the workdir holds, more lanes than memory
    allows go in waves, a lane that diverges is frozen and named. Ctrl-C saves and raises KeyboardInterrupt; the same
    call then goes on.

    Args:
        data: the name of a data set (see jaxvae.data.DATASETS), a Dataset, or images in memory: [N, H, W] or
            [N, H, W, C], uint8 or floats in [0, 1].
        objective: one or several, each a name or terms joined by "+"; a comma-separated string will do.
        architecture: likewise.
        sweep: axes of the grid, {"beta": [1, 4], "factor_vae:gamma": [10], "seed": range(3)}; see `jaxvae --list`.
        factors: of images in memory, integers [N, K] from 0: independent generative factors. Values that leave gaps are
            numbered anew (see jaxvae.data.from_arrays).
        labels: of images in memory, integers [N] or [N, K] from 0: classes or attributes; likewise.
        factor_names: K names.
        eval_data: a Dataset or images to score on; by default those that `validation` holds out, else the evaluation
            split of a named data set, else the training set.
        eval_factors, eval_labels: of eval_data in memory; the names are those of `factors`.
        workdir: where everything is kept; None for a temporary folder that goes when the returned sweep does.
        resume: True: there must be something to go on with; False: there must not; None: go on if there is.
        overwrite: delete the sweep that the workdir holds, and start anew.
        extend: the workdir holds a sweep all of whose lanes this one has, too: with fewer steps, values of an axis,
            objectives or architectures. They stay as they are, and what it lacks is trained. See also `Sweep.extend`.
        resume_from: "last_good": where the latest checkpoint is damaged, go on from the one before it.
        plugins: files and modules to run first (see jaxvae.load_plugins).
        say: prints a line; None for silence.
        **settings: fields of a spec by name (steps=, batch_size=, latent_dim=, lr=, likelihood=, dtype=, metrics=,
            hold_out=, validation=, eval_every=, log_to=, lanes=, max_lanes=, figure_format=, …), and sizes that
            objectives and architectures declare (critic_width=, …).

    Raises:
        InputError: what was given, what is legal, what to change; before anything is compiled.
        KeyboardInterrupt: it was interrupted; what was trained is saved, and the message says where.
    """
    heard = live.heard_by(say and terminal.steady(say))
    say = say or (lambda line: None)
    chosen = _spec(objective, architecture, sweep or {}, names(plugins), settings)
    given = {"factors": factors, "labels": labels, "factor_names": factor_names}
    others = {"factors": eval_factors, "labels": eval_labels, "factor_names": factor_names}
    with heard:
        job = job_on(chosen, data, given, eval_data, others)
    look_up("resume_from", resume_from, dict.fromkeys(("latest", "last_good")))
    how = {"resume": resume, "overwrite": overwrite, "extend": extend, "go_back": resume_from == "last_good"}
    if workdir is not None:
        return run_in(job, as_path("workdir", workdir), how, say)
    if hosts.count() > 1:
        raise InputError("several processes train this sweep: give a workdir= on a file system that all of them share")
    path = pathlib.Path(tempfile.mkdtemp(prefix="jaxvae_"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        try:
            found = run_in(job, path, how, say)
        except KeyboardInterrupt:
            stack.pop_all()  # what is saved there is all there is
            raise
        stack.pop_all()
    weakref.finalize(found, shutil.rmtree, path, ignore_errors=True)
    return found


def names(given: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        return tuple(name.strip() for name in given.split(","))
    try:
        return tuple(map(str, given))
    except TypeError:
        raise InputError(
            f"{shortened(given)}: expected a name, several separated by commas, or a sequence of names"
        ) from None


def _plain(name: str, value: Any) -> Any:
    """Return a setting as a value of Python, where it is an array of NumPy or JAX."""
    if not hasattr(value, "item") or isinstance(value, type):
        return tuple(value) if isinstance(value, list) else value
    try:
        return value.item()
    except ValueError:
        raise InputError(f"{name}={shortened(value)}: expected a single value") from None


def _spec(
    objective: str | Sequence[str],
    architecture: str | Sequence[str],
    sweep: Mapping[str, Any],
    to_load: Sequence[str],
    settings: Mapping[str, Any],
) -> spec.Spec:
    loaded = plugins.load(to_load)
    fields, sizes = fields_and_sizes(settings, "train")
    chosen = as_axes(sweep)
    axes.check_meant(chosen, names(objective))
    return spec.Spec(
        objectives=names(objective),
        architectures=names(architecture),
        sweep=chosen,
        sizes=sizes,
        plugins=loaded,
        **fields,
    )


def as_axes(sweep: Mapping[str, Any]) -> tuple[axes.Axis, ...]:
    """Return the axes that a dictionary gives.

    Raises:
        InputError: it is none, or an axis cannot be read.
    """
    if not isinstance(sweep, Mapping):
        raise InputError(f"sweep={sweep!r}: expected a dictionary such as {{'beta': [1, 4], 'seed': range(3)}}")
    return tuple(axes.make_axis(name, values) for name, values in sweep.items())


def fields_and_sizes(settings: Mapping[str, Any], function: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return those settings that are fields of a spec, and those that are sizes.

    Raises:
        InputError: one is neither, or no single value.
    """
    known = dict.fromkeys([*SETTINGS, *every_size()])
    for name in settings:
        look_up(f"argument of {function}", name, known)
    plain = dict(settings)
    if plain.get("metrics") is not None:
        plain["metrics"] = names(plain["metrics"])
    if "log_to" in plain:
        plain["log_to"] = tuple(dict.fromkeys(filter(None, names(plain["log_to"] or ()))))
    plain = {name: _plain(name, value) for name, value in plain.items()}
    fields = {name: value for name, value in plain.items() if name in SETTINGS}
    return fields, {name: value for name, value in plain.items() if name not in SETTINGS}


def job_on(chosen: spec.Spec, data: Any, given: dict[str, Any], eval_data: Any, others: dict[str, Any]) -> Job:
    """Return the job of training a sweep on data as `train` takes it.

    Raises:
        InputError: what was given, what is legal, what to change.
    """
    known = {name for name, value in given.items() if value is not None}
    if chosen.validation and eval_data is not None:
        raise InputError("validation= and eval_data= both say what to score on; leave one out")
    if isinstance(data, str):
        if known:
            raise InputError(f"{', '.join(sorted(known))} go with images in memory; data set {data!r} has its own")
        chosen = dataclasses.replace(chosen, dataset=data)
        if eval_data is None:
            return check_named(_recorded(chosen), in_short(chosen))
        train = datasets.load(data, "train", chosen.data_dir)
    else:
        train = _dataset("data", data, given)
        chosen = dataclasses.replace(chosen, dataset=train.name)
    if chosen.validation:
        return check_split(_recorded(chosen), train, "the images given", in_short(chosen))
    evaluation = train if eval_data is None else _dataset("eval_data", eval_data, others)
    if evaluation.shape != train.shape:
        raise InputError(f"eval_data has images {evaluation.shape}, data has {train.shape}; give images of one shape")
    if evaluation is not train and any(map(models.needs_labels, chosen.architectures)):
        evaluation = numbered_as("eval_data", evaluation, train)  # a model is told numbers, not values
    words = "the images it was trained on" if evaluation is train else "other images than it was trained on"
    return check(_recorded(chosen), train, evaluation, evaluated_on=words, command=in_short(chosen))


def _recorded(chosen: spec.Spec) -> spec.Spec:
    return dataclasses.replace(chosen, plugins=plugins.used(chosen))


def _dataset(argument: str, data: Any, known: dict[str, Any]) -> Dataset:
    """Return a Dataset as it is, or one made of images in memory."""
    if isinstance(data, Dataset):
        beside = [name for name in ("factors", "labels") if known[name] is not None]
        if beside:
            raise InputError(f"{', '.join(beside)} go with images in memory; a Dataset has its own")
        return data
    if argument == "eval_data" and known["factors"] is None and known["labels"] is None:
        known = known | {"factor_names": None}  # those are of the training set
    return datasets.from_arrays(data, **known, where=argument)


def in_short(chosen: spec.Spec) -> str:
    """Return what was asked, in short."""
    axes = ", ".join(map(str, chosen.sweep))
    return f"jaxvae.train({chosen.dataset!r}, objective={','.join(chosen.objectives)!r}, sweep: {axes or 'none'})"


def run_in(job: Job, path: pathlib.Path, how: dict[str, Any], say: Callable[[str], None]) -> Sweep:
    """Run a job in a folder, as `run` does with `how`.

    Raises:
        KeyboardInterrupt: it was interrupted; what was trained is saved.
    """
    try:
        with hosts.as_one(), ledger.opened():
            return run(job, path, **how, say=say)
    except loop.Interrupted as stop:
        if stop.args[0] == signal.SIGINT:
            raise KeyboardInterrupt(f"saved in {path}; the same call with workdir={str(path)!r} goes on") from None
        raise SystemExit(128 + stop.args[0]) from None  # asked to end, not to come back
