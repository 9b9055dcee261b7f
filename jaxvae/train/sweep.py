"""Many runs as one program: vmap or map over lanes, lanes sharded over devices, steps looped inside. Knows no loss."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvae.data.grid import Dataset
from jaxvae.train import step as single
from jaxvae.types import Hypers, Logs, Program, TrainState

LANE = "lane"


def make_mesh(num_lanes: int, devices: list[jax.Device] | None = None) -> Mesh:
    """Return a one-axis mesh over all devices, or over as many as there are lanes."""
    devices = devices or jax.devices()
    return Mesh(np.array(devices[: max(1, min(len(devices), num_lanes))]), (LANE,))


def pad_lanes(tree: Any, num_lanes: int) -> Any:
    """Repeat the last lane of every host array [R, ...] until there are num_lanes."""

    def pad(leaf):
        return np.concatenate([leaf, np.repeat(leaf[-1:], num_lanes - len(leaf), axis=0)])

    return jax.tree.map(pad, tree)


def padded_size(num_lanes: int, mesh: Mesh) -> int:
    """Return the least number of lanes that divides evenly over the mesh."""
    return -(-num_lanes // mesh.size) * mesh.size


def put_lanes(tree: Any, mesh: Mesh) -> Any:
    """Put host arrays [R, ...] on the mesh, lanes sharded."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(LANE)))


def put_everywhere(tree: Any, mesh: Mesh) -> Any:
    """Put a pytree on every device of the mesh whole."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def over_lanes(function: Callable, mesh: Mesh, mode: str) -> Callable:
    """Lift `function(shared, lane) -> out` for one lane to (shared, lanes [R, ...]) -> out [R, ...].

    Lanes are split over the mesh by `shard_map`, so no collective can appear; on each device they run side by side
    (mode "vmap") or one after another (mode "map").
    """

    def on_one_device(shared, lanes):
        if mode == "vmap":
            return jax.vmap(function, in_axes=(None, 0))(shared, lanes)
        return jax.lax.map(functools.partial(function, shared), lanes)

    split = PartitionSpec(LANE)
    return jax.shard_map(on_one_device, mesh=mesh, in_specs=(PartitionSpec(), split), out_specs=split, check_vma=False)


def run_steps(
    program: Program, data: Dataset, hypers: Hypers, state: TrainState, num_steps: jax.Array
) -> tuple[TrainState, Logs]:
    """Take num_steps (traced, so any number runs in the same program) steps of one run.

    Returns the state, and the sums of the logs over the steps that were taken, with their number as "count".
    """

    def body(_, carry):
        state, sums = carry
        new, logs = single.train_step(program, data, hypers, state)
        taken = new.status < 0
        return new, {n: sums[n] + jnp.where(taken, v, 0.0) for n, v in (logs | {"count": jnp.float32(1)}).items()}

    names = log_names(program, data, hypers)
    sums = {name: jnp.float32(0) for name in (*names, "count")}
    return jax.lax.fori_loop(0, num_steps, body, (state, sums))


def log_names(program: Program, data: Dataset, hypers: Hypers) -> tuple[str, ...]:
    """Return the names of what a step logs: those of every objective first, then the terms' own."""

    def logs(data, hypers):
        state = single.init_state(program, hypers)
        return single.loss(state.params, program, data, hypers, state)[1][0]

    first = ("loss", "nll", "kl")
    # What comes out of tracing has lost its order.
    return (*first, *(name for name in jax.eval_shape(logs, data, hypers) if name not in first))


@functools.cache
def compiled_init(program: Program, mesh: Mesh) -> Callable[[Hypers], TrainState]:
    """Return the jitted (hypers [R]) -> state [R]; always by map, so that lanes start alike however they then run."""
    lifted = over_lanes(lambda _, hypers: single.init_state(program, hypers), mesh, "map")
    return jax.jit(lambda hypers: lifted((), hypers))


@functools.cache
def compiled_steps(
    program: Program, mesh: Mesh, mode: str
) -> Callable[[Dataset, Hypers, TrainState, jax.Array], tuple[TrainState, Logs]]:
    """Return the jitted (data, hypers [R], state [R], num_steps) -> (state [R], sums [R]); the state is donated."""

    def one(shared, lane):
        data, num_steps = shared
        hypers, state = lane
        return run_steps(program, data, hypers, state, num_steps)

    lifted = over_lanes(one, mesh, mode)

    def steps(data, hypers, state, num_steps):
        return lifted((data, num_steps), (hypers, state))

    return jax.jit(steps, donate_argnums=2)


def fastest_mode(program: Program, mesh: Mesh, data: Dataset, hypers: Hypers, budget: float = 1.0) -> str:
    """Measure "map" and "vmap" on a few real steps and return the faster; no belief about the hardware enters.

    Both programs are compiled; `budget` is the seconds each may run besides.
    """
    if len(hypers["seed"]) == mesh.size:
        return "map"  # one lane per device: the two are the same program
    seconds = {}
    for mode in ("map", "vmap"):
        steps = compiled_steps(program, mesh, mode)
        state = jax.block_until_ready(steps(data, hypers, compiled_init(program, mesh)(hypers), jnp.int32(1)))[0]
        num, spent = 1, 0.0
        while spent < budget:
            begin = time.perf_counter()
            state, _ = jax.block_until_ready(steps(data, hypers, state, jnp.int32(num)))
            spent = time.perf_counter() - begin
            seconds[mode] = spent / num
            num = max(num + 1, min(10 * num, int(1.2 * budget / seconds[mode])))
    return min(seconds, key=seconds.get)
