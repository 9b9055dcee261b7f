"""Many runs as one program: vmap or map over lanes, lanes sharded over devices, steps looped inside. Knows no loss."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxvae.data.grid import Dataset
from jaxvae.lane import step as single
from jaxvae.parallel import compiling, hosts
from jaxvae.parallel.compiling import Wanted
from jaxvae.parallel.lanes import LANE, over_lanes, shapes_on, update_lanes
from jaxvae.parallel.machine import RUN_ONCE
from jaxvae.types import Hypers, Logs, Program, TrainState, remember


def run_steps(
    program: Program, data: Dataset, hypers: Hypers, state: TrainState, num_steps: jax.Array
) -> tuple[TrainState, Logs]:
    """Take num_steps (traced, so any number runs in the same program) steps of one run.

    Returns the state, and the sums f32[2] of the logs over the steps that were taken, with their number as "count":
    each rounded, and what rounding took from it, so that it does not show how many steps were taken at once.
    """

    def body(_, carry):
        state, sums = carry
        new, logs = single.train_step(program, data, hypers, state)
        taken = new.status < 0
        logs = logs | {"count": jnp.float32(1)}
        return new, {name: _plus(sums[name], jnp.where(taken, value, jnp.float32(0))) for name, value in logs.items()}

    names = log_names(program, data, hypers)
    sums = {name: jnp.zeros(2, jnp.float32) for name in (*names, "count")}
    return jax.lax.fori_loop(0, num_steps, body, (state, sums))


def _plus(total: jax.Array, value: jax.Array) -> jax.Array:
    """Add to a sum f32[2] that is kept with what rounding took from it (Knuth's two-sum, exact for any order of sizes).

    Reference: Knuth, "The Art of Computer Programming", volume 2, section 4.2.2, theorem B.
    """
    rounded = total[0] + value
    own = rounded - total[0]
    lost = (total[0] - (rounded - own)) + (value - own)
    return jnp.stack([rounded, total[1] + jnp.where(jnp.isfinite(lost), lost, 0.0)])


def log_names(program: Program, data: Dataset, hypers: Hypers) -> tuple[str, ...]:
    """Return the names of what a step logs: those of every objective first, then the terms' own."""

    def logs(data, hypers):
        state = single.init_state(program, hypers)
        return single.loss(state.params, program, data, hypers, state)[1][0]

    first = ("loss", "nll", "kl")
    # What comes out of tracing has lost its order.
    return (*first, *(name for name in jax.eval_shape(logs, data, hypers) if name not in first))


@remember
def compiled_init(program: Program, mesh: Mesh) -> Callable[[Hypers], TrainState]:
    """Return the jitted (hypers [R]) -> state [R]; always by map, so that lanes start alike however they then run."""
    lifted = over_lanes(lambda _, hypers: single.init_state(program, hypers), mesh, "map")
    return jax.jit(lambda hypers: lifted((), hypers), compiler_options=RUN_ONCE)


@remember
def compiled_steps(
    program: Program, mesh: Mesh, mode: str
) -> Callable[[Dataset, Hypers, TrainState, jax.Array], tuple[TrainState, Logs]]:
    """Return the jitted (data, hypers [R], state [R], num_steps) -> (state [R], sums [R]); the state is donated."""

    def one(shared, hypers, state):
        data, num_steps = shared
        return run_steps(program, data, hypers, state, num_steps)

    lifted = update_lanes(one, mesh, mode)

    def steps(data, hypers, state, num_steps):
        return lifted((data, num_steps), (hypers, state))

    return jax.jit(steps, donate_argnums=2)


@remember
def state_shapes(program: Program, mesh: Mesh, num_lanes: int) -> TrainState:
    """Return the shapes of the state of num_lanes lanes as `compiled_init` makes them; nothing is allocated."""
    return shapes_on(jax.eval_shape(compiled_init(program, mesh), _hyper_shapes(program, num_lanes)), mesh, LANE)


def steps_for(program: Program, mesh: Mesh, mode: str, num_lanes: int, data: Dataset) -> jax.stages.Compiled:
    """Compile `compiled_steps` for num_lanes lanes and data of this shape, once; nothing is allocated.

    Unlike the jitted function, what comes back can be asked for the memory it takes before it is called.
    """
    return compiling.together([steps_wanted(program, mesh, mode, num_lanes, data)])[0]


def steps_wanted(program: Program, mesh: Mesh, mode: str, num_lanes: int, data: Dataset) -> Wanted:
    """Return what `steps_for` compiles; of the data, only its shapes are kept."""
    data = shapes_on(data, mesh)

    def lower():
        hypers = shapes_on(_hyper_shapes(program, num_lanes), mesh, LANE)
        state = state_shapes(program, mesh, num_lanes)
        num_steps = jax.ShapeDtypeStruct((), np.int32)
        return compiled_steps(program, mesh, mode).lower(data, hypers, state, num_steps)

    return Wanted(("steps", program, mesh, mode, num_lanes, data), lower)


def init_wanted(program: Program, mesh: Mesh, num_lanes: int) -> Wanted:
    """Return `compiled_init` for num_lanes lanes, not compiled yet."""

    def lower():
        return compiled_init(program, mesh).lower(shapes_on(_hyper_shapes(program, num_lanes), mesh, LANE))

    return Wanted(("init", program, mesh, num_lanes), lower)


def _hyper_shapes(program: Program, num_lanes: int) -> Hypers:
    names = single.hyper_defaults(program)
    return {n: jax.ShapeDtypeStruct((num_lanes,), np.uint32 if n == "seed" else np.float32) for n in names}


def seconds_a_step(
    advance: Callable[[TrainState, jax.Array], tuple[TrainState, Logs]], state: TrainState, budget: float = 1.0
) -> float:
    """Measure a compiled (state, num_steps) -> (state, sums) on as many real steps as take `budget` seconds."""
    state, _ = jax.block_until_ready(advance(state, jnp.int32(1)))
    num, spent = 1, 0.0
    while spent < budget:
        begin = time.perf_counter()
        state, _ = jax.block_until_ready(advance(state, jnp.int32(num)))
        spent = max(hosts.gather(time.perf_counter() - begin))  # the slowest process's, so all make the same calls
        seconds = spent / num
        num = max(num + 1, min(10 * num, int(1.2 * budget / seconds)))
    return seconds
