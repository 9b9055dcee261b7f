"""What a sweep of a given size takes, on paper: memory, disk, messages, scoring and hours, from measured pieces.

python experiments/benchmark/on_paper.py           measure the pieces of this machine, print the table

Every number of the table is arithmetic of PIECES: those marked "here" are measured now, on this machine and this disk;
the others are quoted with where they were measured. Nothing in the table has been run at its size, but for what a
simulation with tiny networks has (tests/report/test_many_lanes.py counts its work). What is linear here is taken to be
linear there: so many devices train so many times as fast, as lanes never speak to each other.
"""

import contextlib
import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import jax
import numpy as np
from absl import app

import paper_count
from jaxvae.parallel import hosts, lanes
from jaxvae.parallel.machine import processor
from jaxvae.training import memory, sweep
from jaxvae.types import Program
from jaxvae.workdir import logged, tables
from jaxvae.workdir.checkpoint import Checkpoints

DEVICES, LANES = (1, 8, 64), (60, 12_600)
STEPS, LOG_EVERY, SAVE_SECONDS, CHUNK_SECONDS = 300_000, 100, 15.0, 1.0
PROGRAM = Program("conv", "beta_vae", (64, 64, 1), latent_dim=10, batch_size=64)
GATHERS = 2  # a chunk: whether memory has run out, and clocks with signals
GPUS_A_HOST = 8
ROWS = 500_000  # of a history, to measure what one takes

QUOTED = {
    "lane_steps_per_s": (5_560.0, "a device; one NVIDIA H200, 30 lanes of beta_vae, GUIDE"),
    "encode_s": (33 / 60, "a lane, 737,280 images; one NVIDIA H200, 60 lanes, GUIDE"),
    "metrics_s": (2.9 + 1.2 + 0.05 + 0.03 + 0.08 + 0.41 + 0.01 + 0.014, "a lane, eight metrics; two CPU cores, GUIDE"),
    "results_bytes": (2_101_819 / 12_600, "a lane, two metrics; tiny sweep of 12,600 lanes"),
    "run_json_bytes": (3_457_543 / 12_600, "a lane; the same"),
    "page_bytes": (3_218_250, "the page of 12,600 lanes; the same"),
}
"""Name -> value and where it was measured."""


class Pieces(NamedTuple):
    """What is measured, or counted, here."""

    state_bytes: float  # a lane: parameters and Adam's moments
    device_bytes: float  # a lane in training, counted from its layers (paper_count.py): no compiler was asked
    copy_bytes_per_s: float  # of checkpoints: copied and summed while training waits
    write_bytes_per_s: float  # and written to this disk by one process meanwhile
    read_bytes_per_s: float
    row_bytes: float  # of history.csv
    rows_per_s: float  # read
    row_memory: float  # bytes of memory a row while it is read
    exchange_s: float  # one gather of two processes on this machine


def measure() -> Pieces:
    """Measure every piece once; takes about a minute."""
    row_bytes, rows_per_s, row_memory = history_costs()  # first: it asks for the most memory that was ever taken
    mesh = lanes.make_mesh(1)
    shapes = sweep.state_shapes(PROGRAM, mesh, 8)
    state = memory.size_of(shapes) / 8
    counted = paper_count.count(PROGRAM)
    copy, write, read = checkpoint_rates(int(state))
    # Parameters, gradients, moments, and what forward keeps for backward.
    device = counted.state_bytes * 4 / 3 + counted.activation_bytes
    return Pieces(state, device, copy, write, read, row_bytes, rows_per_s, row_memory, exchange_seconds())


