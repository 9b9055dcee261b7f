"""How many lanes are scored at a time: as many as memory allows, and half as many where that was too many.

The codes of R lanes, N images and D latents take R N D 4 bytes, of 32 lanes with 128 latents and 100,000 images 1.6 GB,
and what is worked out of them several times as much. Training, which sees a batch at a time, fits where that does not.
Knows no metric.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from jaxvae import latents
from jaxvae.data.grid import Dataset
from jaxvae.metrics.scoring import default_at_once
from jaxvae.parallel import hosts
from jaxvae.parallel.lanes import LANE, make_mesh
from jaxvae.training import memory
from jaxvae.training.memory import Memory
from jaxvae.training.placing import tightest_process
from jaxvae.types import InputError, Program
from jaxvae.workdir.waves import even_size

COPIES = {"cpu": 1}
"""Of the codes of all lanes that are there at the same time: where lanes are encoded one after another, one."""

OTHER_COPIES = 2

WORK = 6
"""Arrays as large as a lane's codes that its scores are worked out in, for each lane that is scored side by side. As
compiled, MIG takes 1 of them, the FactorVAE score 2.4, SAP 3.5 and the sampled MIG 4.2."""

Found = TypeVar("Found")


def code_bytes(program: Program, data: Dataset, *, with_logvar: bool, each_image: bool = False) -> int:
    """Return the bytes of what is kept of a lane while it is scored: codes, and the losses of single images."""
    return 4 * len(data) * (latents.number_scored(program) * (1 + with_logvar) + 2 * each_image)


def needed(num_lanes: int, code: int) -> Memory:
    """Return what it takes to score lanes side by side whose codes take so many bytes each."""
    mesh = make_mesh(num_lanes, sharing=True)
    platform, a_device = mesh.devices.flat[0].platform, -(-num_lanes // mesh.shape[LANE])
    taken = code * (COPIES.get(platform, OTHER_COPIES) * a_device + WORK * min(default_at_once(mesh), a_device))
    if platform == "cpu":
        return Memory(0, taken * mesh.shape[LANE])
    return Memory(taken, 0)


def convenient(num_lanes: int) -> int:
    """Return how many of so many lanes are best scored at a time where memory allows all.

    On a CPU one a device: more are no faster, and what is compiled for one is there for sweeps of all sizes.
    """
    mesh = make_mesh(num_lanes, sharing=True)
    return mesh.shape[LANE] if mesh.devices.flat[0].platform == "cpu" else num_lanes


def most_at_once(num_lanes: int, code: int) -> int:
    """Return how many of so many lanes can be scored at a time, by prediction; 1 where not even one can."""
    every = hosts.gather(memory.available(make_mesh(num_lanes, sharing=True)))
    room = Memory(*map(min, zip(*every, strict=True)))  # of the process that has least left
    fitting = [size for size in _sizes(num_lanes) if memory.share(needed(size, code), room, memory.MARGIN) <= 1]
    return max(fitting, default=1)


def _sizes(num_lanes: int) -> list[int]:
    """Return the sizes of parts that lanes can be cut into evenly, all of them where those are few."""
    return sorted({even_size(num_lanes, -(-num_lanes // parts)) for parts in range(1, min(num_lanes, 64) + 1)} | {1})


def in_parts(
    num_lanes: int,
    most: int,
    score: Callable[[int, int, int], Found],
    say: Callable[[str], None],
    tick: Callable[[int], None] = lambda num: None,
) -> list[Found]:
    """Score lanes in parts of one size, smaller ones from where memory runs out; return what each part gives.

    Args:
        num_lanes: how many.
        most: the most at a time.
        score: called as (start, stop, size): lanes start … stop-1, filled up to `size` lanes, so that what is compiled
            for one part serves the next.
        say: prints a line.
        tick: called with how many lanes more are scored.

    Raises:
        MemoryError: a single lane is too many, or there are several processes, which cannot be told apart in this.
    """
    found: list[Found] = []
    start, size = 0, even_size(num_lanes, max(1, most))
    while start < num_lanes:
        stop, lacking = min(start + size, num_lanes), None
        try:
            found.append(score(start, stop, size))
        except Exception as error:
            if not memory.is_exhausted(error):
                raise
            lacking = memory.reason(error)
        if lacking is None:
            tick(stop - start)
            start = stop
            continue
        # Only here, past the handler, is what the part had on the devices let go of.
        if size == 1 or hosts.count() > 1:
            raise MemoryError(lacking)
        memory.release()
        size = -(-size // 2)
        say(f"out of memory while scoring ({lacking}): going on with {size} lanes at a time")
    return found


def part_of(tree: Any, start: int, stop: int, size: int) -> Any:
    """Return lanes start … stop-1 of host arrays [R, …], the last one repeated until there are `size`."""
    if stop - start == size:
        return jax.tree.map(lambda leaf: leaf[start:stop], tree)
    rows = np.minimum(np.arange(start, start + size), stop - 1)
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def too_large(code: int, reason: str) -> InputError:
    """Return the error that says what one lane takes to be scored, what there is, and what to change."""
    need, room = tightest_process(needed(1, code), memory.available(make_mesh(1)))
    return InputError(
        f"no memory is left to score a single lane, which takes about {memory.words(need, room)} ({reason}); what is "
        "trained is kept: free memory, or score on fewer images (--validation holds some out), and give the command "
        "again"
    )
