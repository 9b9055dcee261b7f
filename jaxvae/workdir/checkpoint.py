"""Orbax checkpoints of one wave of lanes: written while training goes on, opened on any machine. Knows no program.

A checkpoint is a nested dictionary of arrays with lanes first, and a small JSON of counters. Every process writes the
lanes on its own devices, to a folder that all of them see. It is read as NumPy arrays, so neither the devices nor the
processes nor the classes it was saved with are needed to open it. A checksum of every lane of every array is kept
beside them, because Orbax reads flipped bits back without a word. The counters say what the checkpoint belongs to, with
a checksum of their own.
"""

import contextlib
import itertools
import logging
import pathlib
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

from jaxvae.parallel import hosts
from jaxvae.parallel.lanes import own_shards
from jaxvae.types import InputError
from jaxvae.workdir import mended
from jaxvae.workdir.records import Label, check_counters, common, sealed
from jaxvae.workdir.schema import Wrong

# TensorStore's half-finished reads report a damaged file a second time, after we have.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def _is_wanted(record: logging.LogRecord) -> bool:
    """Keep Orbax's diary of every save out of scripts that let absl say what it likes."""
    return record.levelno > logging.ERROR or "orbax" not in record.pathname  # its errors are raised, and told by us


logging.getLogger("absl").addFilter(_is_wanted)


def _without_late_reads(hook: Any) -> Any:
    """Return a hook for errors that nobody can catch that keeps one to itself: reads that end after one has failed."""

    def told(late: Any) -> None:
        if not (isinstance(late.exc_value, RuntimeError) and str(late.exc_value) == "Event loop is closed"):
            hook(late)

    return told


sys.unraisablehook = _without_late_reads(sys.unraisablehook)


CHECKSUMS = "checksums"
"""The array u32[R, A] that lies beside the A arrays of a state; its columns are named in the counters."""

_opened = itertools.count()


class CheckpointError(InputError):
    """A checkpoint cannot be read; the message names it and says what to do."""


