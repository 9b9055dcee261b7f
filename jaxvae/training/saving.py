"""When a wave that is being trained is saved, and for how long it has been trained. Knows no loop."""

import time

from jaxvae.types import TrainState
from jaxvae.workdir.checkpoint import Checkpoints


class Saver:
    """Says when a checkpoint is due, so that saving takes at most a twentieth of the time, and writes it.

    Args:
        checkpoints: those of the wave.
        num_lanes: its lanes, without those that only pad the devices.
        interval: seconds from one checkpoint to the next, at least.
        seconds: how long it was trained before.
    """

    def __init__(self, checkpoints: Checkpoints, num_lanes: int, interval: float, seconds: float):
        self._checkpoints, self._num_lanes, self._interval = checkpoints, num_lanes, interval
        self._before, self._begin, self._last, self._cost = seconds, time.perf_counter(), time.perf_counter(), 0.0
        self.paused = 0.0  # seconds of this run that were not training

    def seconds(self) -> float:
        """Return how long the wave has been trained, this run and those before."""
        return self._before + time.perf_counter() - self._begin - self.paused

    def pause(self, seconds: float) -> None:
        """Do not count these seconds as training."""
        self.paused += seconds

    def due(self) -> bool:
        """Return whether it is time for a checkpoint."""
        return time.perf_counter() - self._last > max(self._interval, 20 * self._cost)

    def save(self, step: int, state: TrainState, window: dict[str, list[float]]) -> None:
        """Write a checkpoint, in the background.

        Args:
            step: the number to keep it under.
            state: [R, …].
            window: the sums of the history's open window (see history.Window).

        Raises:
            CheckpointError: this or the one before cannot be written.
        """
        begin = time.perf_counter()
        counters = {"step": step, "lanes": self._num_lanes, "seconds": self.seconds(), "window": window}
        self._checkpoints.save(step, state, counters)
        self._last = time.perf_counter()
        self._cost = self._last - begin

    def wait(self) -> None:
        """Return when everything saved is on disk."""
        self._checkpoints.wait()