def checkpoint_rates(lane_bytes: int, num_lanes: int = 64) -> tuple[float, float, float]:
    """Return bytes per second that checkpoints of a wave are copied, written and read with."""
    state = {"params": np.random.default_rng(0).random((num_lanes, lane_bytes // 4), np.float32)}
    size = state["params"].nbytes
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Checkpoints(pathlib.Path(folder) / "wave", create=True)) as checkpoints,
    ):
        given = jax.tree.map(jax.numpy.asarray, state)
        for step in (0, 1):  # the first compiles
            begin = time.perf_counter()
            checkpoints.save(step, given, {"lanes": num_lanes, "seconds": 0.0})
            copy = size / (time.perf_counter() - begin)
            checkpoints.wait()
        write = size / (time.perf_counter() - begin)
        begin = time.perf_counter()
        checkpoints.restore(1)
        return copy, write, size / (time.perf_counter() - begin)


def history_costs() -> tuple[float, float, float]:
    """Return bytes of a row of history.csv, rows read per second, and bytes of memory that reading takes a row."""
    values = np.random.default_rng(0).normal(50, 5, (ROWS, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "history.csv"
        table = tables.Table(path, ["lane", "step", "loss", "nll", "kl"])
        table.rewrite(
            {"lane": n % 12_600, "step": LOG_EVERY * (1 + n // 12_600)}
            | dict(zip(("loss", "nll", "kl"), (float(f"{v:.7g}") for v in row), strict=True))
            for n, row in enumerate(values)
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        logged.as_columns(logged.read(path))
        rate = ROWS / (time.perf_counter() - begin)
        taken = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        return path.stat().st_size / ROWS, rate, taken / ROWS


def exchange_seconds(rounds: int = 200) -> float:
    """Return the seconds of one gather of two processes that do nothing else."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, __file__, "--exchange", str(port), str(rounds)]
    started = [
        subprocess.Popen([*command, str(number)], env=environment, stdout=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    return float(started[0].communicate()[0].split()[-1]) + 0 * started[1].wait()


def exchange(port: str, rounds: str, number: str) -> None:
    """Be one of the two processes; the first one prints the seconds of a gather."""
    hosts.initialise(f"127.0.0.1:{port}", 2, int(number), say=lambda line: None)
    hosts.gather(0)
    begin = time.perf_counter()
    for _ in range(int(rounds)):
        hosts.gather([100, False, None])
    print((time.perf_counter() - begin) / int(rounds), flush=True)


def row(num_devices: int, num_lanes: int, pieces: Pieces) -> dict[str, float]:
    """Return what a sweep takes on so many devices."""
    quoted = {name: value for name, (value, _) in QUOTED.items()}
    at_once = min(-(-num_lanes // num_devices), memory.OTHER_LANES_A_DEVICE)  # on a device
    waves = -(-num_lanes // (at_once * num_devices))
    seconds = num_lanes * STEPS / (quoted["lane_steps_per_s"] * min(num_devices, num_lanes))
    processes = -(-num_devices // GPUS_A_HOST)
    saved = pieces.state_bytes * at_once * num_devices
    own = saved / processes  # each process writes its own lanes, as fast as one does here
    # Training waits for the copy, for a twentieth of the time at most, and for a write before that has not ended.
    every = max(SAVE_SECONDS, 20 * own / pieces.copy_bytes_per_s, own / pieces.write_bytes_per_s)
    messages = GATHERS * (3 * (processes - 1) + 1 if processes > 1 else 0) / CHUNK_SECONDS
    rows = num_lanes * STEPS / LOG_EVERY
    return {
        "devices": num_devices,
        "lanes": num_lanes,
        "lanes at once on each": at_once,
        "GB on each device": at_once * pieces.device_bytes / 1e9,
        "hours of training": seconds / 3600,
        "GB of each host while it saves": memory.COPIES * own / 1e9,
        "GB a checkpoint": saved / 1e9,
        "s from one to the next": every,
        "s to write it": own / pieces.write_bytes_per_s,
        "s to read it": own / pieces.read_bytes_per_s,
        "TB written in all": saved * max(1.0, seconds / waves / every) * waves / 1e12,
        "GB kept": 2 * pieces.state_bytes * num_lanes / 1e9,
        "host messages/s": messages,
        "million rows of history.csv": rows / 1e6,
        "GB of it": rows * pieces.row_bytes / 1e9,
        "minutes to read it": rows / pieces.rows_per_s / 60,
        "GB of memory to read it": rows * pieces.row_memory / 1e9,
        "minutes of encoding": num_lanes * quoted["encode_s"] / min(num_devices, num_lanes) / 60,
        "hours of metrics on two cores": num_lanes * quoted["metrics_s"] / 3600,
        "MB of results.csv": num_lanes * quoted["results_bytes"] / 1e6,
    }


def markdown(pieces: Pieces) -> str:
    """Return the table, a column for each size, and what it is made of."""
    columns = [row(devices, number, pieces) for number in LANES for devices in DEVICES]
    lines = [
        "| " + " | ".join([name, *(f"{column[name]:,.3g}" if column[name] < 1000 else f"{column[name]:,.0f}"
                                   for column in columns)]) + " |"
        for name in columns[0]
    ]  # fmt: skip
    lines.insert(1, "|" + "---|" * (1 + len(columns)))
    made_of = [f"here ({processor()}): {name} {value:.4g}" for name, value in pieces._asdict().items()]
    made_of += [f"{name} {value:.4g} {where}" for name, (value, where) in QUOTED.items()]
    return "\n".join([*lines, "", *(f"- {line}" for line in made_of)])


def main(_) -> None:
    """Measure and print."""
    pieces = measure()
    print(markdown(pieces))
    print(json.dumps(pieces._asdict()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--exchange"]:
        exchange(*sys.argv[2:])
    else:
        app.run(main)
