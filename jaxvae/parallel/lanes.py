"""Lanes over devices: the mesh, how arrays come onto it and back, how a function of one lane runs on all of them.

Lanes are the first axis of an array. Each device has as many as any other, in their order, and so has each process its
own consecutive ones. Devices do not talk to each other, except those that share a lane (see `parts`). Knows no
loss and no model.
"""

import functools
import io
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvae.parallel import hosts
from jaxvae.parallel.parts import PART

LANE = "lane"  # the mesh axis that lanes are split over


def make_mesh(num_lanes: int, devices: list[jax.Device] | None = None, *, sharing: bool = False) -> Mesh:
    """Return a mesh [lanes, parts] over all devices of all processes, or over as many as there are lanes.

    Every process has a part in it, though some of its lanes then only pad: each must run every program.

    Args:
        num_lanes: how many.
        devices: those to use; None for all.
        sharing: whether CPU devices of a single process that would be left over share the lanes, as many each.
    """
    own: dict[int, list[jax.Device]] = {}
    for device in devices or jax.devices():
        own.setdefault(device.process_index, []).append(device)
    share = max(1, -(-num_lanes // len(own)))
    chosen = [device for process in sorted(own) for device in own[process][:share]]
    parts = 1
    if sharing and len(own) == 1 and chosen[0].platform == "cpu":
        (every,) = own.values()
        parts = len(every) // len(chosen)
        chosen = every[: len(chosen) * parts]
    return Mesh(np.array(chosen).reshape(-1, parts), (LANE, PART))


def pad_lanes(tree: Any, num_lanes: int) -> Any:
    """Repeat the last lane of every host array [R, ...] until there are num_lanes."""

    def pad(leaf):
        return np.concatenate([leaf, np.repeat(leaf[-1:], num_lanes - len(leaf), axis=0)])

    return jax.tree.map(pad, tree)


def padded_size(num_lanes: int, mesh: Mesh) -> int:
    """Return the least number of lanes that divides evenly over the mesh."""
    return -(-num_lanes // mesh.shape[LANE]) * mesh.shape[LANE]


def put_lanes(tree: Any, mesh: Mesh) -> Any:
    """Put host arrays [R, ...] on the mesh, lanes sharded."""
    return _put(tree, NamedSharding(mesh, PartitionSpec(LANE)))


def put_everywhere(tree: Any, mesh: Mesh) -> Any:
    """Put a pytree, which every process has whole, on every device of the mesh whole.

    Devices of a CPU, whose memory is one, share what they are given: nothing that is computed writes to it.
    """
    sharding = NamedSharding(mesh, PartitionSpec())
    if sharding.is_fully_addressable and all(device.platform == "cpu" for device in mesh.devices.flat):
        return jax.device_put(jax.tree.map(np.asarray, tree), sharding, may_alias=True)
    return _put(tree, sharding)


def shapes_on(tree: Any, mesh: Mesh, *axes: str) -> Any:
    """Return the shapes of a pytree that lies, or is to lie, on the mesh, leading axes split as given."""
    where = NamedSharding(mesh, PartitionSpec(*axes))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree)


def mesh_of(array: Any) -> Mesh | None:
    """Return a mesh over the devices that an array [R, ...] lies on; None for one device, or none at all."""
    on = array.devices() if isinstance(array, jax.Array) else ()
    return make_mesh(len(array), [device for device in jax.devices() if device in on]) if len(on) > 1 else None


def spread(array: jax.Array, mesh: Mesh) -> jax.Array:
    """Return lanes [R', ...] split over the mesh, the last one repeated until every device has as many."""
    missing = padded_size(len(array), mesh) - len(array)
    if missing:
        array = jnp.concatenate([array, jnp.repeat(array[-1:], missing, axis=0)])
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec(LANE)))


def _put(tree: Any, sharding: NamedSharding) -> Any:
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put(leaf):  # device_put would send every value round to compare it
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(put, tree)


