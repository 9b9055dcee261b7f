"""What every device of a CPU is given whole lies in memory once."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.parallel.lanes import make_mesh, put_everywhere


def test_devices_of_a_cpu_share_what_each_has_whole():
    mesh = make_mesh(4)
    data = {"pixels": jnp.asarray(np.arange(2**16, dtype=np.uint8).reshape(256, -1)), "sizes": np.arange(7)}
    placed = put_everywhere(data, mesh)
    assert len(placed["pixels"].sharding.device_set) == 4 and placed["pixels"].is_fully_replicated
    where = {shard.data.unsafe_buffer_pointer() for shard in placed["pixels"].addressable_shards}
    assert where == {data["pixels"].unsafe_buffer_pointer()}
    jax.tree.map(np.testing.assert_array_equal, placed, data)
    again = put_everywhere(placed, make_mesh(2))
    assert {shard.data.unsafe_buffer_pointer() for shard in again["pixels"].addressable_shards} == where
