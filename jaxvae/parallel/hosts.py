"""Several processes as one: who speaks, what all agree on. With one process everything here is the identity.

Processes talk through the coordination service of `jax.distributed`, never through devices: it knows which of them are
alive, so no one waits for ever on one that is gone, and nothing of it is compiled. Knows no array.
"""

import contextlib
import ipaddress
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax._src import clusters, distributed  # the public names offer neither a look at the cluster nor the store

from jaxvae.types import InputError

HEARTBEAT_SECONDS = 60
"""How long a process may be silent before the others take it for dead and end."""

PATIENCE_SECONDS = 300
"""How long processes that have started wait for those that have not."""

ANSWER_SECONDS = 10
"""How long a process that fails waits for the first one to take note, so that the error is printed there, once."""


class Left(Exception):  # noqa: N818  the error was another's
    """Another process has failed; carries the exit code for this one, and what to say ("" when it has been said)."""

    def __init__(self, code: int, words: str = ""):
        super().__init__(words)
        self.code = code


def count() -> int:
    """Return the number of processes."""
    return distributed.global_state.num_processes


def number() -> int:
    """Return which of them this is, from 0."""
    return distributed.global_state.process_id


def is_first() -> bool:
    """Return whether this is the process that prints and writes for all."""
    return number() == 0