def fetch(tree: Any, reduce: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Any:
    """Return arrays [R, ...] that are split over lanes as NumPy arrays, whole, in every process.

    Args:
        tree: a pytree of such arrays; all processes must ask for the same.
        reduce: what is made of each array before it leaves its process, lane by lane: [r, ...] -> [r, ...].
    """
    leaves, structure = jax.tree.flatten(tree)
    if hosts.count() == 1:
        return jax.tree.unflatten(structure, [reduce(np.asarray(leaf)) for leaf in leaves])
    file = io.BytesIO()
    for leaf in leaves:
        shards = own_shards(leaf)
        np.save(file, shards[0][0], allow_pickle=False)
        np.save(file, reduce(np.concatenate([own for _, own in shards])), allow_pickle=False)
    files = [io.BytesIO(given) for given in hosts.exchange(file.getvalue())]
    whole = []
    for _ in leaves:
        parts = [(int(np.load(part, allow_pickle=False)), np.load(part, allow_pickle=False)) for part in files]
        whole.append(np.concatenate([own for _, own in sorted(parts, key=lambda part: part[0])]))
    return jax.tree.unflatten(structure, whole)


def own_shards(array: jax.Array) -> list[tuple[int, np.ndarray]]:
    """Return (first lane, lanes [r, ...]) of an array [R, ...] for each device of this process, in the lanes' order.

    Of devices that share lanes only one counts.
    """
    firsts = [shard for shard in array.addressable_shards if shard.replica_id == 0]
    shards = [(shard.index[0].start or 0, np.asarray(shard.data)) for shard in firsts]
    return sorted(shards, key=lambda shard: shard[0])


def over_lanes(function: Callable, mesh: Mesh, mode: str) -> Callable:
    """Lift `function(shared, lane) -> out` for one lane to (shared, lanes [R, ...]) -> out [R, ...].

    Lanes are split over the mesh by `shard_map`, so no collective can appear unless devices share a lane; on each
    device they run side by side (mode "vmap") or one after another (any other mode).
    """

    def on_one_device(shared, lanes):
        if mode == "vmap":
            return jax.vmap(function, in_axes=(None, 0))(shared, lanes)
        return jax.lax.map(functools.partial(function, shared), lanes)

    return split_lanes(on_one_device, mesh)


def split_lanes(function: Callable, mesh: Mesh) -> Callable:
    """Lift `function(shared, lanes [r, ...]) -> out [r, ...]` for the lanes of one device to those of the mesh."""
    split = PartitionSpec(LANE)
    return jax.shard_map(function, mesh=mesh, in_specs=(PartitionSpec(), split), out_specs=split, check_vma=False)


def update_lanes(function: Callable, mesh: Mesh, mode: str) -> Callable:
    """Lift `function(shared, constants, state) -> (state, out)` for one lane to (shared, (constants, state)) [R, ...].

    As `over_lanes`, but lanes that run one after another are replaced where they lie. A map would write all states to
    new memory, which on CPU took a fifth of a call that makes one step of lanes with a large critic.
    """

    def on_one_device(shared, lanes):
        constants, states = lanes
        if mode == "vmap":
            return jax.vmap(function, in_axes=(None, 0, 0))(shared, constants, states)

        def lane(tree, index):
            return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), tree)

        def put(tree, one, index):
            return jax.tree.map(lambda leaf, new: jax.lax.dynamic_update_index_in_dim(leaf, new, index, 0), tree, one)

        def body(index, carry):
            states, outs = carry
            state, out = function(shared, lane(constants, index), lane(states, index))
            return put(states, state, index), put(outs, out, index)

        num_lanes = len(jax.tree.leaves(states)[0])
        one = jax.eval_shape(function, shared, lane(constants, 0), lane(states, 0))[1]
        outs = jax.tree.map(lambda leaf: jnp.zeros((num_lanes, *leaf.shape), leaf.dtype), one)
        return jax.lax.fori_loop(0, num_lanes, body, (states, outs))

    return split_lanes(on_one_device, mesh)
