"""Time a program's way to its first step, in a process of its own: import, data, compile, run. Prints one JSON line.

python experiments/benchmark/first_step.py '{"objective": "beta_vae", "architecture": "conv", "lanes": 8}'

Started by benchmark.py; $JAX_COMPILATION_CACHE_DIR says where compiled programs are kept.
"""

# ruff: noqa: E402  (nothing may be imported before the clock starts)

import time

started = time.perf_counter()

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import jax

from jaxvae import data
from jaxvae.asked import spec
from jaxvae.parallel import lanes
from jaxvae.training import sweep


def main() -> None:
    """Build one group of lanes as run_sweep.py does, and time each stage in seconds."""
    given = {"dataset": "mini_sprites", "dtype": "float32", "batch_size": 64, "mode": "map", "devices": 0}
    given |= json.loads(sys.argv[1])
    seconds = {"import_s": time.perf_counter() - started}

    def lap(name, begin):
        seconds[name] = time.perf_counter() - begin

    begin = time.perf_counter()
    if given["devices"]:
        jax.config.update("jax_num_cpu_devices", given["devices"])
    jax.devices()
    lap("device_s", begin)

    begin = time.perf_counter()
    train = data.load(given["dataset"], "train", None)
    lap("data_s", begin)

    chosen = spec.Spec(
        objectives=(given["objective"],),
        architectures=(given["architecture"],),
        dtype=given["dtype"],
        batch_size=given["batch_size"],
        sweep=(spec.Axis("seed", tuple(float(lane) for lane in range(given["lanes"]))),),
    )
    group = spec.expand(chosen, train.shape, len(train), train.factor_sizes)[0]
    mesh = lanes.make_mesh(group.num_lanes)
    hypers = lanes.put_lanes(lanes.pad_lanes(group.hypers, lanes.padded_size(group.num_lanes, mesh)), mesh)
    train = lanes.put_everywhere(train, mesh)

    begin = time.perf_counter()
    state = jax.block_until_ready(sweep.compiled_init(group.program, mesh)(hypers))
    lap("init_s", begin)

    one = jax.numpy.int32(1)
    begin = time.perf_counter()
    lowered = sweep.compiled_steps(group.program, mesh, given["mode"]).lower(train, hypers, state, one)
    lap("trace_s", begin)
    begin = time.perf_counter()
    steps = lowered.compile()
    lap("compile_s", begin)
    begin = time.perf_counter()
    jax.block_until_ready(steps(train, hypers, state, one))
    lap("step_s", begin)
    seconds["total_s"] = time.perf_counter() - started
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