def initialise(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Join the processes of a sweep; must come before anything that touches a device.

    Args:
        coordinator: HOST:PORT of process 0, as the others reach it.
        num_processes: how many there are. Alone it may be 1: one process, whatever the environment says.
        process_id: which one this is, from 0.
        say: prints a line, in the first process.

    When the three are None, the environment decides: nothing happens unless it speaks of more than one process.

    Raises:
        InputError: the three do not fit together, the environment cannot be read, or process 0 cannot be reached. When
            another process does not come within PATIENCE_SECONDS, JAX ends this one with a message of its own.
    """
    _check(coordinator, num_processes, process_id)
    local_devices: list[int] | None = []  # all that are visible
    if num_processes is None:
        num_processes, local_devices = _cluster()
    if num_processes == 1:
        return
    try:
        if coordinator is None:
            _connect(local_device_ids=local_devices, num_processes=num_processes)
        else:
            if process_id == 0:
                say(f"waiting for {num_processes} processes at {coordinator}")
            _knock(coordinator, answer=process_id == 0)
            options = {"cluster_detection_method": "deactivate", "coordinator_bind_address": _listen_at(coordinator)}
            _connect(coordinator, num_processes, process_id, **options)
        jax.devices()  # waits for the devices of all, so no process may fail before it has told its own
    except (RuntimeError, ValueError, OSError) as error:
        words = " ".join(str(error).split())[:200]
        raise InputError(
            f"{num_processes} processes cannot find together ({words}); start all of them with one and the same "
            "--coordinator=HOST:PORT, which is free there and which every machine reaches"
        ) from None


def _connect(*arguments, **options) -> None:
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM, on which we save, for itself
    jax.distributed.initialize(
        *arguments,
        initialization_timeout=PATIENCE_SECONDS,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        **options,
    )


def _knock(coordinator: str, *, answer: bool) -> None:
    """Raise an OSError when process 0 cannot answer at its port, or does not; JAX would abort instead."""
    host, _, port = coordinator.rpartition(":")
    host = host.strip("[]")
    if answer:
        here = _listen_at(coordinator)
        family = socket.AF_INET6 if here and ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as JAX does: a port just left is free
            probe.bind((host if here else "", int(port)))
        return
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise OSError(f"no answer from {coordinator} for {PATIENCE_SECONDS} s: {error}") from None
            time.sleep(0.2)


def _listen_at(coordinator: str) -> str | None:
    """Return the address at which process 0 listens: where all are on this machine, nobody else can reach it.

    None is every address of the machine, by which others know it.
    """
    host = coordinator.rpartition(":")[0].strip("[]")
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host.lower() == "localhost"
    return coordinator if is_here else None


def _check(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    given = {"--coordinator": coordinator, "--num_processes": num_processes, "--process_id": process_id}
    if num_processes is not None and num_processes < 1:
        raise InputError(f"--num_processes must be at least 1, got {num_processes}")
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == 3 or (num_processes == 1 and len(missing) == 2):
        return
    if missing:
        present = " and ".join(name for name in given if name not in missing)
        raise InputError(
            f"{present} given without {' and '.join(missing)}; "
            "give all three, or none on a cluster that JAX knows (SLURM, Open MPI, TPU)"
        )
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"--coordinator={coordinator}: expected HOST:PORT of process 0, such as node1:8476")
    if not 0 <= process_id < num_processes:
        raise InputError(f"--process_id={process_id}: expected 0 … {num_processes - 1} for {num_processes} processes")


def _cluster() -> tuple[int, list[int] | None]:
    """Return how many processes the environment speaks of, and the local devices of each ([]: all; None: one each)."""
    env = os.environ
    # In the shell of an allocation, or in one pod among others, the environment tells of a cluster but started only us.
    if "SLURM_JOB_ID" in env and "SLURM_STEP_NUM_TASKS" not in env and "OMPI_COMM_WORLD_SIZE" not in env:
        return 1, []
    if "KUBERNETES_SERVICE_HOST" in env and "JOB_COMPLETION_INDEX" not in env:
        return 1, []
    found = [kind for kind in clusters.ClusterEnv._cluster_types if not kind.opt_in_only_method]
    try:
        cluster = next((kind for kind in found if kind.is_env_present()), None)
        if cluster is None:
            return 1, []
        processes = cluster.get_process_count()
    except Exception as error:  # whatever an HTTP or a Kubernetes client says
        raise InputError(
            f"the environment speaks of a cluster that cannot be asked ({' '.join(str(error).split())[:200]}); "
            "give --coordinator, --num_processes and --process_id, or --num_processes=1 for this machine alone"
        ) from None
    if cluster.name == "slurm":  # SLURM_NTASKS, which JAX reads, can be the allocation's and not the step's
        processes = int(env["SLURM_STEP_NUM_TASKS"])
    alone = env.get("SLURM_STEP_NUM_NODES") == str(processes) or env.get("OMPI_COMM_WORLD_LOCAL_SIZE") == "1"
    bound = env.get("CUDA_VISIBLE_DEVICES", "").isdecimal()  # the launcher has picked this task's device
    return processes, [] if alone or bound else None


def exchange(payload: bytes) -> list[bytes]:
    """Return what every process gave, in their order. All must call this equally often, in the same order.

    Raises:
        Left: another process has failed instead of calling this.
    """
    global _round
    if count() == 1:
        return [payload]
    _round += 1
    store = distributed.global_state.client
    if is_first():
        every = [b"+" + payload, *(_wait_for(f"jaxvae/{_round}/{n}") for n in range(1, count()))]
        store.key_value_set_bytes(f"jaxvae/{_round}/all", _pack(every))
        store.key_value_delete(f"jaxvae/{_round - 1}/")  # all have read it, else they were not here
    else:
        store.key_value_set_bytes(f"jaxvae/{_round}/{number()}", b"+" + payload)
        every = _unpack(_wait_for(f"jaxvae/{_round}/all"))
    for who, given in enumerate(every):
        if given[:1] == b"!":
            code, words = json.loads(given[1:])
            raise Left(code, f"process {who}: {words}" if words and is_first() else "")
    return [given[1:] for given in every]


_round = 0


def gather(value: Any) -> list[Any]:
    """Return the value (JSON types) of every process, in their order; [0] is what the first one says.

    Raises:
        Left: another process has failed.
    """
    return [value] if count() == 1 else [json.loads(given) for given in exchange(json.dumps(value).encode())]


def by_first(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in the first process only and return what it gives (JSON types) in all.

    Raises:
        Left: it has failed there.
    """
    return gather(function(*arguments) if is_first() else None)[0]


@contextlib.contextmanager
def as_one() -> Iterator[None]:
    """What ends this block with an error in one process ends it in all.

    Raises:
        Left: in those processes where the error was another's, or is for the first one to tell.
    """
    try:
        yield
    except (InputError, OSError) as error:
        if _leave(2, " ".join(str(error).split())):
            raise Left(2) from error
        raise
    except KeyboardInterrupt:
        _leave(130, "")
        raise
    except Left:
        raise
    except Exception as error:
        _leave(1, f"{type(error).__name__}: {error}")
        raise


def _leave(code: int, words: str) -> bool:
    """Fail the next exchange of all processes; return whether the first one, not this, has to tell the user."""
    if count() == 1:
        return False
    store = distributed.global_state.client
    failure = b"!" + json.dumps([code, words]).encode()
    with contextlib.suppress(Exception):  # the service itself may be what has failed
        if is_first():
            store.key_value_set_bytes(f"jaxvae/{_round + 1}/all", _pack([failure]))
            return False
        store.key_value_set_bytes(f"jaxvae/{_round + 1}/{number()}", failure)
        store.blocking_key_value_get_bytes(f"jaxvae/{_round + 1}/all", ANSWER_SECONDS * 1000)
        return True
    return False


def _wait_for(key: str) -> bytes:
    """Return a value of the store as soon as it is there; Python's signal handlers run meanwhile."""
    while True:
        try:
            return distributed.global_state.client.blocking_key_value_get_bytes(key, 1000)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def _pack(every: list[bytes]) -> bytes:
    return b"".join(struct.pack("<q", len(part)) + part for part in every)


def _unpack(packed: bytes) -> list[bytes]:
    every = []
    while packed:
        end = 8 + struct.unpack_from("<q", packed)[0]
        every.append(packed[8:end])
        packed = packed[end:]
    return every
