"""How much memory a wave of lanes takes and how much there is. Knows no architecture and no loop."""

import contextlib
import ctypes
import errno
import gc
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from jaxvae.parallel.lanes import LANE

MARGIN = 1 / 8
"""The part of what is free that a new wave leaves alone: for compilers, for fragments, for what others may take."""

COPIES = 4
"""Host copies of a wave's state while checkpoints are written: the one on its way to disk, the next one waiting for it,
and two in the writer's own buffers (2.6 to 3.9 were measured)."""

LANES_A_DEVICE = {"cpu": 32}
"""The most lanes that are trained at a time for each device, whatever memory allows. More lanes do not fill a CPU core
better; they only make every step longer, and the wait for the first finished lane."""

OTHER_LANES_A_DEVICE = 256

UNKNOWN = float("inf")

EXHAUSTED = (
    *("resource_exhausted", "out of memory", "out_of_memory", "failed to allocate", "cannot allocate memory"),
    *("bad_alloc", "alloc_failed", "ynnpack operation failed"),
)
"""What errors of XLA, of CUDA's libraries and of those that it calls on CPUs say when there is no memory left."""


class Memory(NamedTuple):
    """Bytes on each device and on the host. CPU devices have none of their own: what lies on them is the host's."""

    device: float
    host: float


class OutOfMemory(Exception):  # noqa: N818  says what is, as MemoryError does
    """A wave does not fit, by prediction; carries what it needs and what there is."""

    def __init__(self, need: Memory, room: Memory):
        self.need, self.room = need, room
        super().__init__(f"{words(need, room)} needed")


def most_lanes(max_lanes: int | str, num_devices: int, platform: str) -> int:
    """Return the most lanes to train at a time: max_lanes, or when that is "auto" a number that fills the devices."""
    if max_lanes != "auto":
        return int(max_lanes)
    return num_devices * LANES_A_DEVICE.get(platform, OTHER_LANES_A_DEVICE)


def size_of(tree: Any) -> int:
    """Return the bytes of a pytree of arrays or shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def need(state: Any, mesh: Mesh, shared: int = 0, compiled: jax.stages.Compiled | None = None) -> Memory:
    """Return what it takes to train a wave besides the data set.

    The compiler knows the memory of what it compiled exactly, and nothing needs to be allocated to ask it.

    Args:
        state: shapes of the state of all lanes, [R, ...].
        mesh: the devices they are split over.
        shared: bytes of the data set, an argument on every device that is there already.
        compiled: the program that takes the steps; None for the least that any program needs.
    """
    devices = [device for device in mesh.devices.flat if device.process_index == jax.process_index()]
    device = size_of(state) / mesh.shape[LANE]
    saving = COPIES * device * len(devices)
    analysis = compiled.memory_analysis() if compiled is not None else None
    if analysis is not None:
        device = (
            analysis.argument_size_in_bytes
            + analysis.output_size_in_bytes
            + analysis.temp_size_in_bytes
            + analysis.generated_code_size_in_bytes
            - analysis.alias_size_in_bytes  # the old state, whose memory the new one takes over
            - shared
        )
    if mesh.devices.flat[0].platform == "cpu":
        return Memory(0, device * len(devices) + saving)
    return Memory(device, saving)


def available(mesh: Mesh) -> Memory:
    """Return what is free on the fullest of this process's devices, and on the host."""
    free = [UNKNOWN]
    for device in mesh.devices.flat:
        if device.process_index == jax.process_index() and device.platform != "cpu":
            stats = device.memory_stats() or {}
            if "bytes_limit" in stats:
                free.append(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return Memory(min(free), free_on_host())


def share(need: Memory, room: Memory, margin: float = 0.0) -> float:
    """Return the part of the room, less a margin, that is needed: above 1, it does not fit."""
    return max(n / max((1 - margin) * r, 1.0) for n, r in zip(need, room, strict=True))


def tightest(need: Memory, room: Memory) -> tuple[float, float]:
    """Return need and room where the larger part of the room is taken: on a device or on the host."""
    return max(zip(need, room, strict=True), key=lambda pair: (pair[0] / max(pair[1], 1.0), pair[0]))


def words(need: Memory, room: Memory) -> str:
    """Return "1.2 GiB of 21.3 GiB"."""
    taken, there = tightest(need, room)
    return f"{as_text(taken)} of {as_text(there)}" if there < UNKNOWN else as_text(taken)


def as_text(num_bytes: float) -> str:
    """Return a number of bytes as "512 KiB", "12.3 MiB" or "1.25 GiB"."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= size:
            return f"{num_bytes / size:.3g} {unit}" if num_bytes < 1000 * size else f"{num_bytes / size:.0f} {unit}"
    return f"{num_bytes:.0f} B"


def release() -> None:
    """Give back to the system what has been freed but is still kept, in cycles or by the C library's allocator."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def is_exhausted(error: BaseException) -> bool:
    """Return whether an error says that memory has run out: predicted, on the host, or on a device."""
    if isinstance(error, (OutOfMemory, MemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, jax.errors.JaxRuntimeError) and any(words in str(error).lower() for words in EXHAUSTED):
        return "no space left" not in str(error).lower()  # on a disk
    return error.__cause__ is not None and is_exhausted(error.__cause__)


def reason(error: BaseException) -> str:
    """Return the first line of what lies at the root of an error, not too long."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def free_on_host(root: pathlib.Path = pathlib.Path("/")) -> float:
    """Return the bytes this process can still take on the host: the least of what the machine, its container and its
    own limit on address space leave.

    Args:
        root: where /proc and /sys are found.
    """
    return max(0.0, min(_free_on_machine(root), *_free_in_cgroups(root), _free_address_space(root)))


def _free_on_machine(root: pathlib.Path) -> float:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    try:  # a system without /proc says only how much there is in all
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
    except (ValueError, OSError, AttributeError):
        return UNKNOWN


def _free_in_cgroups(root: pathlib.Path) -> Iterator[float]:
    """Yield what every control group of this process leaves: its own and those around it, version 1 and 2."""
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            tops, names = (mount, mount / "unified"), ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            tops = (mount / "memory",)
        else:
            continue
        # Inside a container the path is often the one outside, and its own group lies at the top.
        inner = pathlib.PurePosixPath(path.lstrip("/"))
        for folder in (top / below for top in tops for below in (inner, *inner.parents)):
            limit, used = (next(iter(_lines(folder / name)), "").strip() for name in names[:2])
            if limit.isdigit() and used.isdigit():
                cached = (ln.split()[1] for ln in _lines(folder / "memory.stat") if ln.split()[0] == names[2])
                yield int(limit) - int(used) + int(next(cached, 0))  # files that are only cached make way


def _free_address_space(root: pathlib.Path) -> float:
    import resource  # not on every system that Python runs on

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = next(iter(_lines(root / "proc/self/statm")), "0").split()[0]
    return UNKNOWN if limit == resource.RLIM_INFINITY else limit - int(pages) * resource.getpagesize()


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
