"""What of an objective changes with the step, and is not over when training is. Compiles nothing."""

from collections.abc import Sequence

import numpy as np

from jaxvae import objectives
from jaxvae.asked.spec import Group


def unfinished(groups: Sequence[Group], steps: int) -> str | None:
    """Return one line on the schedules that `steps` updates do not see the end of; None where there is none such."""
    said = dict.fromkeys(line for group in groups for line in _of(group, steps))
    if not said:
        return None
    return f"note: --steps={steps:,} ends before {'; '.join(said)}"


MANY_ROWS = 2_000_000
"""Rows of history.csv, some 40 bytes each, that are read whole whenever a sweep is opened or goes on."""


def long_history(groups: Sequence[Group], steps: int, log_every: int) -> str | None:
    """Return one line where the history of a sweep would be too long to be handy; None where it is not."""
    lanes = sum(group.num_lanes for group in groups)
    rows = lanes * -(-steps // log_every)
    if rows <= MANY_ROWS or steps <= log_every:
        return None
    enough = min(steps, -(-lanes * steps // MANY_ROWS))
    return (
        f"note: with --log_every={log_every} history.csv will have {rows:,} rows, which are read whole whenever the "
        f"sweep is opened or goes on; --log_every={enough} makes it {lanes * -(-steps // enough):,}"
    )


def _of(group: Group, steps: int) -> list[str]:
    objective = objectives.objective(group.program.objective)
    lines = []
    for term in objective.terms:
        if term.schedule is None:
            continue
        own = {}
        for name in term.hypers:
            settled = objective.settled("fixed", term, name)
            own[name] = group.hypers[objective.hyper_name(term, name)] if settled is None else settled
        updates = np.broadcast_to(np.asarray(term.schedule.updates(own), np.float64), group.num_lanes)
        late = updates > steps
        if late.any():
            longest = updates.max()
            lanes = "" if late.all() else f" in {late.sum():,} of {group.num_lanes:,} lanes"
            lines.append(
                f"the schedule of {term.name} in {group.program.objective} does{lanes}: {term.schedule.words} = "
                f"{longest:,.0f} updates, of which it sees {100 * steps / longest:.2g}%"
            )
    return lines
