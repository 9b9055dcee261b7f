"""One sweep from checked choices to a scored, reported folder. Knows no flags and no notebook."""

import contextlib
import dataclasses
import importlib.metadata
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxvae import data, evaluate, ledger, loggers, plugins, report
from jaxvae.asked import schedules, spec
from jaxvae.data import Dataset, rules, telling
from jaxvae.evaluate import ahead
from jaxvae.lane import seeing
from jaxvae.parallel import compiling, hosts, live, terminal
from jaxvae.parallel.machine import device_name
from jaxvae.study import noting, watching
from jaxvae.study.sweep import Sweep
from jaxvae.training import loop, memory
from jaxvae.types import InputError, Results, in_32_bits, look_up
from jaxvae.version import __version__
from jaxvae.words import printable
from jaxvae.workdir import claiming, plan, tables
from jaxvae.workdir.records import WorkdirError, read_run, read_spec

telling.draw_by(live.line)


class Job(NamedTuple):
    """What is to be done, checked, with nothing compiled yet.

    Attributes:
        spec: every choice, complete.
        groups: the lanes.
        train: the training set.
        evaluation: the set that lanes are scored on; it may be `train` itself.
        evaluated_on: what to call it.
        command: what was asked, as it would be asked again.
    """

    spec: spec.Spec
    groups: list[spec.Group]
    train: Dataset
    evaluation: Dataset
    evaluated_on: str
    command: str


@in_32_bits
def check(chosen: spec.Spec, train: Dataset, evaluation: Dataset, *, evaluated_on: str, command: str) -> Job:
    """Return the job, after everything that can be checked without compiling.

    Of `train`, images that the spec holds out are left out; `evaluation` stays whole.

    Raises:
        InputError: what was given, what is legal, what to change.
    """
    chosen = completed(chosen)
    if chosen.hold_out:
        train = rules.without(train, chosen.hold_out)
        evaluated_on = f"{evaluated_on}, with those that are held out"
    return checked(Job(chosen, [], train, evaluation, evaluated_on, command))


def checked(job: Job) -> Job:
    """Return a job with the lanes of its spec, after everything that can be checked without compiling.

    Raises:
        InputError: what was given, what is legal, what to change.
    """
    groups = spec.expand(job.spec, job.train.shape, len(job.train), job.train.factor_sizes)
    for group in groups:
        seeing.check(job.train, group.hypers)
    evaluate.choose_metrics(job.spec.metrics, job.evaluation)
    return job._replace(groups=groups)


def completed(chosen: spec.Spec) -> spec.Spec:
    """Return the spec with all its sizes, everything that it names of tables of its own known.

    Raises:
        InputError: as `check`.
    """
    try:
        loggers.check(chosen.log_to)
        return spec.complete(chosen)
    except InputError as error:
        raise InputError(f"{error} {plugins.missing(chosen)}".rstrip()) from None


@in_32_bits
def check_named(chosen: spec.Spec, command: str) -> Job:
    """Return the job on the data set that a spec names, loaded.

    Raises:
        InputError: as `check`, or the data set is not there.
    """
    source = look_up("data set", chosen.dataset, data.DATASETS)
    chosen = completed(chosen)  # before images are decoded, which may take minutes
    with ledger.part("data"):
        train = data.load(chosen.dataset, "train", chosen.data_dir)
    if chosen.validation:
        return check_split(chosen, train, "the training split", command)
    split = source.evaluation_split
    with ledger.part("data"):
        evaluation = train if split == "train" else data.load(chosen.dataset, split, chosen.data_dir)
    return check(chosen, train, evaluation, evaluated_on=f"{split} split", command=command)


@in_32_bits
def check_split(chosen: spec.Spec, whole: Dataset, called: str, command: str) -> Job:
    """Return the job on a data set of which the share that a spec says is held out and scored on.

    Raises:
        InputError: as `check`, or no such share can be held out.
    """
    train, held_out = data.split_off(whole, chosen.validation, chosen.seed)
    words = f"{len(held_out):,} images held out of {called}, {chosen.validation:.3g} of it"
    return check(chosen, train, held_out, evaluated_on=words, command=command)


@in_32_bits
def run(
    job: Job,
    path: pathlib.Path,
    *,
    resume: bool | None = None,
    overwrite: bool = False,
    extend: bool = False,
    go_back: bool = False,
    say: Callable[[str], None] = print,
) -> Sweep:
    """Train, score and report a sweep in a folder of its own, going on from what is there.

    Args:
        job: from `check`.
        path: the folder.
        resume: True: there must be something to go on with; False: there must not; None: go on if there is.
        overwrite: delete the sweep that is there, and start anew.
        extend: train what the sweep has and the one that is there has not.
        go_back: go on from the checkpoint before the newest where that one is damaged.
        say: prints a line.

    Raises:
        WorkdirError: the folder is something else, another sweep's, in use, not writable, or has a name that cannot be
            written down.
        loop.Interrupted: a signal asked to stop; all is saved.
        CheckpointError: a checkpoint cannot be read or written.
        InputError: a single lane does not fit into memory, or memory has run out later.
    """
    check_name(path)
    say = terminal.steady(say)
    try:
        how = {"resume": resume, "overwrite": overwrite, "extend": extend}
        with ledger.opened(), live.heard_by(say):
            return _run(job, path, how, go_back, say)
    except Exception as error:
        if isinstance(error, InputError) or not memory.is_exhausted(error):
            raise
        raise InputError(
            f"memory has run out ({memory.reason(error)}); what is trained is saved in {path}: free memory, and the "
            "same command goes on from there"
        ) from error


