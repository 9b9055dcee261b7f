"""What run.json is told once a sweep has been scored: what on, and what it took. Knows no model and no page."""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxvae.evaluate.taken_on import TAKEN_ON, data_of
from jaxvae.types import Results
from jaxvae.workdir import tables
from jaxvae.workdir.records import WorkdirError, read_run

KEPT = (TAKEN_ON, "evaluated_on")


def note(results: Results, path: pathlib.Path, also: Mapping[str, Any] = {}) -> None:
    """Keep what scores were taken on in run.json, for those who compare them; where that is damaged it stays so.

    Args:
        results: what results.csv says.
        path: the folder.
        also: what else to say of the environment.
    """
    with contextlib.suppress(WorkdirError):
        kept = read_run(path)
        before = kept.get("environment", {})
        told = {name: results.environment[name] for name in KEPT if name in results.environment}
        if "evaluated_on" not in told and data_of(told) != data_of(before) is not None:
            told["evaluated_on"] = "images given to score on"
        tables.write_json(path / "run.json", kept | {"environment": before | told | dict(also)})