def _nested(tree: Any) -> dict[str, Any]:
    """Return any pytree as nested dictionaries of its leaves; empty nodes vanish."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return traverse_util.unflatten_dict({name: leaf for name, (_, leaf) in zip(names, leaves, strict=True)}, sep="/")


def _reason(error: Exception) -> str:
    """Return class and words of an error on one line; of long ones the middle, mostly paths, is left out."""
    words = " ".join(str(error).split())
    words = words if isinstance(error, Wrong) else f"{type(error).__name__}: {words}"
    return words if len(words) <= 200 else f"{words[:90]} … {words[-110:]}"


def as_tree(nested: dict[str, Any], template: Any) -> Any:
    """Give the leaves of `restore` the structure of `template` (a pytree of arrays or shapes).

    Raises:
        CheckpointError: names or shapes past the lane axis do not fit.
    """
    flat = traverse_util.flatten_dict(nested, sep="/")
    wanted = traverse_util.flatten_dict(_nested(template), sep="/")
    if set(flat) != set(wanted):
        odd = ", ".join(sorted(set(flat) ^ set(wanted))[:3])
        raise CheckpointError(f"the checkpoint holds other arrays than this version of jaxvae trains (such as {odd})")
    for name, leaf in wanted.items():
        if flat[name].shape[1:] != leaf.shape[1:] or flat[name].dtype != leaf.dtype:
            raise CheckpointError(f"the checkpoint's {name} is {flat[name].dtype}{flat[name].shape}, not like {leaf}")
    paths = jax.tree_util.tree_leaves_with_path(template)
    leaves = [flat[jax.tree_util.keystr(path, simple=True, separator="/")] for path, _ in paths]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


@jax.jit
def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def _checksums(arrays: dict[str, np.ndarray | jax.Array]) -> np.ndarray | jax.Array:
    """Return u32[R, A], a checksum of each lane of each array [R, ...]; split over processes as the arrays are."""
    sums = np.zeros((len(next(iter(arrays.values()))), len(arrays)), np.uint32)
    for column, array in enumerate(arrays.values()):
        parts = [(0, array)] if isinstance(array, np.ndarray) else own_shards(array)
        for start, lanes in parts:
            # A lane that is a single number is no array any more, and has no buffer of its own.
            sums[start : start + len(lanes), column] = [zlib.crc32(np.ascontiguousarray(lane)) for lane in lanes]
    if isinstance(array, np.ndarray):
        return sums
    return jax.make_array_from_callback(sums.shape, array.sharding, lambda index: sums[index])


class Checkpoints:
    """The checkpoints of one wave in one directory, the last two kept.

    Any process may open them by itself to read; to write (`create`) all open, save, wait and close together.

    Args:
        directory: where they lie.
        label: what they must belong to; it goes into those that are written, and those that are read are held to it.
        create: whether any will be written.
    """

    def __init__(self, directory: pathlib.Path, label: Label | None = None, *, create: bool = False):
        if reason := mended.misread(directory):
            raise CheckpointError(reason)
        mended.mend()
        self.directory, self._label = directory.absolute(), label
        if create:  # Orbax makes no directory for a named set of processes
            hosts.by_first(self.directory.mkdir, 0o777, True, True)
        # Processes that are named meet at the coordination service, all processes by a computation on their devices.
        together = range(jax.process_count()) if create else [jax.process_index()]
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=2,
                create=False,
                cleanup_tmp_directories=create,
                multiprocessing_options=ocp.options.MultiprocessingOptions(
                    primary_host=together[0],
                    active_processes=set(together),
                    barrier_sync_key_prefix=f"{directory.name}_{next(_opened)}" if create else None,
                ),
            ),
            item_handlers={"state": ocp.PyTreeCheckpointHandler(), "counters": ocp.JsonCheckpointHandler()},
        )

    def latest(self) -> int | None:
        """Return the step of the newest finished checkpoint, or None.

        Raises:
            CheckpointError: its counters are damaged, or it belongs to another step or wave.
        """
        steps = self.steps()
        if steps:
            self.counters(steps[-1])
        return steps[-1] if steps else None

    def steps(self) -> list[int]:
        """Return the steps of all finished checkpoints, the newest last, as their folders are called."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: Any, counters: dict[str, Any]) -> None:
        """Copy a state to the host and write it in the background; it may be donated afterwards.

        Args:
            step: the number to keep it under.
            state: a pytree of arrays [R, ...], lanes split over the devices of all processes alike.
            counters: JSON types; "lanes" is how many of the R lanes are real, the others only pad the devices;
                "seconds" is how long they have been trained.

        Raises:
            CheckpointError: this or the save before it cannot be written.
        """
        arrays = traverse_util.flatten_dict(_nested(state), sep="/")
        if jax.default_backend() == "cpu":
            # Orbax copies from an accelerator, but on CPU it writes the very memory that the next step is given.
            arrays = _copy(arrays)
        nested = traverse_util.unflatten_dict(arrays | {CHECKSUMS: _checksums(arrays)}, sep="/")
        said = counters | {"step": step, "arrays": list(arrays)} | ({"label": self._label} if self._label else {})
        with self._writing():
            self._manager.save(
                step,
                args=ocp.args.Composite(state=ocp.args.PyTreeSave(nested), counters=ocp.args.JsonSave(sealed(said))),
            )

    def counters(self, step: int) -> dict[str, Any]:
        """Read what a checkpoint says of itself: "step", "seconds", "label" where it was written with one, ….

        Raises:
            CheckpointError: the file is damaged or missing, or the checkpoint belongs to another step or wave.
        """
        with self._reading(step):
            restored = self._manager.restore(step, args=ocp.args.Composite(counters=ocp.args.JsonRestore()))
            return self._checked(restored["counters"], step)

    def _checked(self, counters: Any, step: int) -> dict[str, Any]:
        """Return counters that are whole and belong here; raise Wrong for others."""
        check_counters(counters)
        if counters["step"] != step:
            raise Wrong(f"it says that it is of step {counters['step']}: somebody has renamed it")
        here, there = self._label, counters.get("label")
        if here is None:
            return counters
        if there and not (common(there["wave"], here["wave"]) and common(there["data"], here["data"])):
            raise Wrong(f"it says that it is of {there['wave']['directory']}, with other lanes, programs or data")
        lanes = len(here["wave"]["lanes"])
        if counters.get("lanes", lanes) != lanes:
            raise Wrong(f"it says that it holds {counters['lanes']} lanes, and {lanes} belong there")
        return counters

    def restore(self, step: int, only: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read the checkpoint of a step: (nested dictionary of NumPy arrays, counters).

        Args:
            step: one that `latest` gave.
            only: paths such as "params/vae"; when given, the rest is not read.

        Raises:
            CheckpointError: the files are damaged or missing.
        """
        with self._reading(step):
            shapes = traverse_util.flatten_dict(self._manager.item_metadata(step)["state"].tree, sep="/")
            only = (*only, CHECKSUMS) if only else tuple(shapes)
            kept = {n: s for n, s in shapes.items() if any(f"{n}/".startswith(f"{o}/") for o in only)}
            tree = traverse_util.unflatten_dict(kept, sep="/")
            arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeRestore(item=tree, restore_args=arguments, partial_restore=True),
                    counters=ocp.args.JsonRestore(),
                ),
            )
            arrays = traverse_util.flatten_dict(restored["state"], sep="/")
            counters = self._checked(restored["counters"], step)
            if CHECKSUMS in arrays:
                saved, names = arrays.pop(CHECKSUMS), counters["arrays"]
                wrong = (_checksums(arrays) != saved[:, [names.index(name) for name in arrays]]).any(0)
            else:  # as written before lanes had checksums of their own
                sums = counters["checksums"]
                wrong = [zlib.crc32(np.ascontiguousarray(array)) != sums[name] for name, array in arrays.items()]
            for name, differs in zip(arrays, wrong, strict=True):
                if differs:
                    raise Wrong(f"{name} does not match its checksum")
            lanes = counters.get("lanes", len(self._label["wave"]["lanes"]) if self._label else None)
            if lanes is not None and any(len(array) < lanes for array in arrays.values()):
                raise Wrong(f"it holds fewer than {lanes} lanes")
            return traverse_util.unflatten_dict(
                {name: array[:lanes] for name, array in arrays.items()}, sep="/"
            ), counters

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise a dozen kinds for damaged files
            before = [other for other in self.steps() if other < step]
            remedy = "none is before it: bring it back, or start anew with --overwrite"
            if before:
                remedy = (
                    f"bring it back, or --resume_from=last_good goes on from step {before[-1]:,} and takes "
                    f"{step - before[-1]:,} steps anew"
                )
            raise CheckpointError(
                f"checkpoint {self.directory / str(step)} is damaged ({_reason(error)}); {remedy}"
            ) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        # A save reports the failure of the one before it, which was written in the background.
        try:
            yield
        except Exception as error:  # of Orbax, TensorStore, or the file system
            raise CheckpointError(
                f"cannot write a checkpoint to {self.directory} ({_reason(error)}); "
                f"free space there, and the same command goes on from step {self._manager.latest_step() or 0}"
            ) from error

    def wait(self) -> None:
        """Return when everything saved is on disk."""
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Finish writing and let go of the directory."""
        self._manager.close()
