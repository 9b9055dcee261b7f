"""Programs that are compiled side by side, and on a CPU while something else runs: each once. Knows none by name.

Tracing is Python's work, one program after another, and sees the settings of the thread that does it. Compiling is
neither, and one program does not fill two cores.
"""

import contextlib
import contextvars
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import jax

from jaxvae import ledger
from jaxvae.parallel import live
from jaxvae.parallel.machine import num_cores
from jaxvae.types import Program, remember


class Wanted(NamedTuple):
    """A program that is wanted: what it is known by, everything that it depends on, and how to trace it."""

    known_by: Hashable
    lower: Callable[[], jax.stages.Lowered]


def shapes(arrays: Any) -> tuple[Any, Hashable]:
    """Return the shapes of a pytree of arrays, or of shapes, where they lie, and what to know them by."""
    found = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), arrays)
    leaves, structure = jax.tree.flatten(found)
    return found, (structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))


_workers: contextvars.ContextVar[ThreadPoolExecutor | None] = contextvars.ContextVar("workers", default=None)


@remember
def _begun() -> dict[Hashable, Future]:
    """Return the programs that are compiled, or will be."""
    return {}


@contextlib.contextmanager
def side_by_side() -> Iterator[None]:
    """Compile what is begun inside in threads, one for each core; what has not been started by the end never is."""
    if _workers.get() is not None:
        yield
        return
    workers = ThreadPoolExecutor(num_cores(), thread_name_prefix="compiler")
    token = _workers.set(workers)
    try:
        yield
    finally:
        _workers.reset(token)
        workers.shutdown(wait=False, cancel_futures=True)


def begin(wanted: Wanted) -> None:
    """Trace a program and let it be compiled in the background, unless it is there, or nothing is done side by side."""
    workers, begun = _workers.get(), _begun()
    if workers is not None and wanted.known_by not in begun:
        begun[wanted.known_by] = workers.submit(wanted.lower().compile)


def is_worthwhile() -> bool:
    """Return whether to begin what is needed only later, while the devices are at work.

    Not on accelerators, where compiling tries kernels on the device that is at work: it would slow that down, and be
    misled by it.
    """
    return jax.default_backend() == "cpu"


def together(wanted: Sequence[Wanted]) -> list[jax.stages.Compiled]:
    """Return programs, those that are not there yet compiled side by side."""
    lacking = [one for one in wanted if not _is_there(one)]
    told = live.line(f"compiling {_called(lacking)}") if lacking else contextlib.nullcontext()
    with ledger.part(ledger.COMPILE), told, side_by_side():
        for one in wanted:
            begin(one)
        return [_finished(one) for one in wanted]


def _is_there(wanted: Wanted) -> bool:
    begun = _begun().get(wanted.known_by)
    return begun is not None and begun.done()


def _called(wanted: Sequence[Wanted]) -> str:
    """Return what to call programs: the objective and the architecture of the first, or how many there are."""
    parts = (part for one in wanted if isinstance(one.known_by, tuple) for part in one.known_by)
    program = next((part for part in parts if isinstance(part, Program)), None)
    if program is not None:
        return f"{program.objective}_{program.architecture}"
    return f"{len(wanted)} program{'s' * (len(wanted) > 1)}"


def settle() -> None:
    """Wait until nothing is being compiled, so that what is measured then is not disturbed."""
    with ledger.part(ledger.COMPILE):
        wait(_begun().values())


def _finished(wanted: Wanted) -> jax.stages.Compiled:
    """Return a program when it is compiled; what failed in the background, for want of memory, say, is tried again."""
    begun = _begun()
    with contextlib.suppress(Exception):
        if wanted.known_by in begun:
            return begun[wanted.known_by].result()
    begun.pop(wanted.known_by, None)
    again = Future()
    again.set_result(wanted.lower().compile())
    begun[wanted.known_by] = again
    return again.result()
