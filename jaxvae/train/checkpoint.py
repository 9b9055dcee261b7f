"""Orbax checkpoints of one wave of lanes: written while training goes on, opened on any machine. Knows no program.

A checkpoint is a nested dictionary of arrays with lanes first, and a small JSON of counters. It is read as NumPy
arrays, so neither the devices nor the classes it was saved with are needed to open it. A checksum of every array is
kept beside it, because Orbax reads flipped bits back without a word.
"""

import contextlib
import logging
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

from jaxvae.types import InputError

# TensorStore's half-finished reads report a damaged file a second time, after we have.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


class CheckpointError(InputError):
    """A checkpoint cannot be read; the message names it and says what to do."""


def _nested(tree: Any) -> dict[str, Any]:
    """Return any pytree as nested dictionaries of its leaves; empty nodes vanish."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return traverse_util.unflatten_dict({name: leaf for name, (_, leaf) in zip(names, leaves, strict=True)}, sep="/")


def _reason(error: Exception) -> str:
    """Return class and first line of an error, not too long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


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


class Checkpoints:
    """The checkpoints of one wave in one directory, the last two kept."""

    def __init__(self, directory: pathlib.Path, *, create: bool = False):
        self.directory = directory.absolute()
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(max_to_keep=2, create=create, cleanup_tmp_directories=create),
            item_handlers={"state": ocp.PyTreeCheckpointHandler(), "counters": ocp.JsonCheckpointHandler()},
        )

    def latest(self) -> int | None:
        """Return the step of the newest finished checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, counters: dict[str, Any]) -> None:
        """Copy a state to the host and write it in the background; it may be donated afterwards.

        Raises:
            CheckpointError: this or the save before it cannot be written.
        """
        # A copy, not a view: on CPU a view would share the buffer that the next step overwrites.
        host = jax.tree.map(lambda leaf: np.array(leaf, copy=True), _nested(state))
        checksums = {name: zlib.crc32(leaf) for name, leaf in traverse_util.flatten_dict(host, sep="/").items()}
        counters = counters | {"checksums": checksums}
        with self._writing():
            self._manager.save(
                step, args=ocp.args.Composite(state=ocp.args.PyTreeSave(host), counters=ocp.args.JsonSave(counters))
            )

    def restore(self, step: int, only: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read the checkpoint of a step: (nested dictionary of NumPy arrays, counters).

        Args:
            step: one that `latest` gave.
            only: paths such as "params/vae"; when given, the rest is not read.

        Raises:
            CheckpointError: the files are damaged or missing.
        """
        path = self.directory / str(step)
        try:
            shapes = traverse_util.flatten_dict(self._manager.item_metadata(step)["state"].tree, sep="/")
            kept = {n: s for n, s in shapes.items() if not only or any(f"{n}/".startswith(f"{o}/") for o in only)}
            tree = traverse_util.unflatten_dict(kept, sep="/")
            arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeRestore(item=tree, restore_args=arguments, partial_restore=True),
                    counters=ocp.args.JsonRestore(),
                ),
            )
            for name, leaf in traverse_util.flatten_dict(restored["state"], sep="/").items():
                if zlib.crc32(np.ascontiguousarray(leaf)) != restored["counters"]["checksums"][name]:
                    raise CheckpointError(f"{name} does not match its checksum")
            return restored["state"], restored["counters"]
        except Exception as error:  # Orbax and TensorStore raise a dozen kinds for damaged files
            raise CheckpointError(
                f"checkpoint {path} is damaged ({_reason(error)}); "
                "delete that directory to go on from the one before it, or start anew with --overwrite"
            ) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        # A save reports the failure of the one before it, which was written in the background.
        try:
            yield
        except Exception as error:  # of Orbax, TensorStore, or the file system
            raise CheckpointError(
                f"cannot write a checkpoint to {self.directory} ({_reason(error)}); "
                f"free space there, and the same command goes on from step {self.latest() or 0}"
            ) from error

    def wait(self) -> None:
        """Return when everything saved is on disk."""
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Finish writing and let go of the directory."""
        self._manager.close()
