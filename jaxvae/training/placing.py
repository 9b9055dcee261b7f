"""How the lanes of a group run: in which mode and how many at a time, by memory and measurement. Knows no loop."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxvae.data.grid import Dataset
from jaxvae.parallel import compiling, hosts
from jaxvae.parallel.compiling import Wanted
from jaxvae.parallel.lanes import LANE, make_mesh, pad_lanes, padded_size, put_everywhere, put_lanes
from jaxvae.parallel.parts import PART
from jaxvae.training import memory, sweep
from jaxvae.training.memory import Memory
from jaxvae.types import Hypers, InputError, Program, TrainState
from jaxvae.workdir.waves import even_size


class Placed(NamedTuple):
    """A program compiled for some lanes on some devices, with the data there; nothing else is allocated yet."""

    program: Program
    mesh: Mesh
    size: int  # lanes of the program, those that only pad the devices included
    data: Dataset
    init: jax.stages.Compiled  # (hypers [size]) -> state [size]
    steps: jax.stages.Compiled  # (data, hypers [size], state [size], num_steps) -> (state [size], sums [size])
    need: Memory
    room: Memory

    def hypers(self, values: dict[str, np.ndarray]) -> Hypers:
        """Put the numbers of some lanes [R], R <= size, on the devices, padded."""
        return put_lanes(pad_lanes(values, self.size), self.mesh)

    def about(self) -> str:
        """Say in words what it takes and what there is."""
        taken, _ = memory.tightest(self.need, self.room)
        on_device = taken == self.need.device
        lanes = self.size // self.mesh.shape[LANE] if on_device else self.size
        each = " on each device" * (on_device and self.mesh.size > 1)
        return f"memory: {memory.as_text(taken / lanes)} a lane, {memory.words(self.need, self.room)}{each}"


def place(
    program: Program, data: Dataset, num_lanes: int, mode: str, *, margin: float = 0.0, known_to_fit: bool = False
) -> Placed:
    """Compile a program for a number of lanes, and put its data on the devices.

    Args:
        program: what to compile.
        data: the training set.
        num_lanes: how many.
        mode: "map", "vmap" or "split".
        margin: the part of what is free that must stay so.
        known_to_fit: do not ask whether it fits: it did before in this process, whose allocators keep what they have
            freed and make it look taken.

    Raises:
        OutOfMemory: it would not fit.
    """
    memory.release()
    mesh = make_mesh(num_lanes, sharing=mode == "split")
    size = padded_size(num_lanes, mesh)
    data = put_everywhere(data, mesh)
    state = sweep.state_shapes(program, mesh, size)

    def fitting(need: Memory) -> tuple[Memory, Memory]:
        need, room = tightest_process(need, memory.available(mesh))
        if not known_to_fit and memory.share(need, room, margin) > 1:
            raise memory.OutOfMemory(need, room)
        return need, room

    fitting(memory.need(state, mesh))  # compiling takes seconds, and what it would say is known already
    init, steps = compiling.together(_wanted(program, mesh, mode, size, data))
    whole = memory.need(state, mesh, memory.size_of(data), steps)
    return Placed(program, mesh, size, data, init, steps, *fitting(whole))


def begin(program: Program, data: Dataset, num_lanes: int, limit: int, lanes: str) -> None:
    """Begin to compile what `choose` will need for a group of lanes, what there is no memory for left out."""
    size = even_size(num_lanes, limit)
    for mode in worth_trying(lanes, size):
        mesh = make_mesh(size, sharing=mode == "split")
        padded = padded_size(size, mesh)
        need = memory.need(sweep.state_shapes(program, mesh, padded), mesh)
        if memory.share(need, memory.available(mesh), memory.MARGIN) <= 1:
            for wanted in _wanted(program, mesh, mode, padded, data):
                compiling.begin(wanted)


def _wanted(program: Program, mesh: Mesh, mode: str, size: int, data: Dataset) -> list[Wanted]:
    return [sweep.init_wanted(program, mesh, size), sweep.steps_wanted(program, mesh, mode, size, data)]


def choose(
    program: Program,
    data: Dataset,
    hypers: dict[str, np.ndarray],
    lanes: str,
    max_lanes: int | str,
    say: Callable[[str], None],
) -> tuple[str, int]:
    """Return the mode and the number of lanes at a time that get a group trained soonest.

    Every mode gets as many lanes as fit into memory with a margin; which mode is faster is measured on a few real
    steps.

    Args:
        program: the group's.
        data: the training set.
        hypers: name -> [R], of all its lanes.
        lanes: "map", "vmap", "split", or "auto" for the fastest.
        max_lanes: an upper bound, or "auto".
        say: prints a line.

    Raises:
        InputError: not even one lane fits.
    """
    num_lanes = len(hypers["seed"])
    limit = memory.most_lanes(max_lanes, jax.device_count(), jax.default_backend())
    wanted = even_size(num_lanes, limit)
    tried = worth_trying(lanes, wanted)
    sizes: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for mode in tried:
        try:
            sizes[mode], seconds[mode] = _fit(program, data, hypers, mode, limit, measure=len(tried) > 1)
        except memory.OutOfMemory as error:
            lacking = error.need, error.room
    if not sizes:
        raise too_large(program, *lacking)
    mode = min(seconds, key=seconds.get)
    if len(sizes) > 1:
        # Rounding differs between modes, and for lanes side by side with how many there are.
        cut = f" --max_lanes={sizes[mode]}" if mode != "map" and sizes[mode] < num_lanes else ""
        say(
            f"lanes run in mode {mode}, measured fastest of {', '.join(sizes)}; another run may find otherwise, and "
            f"--lanes={mode}{cut} repeats this one bit for bit"
        )
    if sizes[mode] < wanted and max_lanes != "auto":
        say(f"memory allows {sizes[mode]} lanes at a time, fewer than --max_lanes={max_lanes}")
    return mode, sizes[mode]


def worth_trying(lanes: str, num_lanes: int) -> tuple[str, ...]:
    """Return the modes that a group of so many lanes may run in: the one that was asked for, or those to measure."""
    return (lanes,) if lanes != "auto" else modes(num_lanes)


def modes(num_lanes: int) -> tuple[str, ...]:
    """Return the modes worth measuring: those that differ where there are so many lanes."""
    if num_lanes > jax.device_count():
        return ("map", "vmap")
    return ("map", "split") if make_mesh(num_lanes, sharing=True).shape[PART] > 1 else ("map",)


def _fit(
    program: Program, data: Dataset, hypers: dict[str, np.ndarray], mode: str, limit: int, *, measure: bool
) -> tuple[int, float]:
    """Return how many lanes fit at a time in this mode, at most `limit`, and the seconds that a step of one takes.

    Raises:
        OutOfMemory: not even one.
    """
    devices = jax.device_count()
    while True:
        size = even_size(len(hypers["seed"]), limit)
        try:
            placed = together(place, program, data, size, mode, margin=memory.MARGIN)
            if not measure:
                return size, 0.0
            values = placed.hypers({name: numbers[:size] for name, numbers in hypers.items()})
            advance = functools.partial(placed.steps, placed.data, values)
            state = together(_first_step, placed, values, advance)
            compiling.settle()
            return size, sweep.seconds_a_step(advance, state) / size
        except Exception as error:
            if not memory.is_exhausted(error) or (size == 1 and isinstance(error, memory.OutOfMemory)):
                raise
            over = 2.0
            if isinstance(error, memory.OutOfMemory):
                over = memory.share(error.need, error.room, memory.MARGIN)
        # What failed must be let go of before anything smaller is tried.
        placed = values = advance = state = None
        if size == 1:
            raise memory.OutOfMemory(*least(program))
        taken = padded_size(size, make_mesh(size, sharing=mode == "split"))  # lanes that only pad were counted too
        limit = max(1, min(size - 1, int(taken / over)))
        limit -= limit % devices if limit > devices else 0  # lanes that only pad the devices take memory too


def together(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function in every process; where one of them runs out of memory, all do.

    Raises:
        OutOfMemory: it does not fit, by prediction, which all processes share.
        MemoryError: memory has run out in a process.
    """
    made, reason = None, ""
    try:
        made = function(*arguments, **options)
    except memory.OutOfMemory:
        raise
    except Exception as error:
        if not memory.is_exhausted(error):
            raise
        reason = memory.reason(error)
    reasons = [reason for reason in hosts.gather(reason) if reason]
    if reasons:
        made = None
        raise MemoryError(reasons[0])
    return made


def tightest_process(need: Memory, room: Memory) -> tuple[Memory, Memory]:
    """Return what is needed, and what there is, in the process that has least left."""
    pairs = [(Memory(*need), Memory(*room)) for need, room in hosts.gather([need, room])]
    return max(pairs, key=lambda pair: memory.share(*pair))


def _first_step(placed: Placed, values: Hypers, advance: Callable) -> TrainState:
    return jax.block_until_ready(advance(placed.init(values), jnp.int32(1)))[0]


def least(program: Program) -> tuple[Memory, Memory]:
    """Return the least that one lane can take, and what there is."""
    mesh = make_mesh(1)
    return tightest_process(memory.need(sweep.state_shapes(program, mesh, 1), mesh), memory.available(mesh))


def too_large(program: Program, need: Memory, room: Memory) -> InputError:
    """Return the error that says what one lane takes, what there is, and what to change."""
    taken, there = memory.tightest(need, room)
    return InputError(
        f"one lane needs {memory.as_text(taken)} of memory besides the data, and {memory.as_text(there)} are free; "
        f"lower {', '.join(f'--{name}' for name in ('batch_size', 'latent_dim', *program.sizes))}, choose a smaller "
        "--architecture, or free memory"
    )
