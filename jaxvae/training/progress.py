"""What is said of a wave while it trains. Knows no device."""

import time
from collections.abc import Callable

import numpy as np

from jaxvae.parallel import terminal
from jaxvae.parallel.live import clock


class Progress:
    """One live line on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, steps: int, num_lanes: int, say: Callable[[str], None]):
        self.steps, self.num_lanes, self.say = steps, num_lanes, say
        self.means: dict[str, np.ndarray] = {}
        self._rate = 0.0  # lane-steps a second, smoothed
        self._live = terminal.is_live(say)
        self._shown = time.perf_counter()

    def show(self, step: int, num: int, spent: float, status: np.ndarray) -> None:
        rate = num * self.num_lanes / max(spent, 1e-9)
        self._rate = rate if not self._rate else 0.8 * self._rate + 0.2 * rate
        now = time.perf_counter()
        if now - self._shown < (0.2 if self._live else 10.0) and step < self.steps:
            return
        self._shown = now
        left = (self.steps - step) * self.num_lanes / self._rate
        shown = {n: v for n in ("loss", "nll", "kl") if np.isfinite(v := self.means.get(n, np.nan)).any()}
        losses = "  median " * bool(shown) + " ".join(f"{n} {np.nanmedian(v):.1f}" for n, v in shown.items())
        lost = f"  {(status >= 0).sum()} lost" if (status >= 0).any() else ""
        done = f"step {step:,}/{self.steps:,}  {self._rate:,.0f} lane-steps/s  ETA {clock(left)}"
        line = f"{done}{losses}{lost}"
        if self._live:
            (terminal.line if step == self.steps else terminal.replace)(line)
        else:
            self.say("  " + line)
