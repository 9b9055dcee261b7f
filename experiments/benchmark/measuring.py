"""How things are timed: contestants in turn, the machine's own ceilings, and what the machine is. Knows no model."""

import functools
import importlib.metadata
import os
import pathlib
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvae.parallel.machine import processor

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("jax", "jaxlib", "flax", "optax", "torch", "scikit-learn")


def seconds_of(work: Callable[[], Any], repeats: int = 5, least: float = 0.05) -> float:
    """Return the median seconds of one call of `work`, which must wait for its own result; a first call warms up.

    Calls shorter than `least` are timed several at once.
    """
    work()
    begin = time.perf_counter()
    work()
    calls = max(1, int(least / max(time.perf_counter() - begin, 1e-9)))
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        times.append((time.perf_counter() - begin) / calls)
    return statistics.median(times)


def enough(run: Callable[[int], Any], seconds: float) -> int:
    """Return how many steps `run(number)` must take to last about `seconds`; warms up."""
    run(1)  # compiles
    number = 1
    while True:
        begin = time.perf_counter()
        run(number)
        spent = time.perf_counter() - begin
        if spent >= 0.5 * seconds:
            return max(1, round(number * seconds / spent))
        number = max(number + 1, min(10 * number, round(number * seconds / spent)))


def in_turn(contestants: dict[str, Callable[[int], Any]], seconds: float, repeats: int) -> dict[str, list[float]]:
    """Time contestants A B C A B C … and return the steps per second of each one's turns.

    A machine that slows down for a while then slows all of them: only numbers of one round are divided by each other.

    Args:
        contestants: name -> function(number of steps), which waits for the last one.
        seconds: how long a turn lasts.
        repeats: turns of each.
    """
    numbers = {name: enough(run, seconds) for name, run in contestants.items()}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            begin = time.perf_counter()
            run(numbers[name])
            rates[name].append(numbers[name] / (time.perf_counter() - begin))
    return rates


def calls_in_turn(
    work: dict[Any, Callable[[], Any]], seconds: float, repeats: int, most: float
) -> dict[Any, list[float]]:
    """Time calls that may last milliseconds or minutes, A B C A B C …, and return the seconds of each one's turns.

    Args:
        work: name -> function that waits for its own result.
        seconds: how long a turn lasts at least; short calls are timed several at once.
        repeats: turns of each.
        most: begin no further round after so many seconds. The first round is always whole; a first call that lasts
            longer than a turn is that round's, where what warming up costs is lost in it, others only warm up.
    """
    found: dict[Any, list[float]] = {name: [] for name in work}
    begun, calls, firsts = time.perf_counter(), {}, {}
    for name, call in work.items():
        begin = time.perf_counter()
        call()
        firsts[name] = time.perf_counter() - begin
        calls[name] = max(1, round(seconds / max(firsts[name], 1e-9)))
    for number in range(repeats):
        if number and time.perf_counter() - begun > most:
            break
        for name, call in work.items():
            if number == 0 and firsts[name] > max(10 * seconds, 10.0):
                found[name].append(firsts[name])
                continue
            begin = time.perf_counter()
            for _ in range(calls[name]):
                call()
            found[name].append((time.perf_counter() - begin) / calls[name])
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Return median, least and greatest, to four digits."""
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def matmul_rate(size: int, dtype: str) -> float:
    """Return operations per second of matrix products of random [size, size] operands.

    The better of one product at a time and one on every device at once, since fake devices share one processor.
    """
    rates = []
    for number in {1, len(jax.devices())}:
        mesh = Mesh(np.array(jax.devices()[:number]), ("device",))
        split = PartitionSpec("device")
        keys = jax.random.split(jax.random.key(0))
        a, b = (
            jax.device_put(jax.random.normal(key, (number * size, size)).astype(dtype), NamedSharding(mesh, split))
            for key in keys
        )
        multiply = jax.jit(jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(split, split), out_specs=split))
        seconds = seconds_of(lambda m=multiply, a=a, b=b: m(a, b).block_until_ready())
        rates.append(number * 2 * size**3 / seconds)
    return max(rates)


def bandwidth(megabytes: int) -> float:
    """Return bytes read plus written per second by adding one to an array in place, a share of it on every device.

    In place, because fresh memory costs a CPU page faults, which training does not have.
    """
    mesh = Mesh(np.array(jax.devices()), ("device",))
    split = NamedSharding(mesh, PartitionSpec("device"))
    count = megabytes * 2**20 // 4 // mesh.size * mesh.size
    held = [jax.device_put(np.arange(count, dtype=np.float32), split)]
    add = jax.jit(lambda x: x + 1.0, donate_argnums=0)

    def work():
        held[0] = add(held[0]).block_until_ready()

    return 2 * 4 * count / seconds_of(work)


def ceilings(quick: bool, peer: bool) -> dict[str, float]:
    """Measure this machine's matmul rates (operations/s) and memory bandwidth (bytes/s), each in this process.

    With `peer`, float32 is the better of XLA's and PyTorch's product.
    """
    cpu = jax.default_backend() == "cpu"
    size = 256 if quick else 2048 if cpu else 8192
    found = {f"matmul_{dtype}_flop_per_s": matmul_rate(size, dtype) for dtype in ("float32", "bfloat16")}
    if peer:
        import peer_torch

        theirs = peer_torch.matmul_rate(size, seconds_of, "cpu" if cpu else "cuda")
        found["matmul_float32_flop_per_s"] = max(found["matmul_float32_flop_per_s"], theirs)
    found["bandwidth_bytes_per_s"] = bandwidth(16 if quick else 1024 if cpu else 8192)
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def memory() -> int:
    """Return the bytes that all devices together may use."""
    if jax.default_backend() == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    stats = [device.memory_stats() or {} for device in jax.devices()]
    return sum(found.get("bytes_limit", 2**63) for found in stats)


def in_use() -> int:
    """Return the bytes in use: of the devices, or where those are a CPU's, resident in this process."""
    if jax.default_backend() == "cpu":
        return int(pathlib.Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return sum((device.memory_stats() or {}).get("bytes_in_use", 0) for device in jax.devices())


@functools.cache
def commit() -> str:
    """Return the commit of this checkout, with "+" when files differ from it, or "unknown" outside of one."""

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> dict[str, Any]:
    """Return what every line says of device, versions and commit."""
    device = jax.devices()[0]
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "device": processor() if device.platform == "cpu" else device.device_kind,
        "platform": device.platform,
        "devices": len(jax.devices()),
        "versions": versions,
        "commit": commit(),
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "load": round(os.getloadavg()[0], 2),  # other work on this machine, over the last minute
    }