def _run(job: Job, path: pathlib.Path, how: dict[str, Any], go_back: bool, say: Callable[[str], None]) -> Sweep:
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    with contextlib.ExitStack() as stack:
        if hosts.is_first():
            stack.enter_context(claiming.claim(path, job.spec, **how, say=say))
        job = _with_lanes_there(job, path)
        num_lanes = sum(group.num_lanes for group in job.groups)
        several = len({group.name for group in job.groups})
        programs = f" of {several} programs" if several > 1 else ""
        say(f"{job.train}\n{num_lanes} lane{'s' * (num_lanes > 1)}{programs}, {job.spec.steps:,} steps each -> {path}")
        if added := [group.first for group in job.groups if group.generation]:
            say(f"extended: lanes from {added[0]} on have been added to those that were there")
        if late := schedules.unfinished(job.groups, job.spec.steps):
            say(late)
        if many := schedules.long_history(job.groups, job.spec.steps, job.spec.log_every):
            say(many)
        watch = evaluate.watch(job.spec.metrics, job.evaluation, is_training_set=job.evaluation is job.train)
        others = None if job.evaluation is job.train else job.train
        stack.enter_context(compiling.side_by_side())
        meanwhile = ahead.begin(job.groups, job.spec.metrics, job.evaluation, others)
        if job.spec.hold_out:  # lanes are scored on seen and on unseen images apart, by other programs
            meanwhile = iter(())
        told = stack.enter_context(watching.opened(job.spec, job.groups, path, say))
        how = {"go_back": go_back, "meanwhile": meanwhile, "listener": told}
        trained = loop.fit(job.spec, job.groups, job.train, path, say, watch, **how)
        facts = _environment(job, path, num_lanes, started, trained) | {"evaluated_on": job.evaluated_on}
        results = evaluate.evaluate(Sweep(path), job.evaluation, facts, say, trained_on=others)
        hosts.by_first(publish, results, path, say)
        told.finish(lambda: watching.finals(results))
    return Sweep(path, results=results, data=job.evaluation, job=job)


def _with_lanes_there(job: Job, path: pathlib.Path) -> Job:
    """Return the job with its lanes numbered as the claimed folder has it, where lanes that were there come first.

    Raises:
        InputError: its spec.json is damaged.
    """
    there = spec.from_json(hosts.by_first(read_spec, path))
    claimed = dataclasses.replace(job.spec, **there.generation._asdict(), extends=there.extends)
    return job if claimed == job.spec else checked(job._replace(spec=claimed))


def check_name(path: pathlib.Path) -> None:
    """Refuse the name of a folder that would come out as another one wherever it is said.

    Raises:
        WorkdirError: it is not UTF-8, or holds a line break or another control character.
    """
    if not str(path).isprintable():
        raise WorkdirError(
            f"--workdir={printable(path)} is not a name in UTF-8 without control characters; choose another"
        )


def publish(results: Results, path: pathlib.Path, say: Callable[[str], None]) -> None:
    """Write a scored sweep's table, figures and report into its folder, and print the table."""
    report.write_all(results, path)
    spent = {name: round(seconds, 3) for name, seconds in ledger.seconds().items()}
    # What training took stays there when a sweep is only scored anew.
    noting.note(results, path, {"spent_again" if "scored_again" in results.environment else "spent": spent})
    say(report.terminal_table(results))
    for metric, reason in results.omitted.items():
        say(f"left out: {metric} ({reason})")
    say(report.time_line(spent))
    say(f"report: {path / 'report.html'}")


def _environment(job: Job, path: pathlib.Path, num_lanes: int, started: str, trained: bool) -> dict[str, Any]:
    """Return what the report says of machine, versions and cost; training time is summed over resumed runs.

    A sweep that was only scored now keeps what was said of its training.
    """
    kept = read_run(path)
    by_wave = plan.trained_seconds(kept, path)
    # Where a kill came between training and scoring, what is said there may be of the sweep before it was extended.
    if not trained and "environment" in kept and kept.get("seconds", by_wave) == by_wave:
        again = {"scored_again": started, "scored_again_on": device_name(), "scored_by": job.command}
        return kept["environment"] | again
    seconds = sum(by_wave.values())
    images = num_lanes * job.spec.batch_size * job.spec.steps
    facts = {
        "device": device_name(),
        "device_count": jax.device_count(),
        **({"processes": hosts.count()} if hosts.count() > 1 else {}),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "orbax-checkpoint")},
        "jaxvae": __version__,
        "started": started,
        "wall_seconds": round(seconds, 1),
        "images_per_second": round(images / seconds) if seconds else None,
        "seconds_per_lane": round(seconds / num_lanes, 2),
        "lanes_mode": kept["modes"],
        "command": job.command,
    }
    tables.write_json(path / "run.json", kept | {"seconds": by_wave, "environment": facts})
    return facts
