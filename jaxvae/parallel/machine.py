"""What the machine is, and what of it a process may use. Knows nothing else."""

import gc
import importlib.metadata
import os
import pathlib
import platform
import stat
import tempfile
import zlib
from collections.abc import Callable

import jax

from jaxvae.arguments import as_path
from jaxvae.types import InputError, forget_all

RUN_ONCE = {"xla_backend_optimization_level": 1}
"""How to compile what runs a few times only: in a fifth less time, to code that is a few percent slower."""


def cpu_facts(name: str) -> list[str]:
    """Return what the system says under a name, such as "model name", of each core; nothing where it does not."""
    facts = pathlib.Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8", errors="replace").splitlines() if facts.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name]


def processor() -> str:
    """Return the name of the CPU, where the system tells it."""
    names = cpu_facts("model name")
    return f"{len(names)} x {names[0]}" if names else f"CPU {platform.processor() or platform.machine()}"


def device_name() -> str:
    """Return what the first device is called."""
    device = jax.devices()[0]
    return processor() if device.platform == "cpu" else device.device_kind


def num_cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_age() -> float:
    """Return for how many seconds this process has been running; 0 where the system does not say."""
    try:
        about = pathlib.Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        running = float(pathlib.Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
        return max(0.0, running - int(about[19]) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return 0.0


def use_every_core() -> None:
    """Make each CPU core a device of JAX, before JAX has looked for devices.

    Lanes spread over CPU cores as over any devices; measured some 1.2 times faster than one device on all cores.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", num_cores())


def keep_compiled(folder: str | None, say: Callable[[str], None] = print) -> None:
    """Keep compiled programs on disk, so that a run that needs them again starts at once.

    JAX tells programs, versions and accelerators apart, but not every CPU from the next: code made for one can crash on
    another that sees the same home. So the folder carries the CPU's abilities in its name.

    What lies there is run as code, so it must be the user's own and nobody else's to write to.

    Args:
        folder: where; "none" for nowhere; by default where JAX has been told to, else the user's cache folder.
        say: prints a line.
    """
    if folder == "none":
        jax.config.update("jax_enable_compilation_cache", False)
    if not jax.config.jax_enable_compilation_cache:
        return
    told = jax.config.jax_compilation_cache_dir if folder is None else None
    try:
        if told and "://" in told:  # somewhere that is no folder, which JAX was told to use
            return
        path = pathlib.Path(told) if told else _cache(folder)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = others_may_write(path)
        if not reason:
            tempfile.TemporaryFile(dir=path).close()
    except InputError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{path} cannot be written to ({error.strerror})"
    if reason:
        jax.config.update("jax_compilation_cache_dir", None)
        say(f"compiled programs are not kept: {reason}; --compilation_cache=FOLDER keeps them elsewhere")
        return
    if not told:
        jax.config.update("jax_compilation_cache_dir", str(path))
        # What compiles in less is read no faster than it is compiled.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def forget_compiled(share: float = 0.5, system: pathlib.Path = pathlib.Path("/")) -> None:
    """Forget all compiled programs where this process is on its way to more memory maps than Linux lets it have.

    A program takes some maps, a sweep of several objectives with its report two thousand or more. Who asks for one map
    more than vm.max_map_count gets a segmentation fault in the midst of compiling.

    Args:
        share: of the maps that it may have, from which on they are forgotten.
        system: where /proc is.
    """
    try:
        most = int((system / "proc/sys/vm/max_map_count").read_text(encoding="utf-8"))
        held = (system / "proc/self/maps").read_bytes().count(b"\n")
    except (OSError, ValueError):
        return  # another system, or one that does not say
    if held > share * most:
        forget_all()
        gc.collect()


def _cache(folder: str | None) -> pathlib.Path:
    """Return the folder for programs of this CPU and these versions.

    Raises:
        InputError: there is no home folder to put it in.
    """
    abilities = " ".join([platform.machine(), *(cpu_facts("flags") or cpu_facts("Features"))[:1]])
    versions = "_".join(importlib.metadata.version(name) for name in ("jax", "jaxlib"))
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = as_path("the cache folder", folder or os.path.join(home, "jaxvae", "xla"))
    return path / f"{versions}_{zlib.crc32(abilities.encode()):08x}"


def others_may_write(folder: pathlib.Path) -> str:
    """Return why someone else could put files into a folder, or another one in its place; "" where nobody could.

    Who may write to a folder may rename what lies in it, unless it is sticky as /tmp is. The administrator may anyway.
    """
    if not hasattr(os, "geteuid"):  # a system without such owners
        return ""
    me, real = os.geteuid(), folder.resolve()
    for place in dict.fromkeys([real, *real.parents, *folder.absolute().parents]):
        about, own = place.stat(), place == real
        if about.st_uid != me and (own or about.st_uid != 0):
            return f"{place} belongs to another user, and what is kept there is run as code"
        # A group that goes by the user's own number has, by custom, no other member.
        shared = stat.S_IWOTH | (0 if about.st_gid == me else stat.S_IWGRP)
        if about.st_mode & shared and not (about.st_mode & stat.S_ISVTX and not own):
            return f"others may write to {place} (chmod go-w), and what is kept there is run as code"
    return ""
