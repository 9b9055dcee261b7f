"""What a logger is: an object that hears of the rows of some lanes, and of their ends. Knows no library."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Lane(NamedTuple):
    """A lane as a run of somewhere else."""

    number: int
    name: str  # "lane_00000_beta=1_seed=0": fit for a folder, and the same whenever the sweep goes on
    hypers: dict[str, Any]  # objective, architecture and all numbers


class Watched(NamedTuple):
    """A sweep as a group of runs."""

    name: str
    id: str  # of this very sweep: another one in the same folder, or of the same spec elsewhere, has another
    spec: dict[str, Any]  # JSON types
    lanes: tuple[Lane, ...]


class Final(NamedTuple):
    """What a lane has come to."""

    lane: int
    step: int
    status: str
    scores: dict[str, float]  # those that are numbers
    pictures: dict[str, bytes]  # {"traversals": PNG, "reconstructions": PNG} of a lane on show, {} of others


class Logger(Protocol):
    """Where a sweep is told. Whatever it raises leaves it out from then on, and stops nothing else.

    It may have `needs`, the name of a module that has to be installed, and a static `check()`, which raises InputError
    before anything is compiled.
    """

    def __init__(self, folder: pathlib.Path, sweep: Watched):
        """Know a sweep; nothing is written yet.

        Args:
            folder: WORKDIR/logs/NAME, for what is kept there; it need not exist.
            sweep: the sweep.
        """

    def begin(self, saved: Mapping[int, int]) -> dict[int, int]:
        """Forget rows that the checkpoints do not know, if that can be: those steps are taken, and told, once more.

        It is called before anything is told, and again where training goes back to its checkpoints.

        Args:
            saved: {lane: step of its newest checkpoint}; lanes without one are not in it.

        Returns:
            {lane: last step that it has been told of}; absent for none.
        """

    def rows(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Hear of rows {"lane": …, "step": …, column of history.csv: number, …}, steps of a lane ascending."""

    def finish(self, finals: Sequence[Final]) -> None:
        """Hear what lanes have come to; for each lane as often as the sweep is scored."""

    def close(self) -> None:
        """Hear of no more: training is over, or stopped."""
