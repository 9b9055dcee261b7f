"""What loggers are told of a sweep while it trains and at its end. Knows no logger by name."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Sequence

from jaxvae.asked.spec import Group, Spec
from jaxvae.loggers import LOGGERS, Final, Telling, watched
from jaxvae.parallel import hosts
from jaxvae.report.showing import pictures_of_lanes
from jaxvae.types import Results


@contextlib.contextmanager
def opened(spec: Spec, groups: Sequence[Group], path: pathlib.Path, say: Callable[[str], None]) -> Iterator[Telling]:
    """Give what tells the loggers that a spec names; of several processes only the first one's tells any."""
    chosen = {name: LOGGERS[name] for name in spec.log_to} if hosts.is_first() else {}
    told = Telling(chosen, path / "logs", lambda: watched(spec, groups, path), say)
    try:
        yield told
    finally:
        told.close()


def finals(results: Results) -> list[Final]:
    """Return what the lanes of a scored sweep have come to."""
    pictures = pictures_of_lanes(results)
    return [
        Final(
            lane=row["lane"],
            step=row["step"],
            status=row["status"],
            scores={n: float(row[n]) for n in results.score_names if row.get(n) is not None and row[n] == row[n]},
            pictures=pictures.get(row["lane"], {}),
        )
        for row in results.lanes
    ]
