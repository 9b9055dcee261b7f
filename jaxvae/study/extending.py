"""The door from Python to a sweep that is to have more: `Sweep.extend`. Knows no flag."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jaxvae import plugins
from jaxvae.asked import extending, spec
from jaxvae.data import DATASETS
from jaxvae.study import calling
from jaxvae.study.running import Job, checked, completed
from jaxvae.study.sweep import Sweep
from jaxvae.types import InputError
from jaxvae.workdir.records import read_spec

OF_DATA = ("factors", "labels", "factor_names", "eval_data", "eval_factors", "eval_labels")
"""What `train` takes beside data."""


def extend(
    sweep: Sweep, given: Mapping[str, Any], data: Any, others: Mapping[str, Any], say: Callable[[str], None]
) -> Sweep:
    """Return a sweep with more steps, values, objectives or architectures; see `Sweep.extend`.

    Args:
        sweep: what is there.
        given: "steps", "sweep", "objective" and "architecture", None for what stays.
        data: the training set, None where the sweep knows it.
        others: of OF_DATA, fields of a spec and sizes, by name.
        say: prints a line.

    Raises:
        InputError: a lane that is there would change or go, or the data has to be given.
        KeyboardInterrupt: it was interrupted; what was trained is saved.
    """
    beside = {name: others.get(name) for name in OF_DATA}
    settings = {name: value for name, value in others.items() if name not in OF_DATA}
    asked = _asked(spec.from_json(read_spec(sweep.path)), given, settings)
    how = {"resume": None, "overwrite": False, "extend": True, "go_back": False}
    return calling.run_in(_job(sweep, asked, data, beside), sweep.path, how, say)


def _asked(saved: spec.Spec, given: Mapping[str, Any], settings: Mapping[str, Any]) -> spec.Spec:
    fields, sizes = calling.fields_and_sizes(settings, "Sweep.extend")
    fields["sizes"], fields["sweep"] = sizes, calling.as_axes(given["sweep"] or {})
    if given["steps"] is not None:
        fields["steps"] = given["steps"]
    for name in ("objective", "architecture"):
        if given[name] is not None:
            fields[f"{name}s"] = calling.names(given[name])
    asked = extending.more(saved, fields)
    return dataclasses.replace(asked, plugins=plugins.used(asked))


def _job(sweep: Sweep, asked: spec.Spec, data: Any, beside: Mapping[str, Any]) -> Job:
    """Return the job of training what is asked for on the data that a sweep was trained on.

    Raises:
        InputError: that is not known.
    """
    if data is None and any(value is not None for value in beside.values()):
        told = [name for name, value in beside.items() if value is not None]
        raise InputError(f"{', '.join(told)} go with images in memory; give those as data=")
    if data is None and sweep._job is not None:
        return checked(sweep._job._replace(spec=completed(asked), command=calling.in_short(asked)))
    if data is None and asked.dataset not in DATASETS:
        raise InputError(
            f"the sweep in {sweep.path} was trained on images in memory ({asked.dataset!r}), which are not kept; "
            "give them, with what was given beside them, as data="
        )
    known = {"factor_names": beside["factor_names"]}
    given = {"factors": beside["factors"], "labels": beside["labels"]} | known
    others = {"factors": beside["eval_factors"], "labels": beside["eval_labels"]} | known
    return calling.job_on(asked, asked.dataset if data is None else data, given, beside["eval_data"], others)
