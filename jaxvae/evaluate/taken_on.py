"""What scores were taken on and by which version, which decides whether tables may be compared. Knows no folder."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxvae.data.grid import Dataset
from jaxvae.version import __version__
from jaxvae.workdir.plan import fingerprint

TAKEN_ON = "scores"
"""What it is called among what a sweep says of its environment."""


def taken_on(
    data: Dataset, computed: Iterable[str], kept: Iterable[str], environment: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is kept of scores: {"data": see plan.fingerprint, "versions": {version of jaxvae: names of scores}}.

    The settings of metrics are constants of a version.

    Args:
        data: the evaluation set.
        computed: names of the scores that were computed now.
        kept: names of those that were there already.
        environment: what the sweep says of where it was trained and scored so far.
    """
    before = versions(environment)
    found: dict[str, list[str]] = {}
    for name, version in [*((name, __version__) for name in computed), *((name, before.get(name)) for name in kept)]:
        if version is not None:
            found.setdefault(version, []).append(name)
    return {"data": fingerprint(data), "versions": found}


def versions(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return {score: the version of jaxvae that computed it}, as far as that was kept."""
    told = environment.get(TAKEN_ON)
    found = told.get("versions") if isinstance(told, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    pairs = ((version, names) for version, names in found.items() if isinstance(names, list))
    return {str(name): str(version) for version, names in pairs for name in names}


def data_of(environment: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fingerprint of the evaluation set; None where an earlier version did not keep it."""
    told = environment.get(TAKEN_ON)
    found = told.get("data") if isinstance(told, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else None
