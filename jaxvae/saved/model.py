"""One trained VAE, ready to encode and decode on whatever device is there. Knows no sweep."""

import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxvae import latents, models, objectives
from jaxvae.arguments import as_array, as_path
from jaxvae.data.arrays import white_of
from jaxvae.saved import export
from jaxvae.types import InputError, Networks, Program, in_32_bits, remember


def _compiled(program: Program, method: str):
    """Return jitted (variables, x, labels) -> method of the architecture; shared by every model of its kind."""
    return _compiled_network(models.network_of(program), method)


@remember
def _compiled_network(program: Program, method: str):
    module = models.build(program)
    return jax.jit(lambda variables, x, labels: module.apply(variables, x, labels, method=method))


class Model:
    """One trained VAE, ready to encode and decode on whatever device is there.

    A conditional model ("cvae+…") is told the labels of every image and code: integers [B, K], a column for each label
    of the data it was trained on, or [B] where there is one. They are numbers as in Dataset.factors, which count the
    values where those leave gaps (see Dataset.factor_values). Other models take none. Either way an InputError says so.

    Attributes:
        program: architecture, likelihood, image shape, number of latents.
        networks: what was learned: the architecture's variables, and what the objective's terms trained beside them.
        about: what is known of it: lane, objective, hypers, status, scores.
    """

    @in_32_bits
    def __init__(self, program: Program, networks: Networks, about: dict[str, Any]):
        self.program, self.about = program, about
        self.networks = jax.tree.map(jnp.asarray, networks)

    @property
    def params(self) -> dict[str, Any]:
        """The architecture's parameters, nested dictionaries of arrays."""
        return self.networks.variables["params"]

    def __repr__(self) -> str:
        known = " ".join(f"{n}={v}" for n, v in self.about.items() if v is not None)
        return f"Model({self.program.architecture} {self.program.image_shape} {known})"

    @property
    def label_sizes(self) -> tuple[int, ...]:
        """The number of values of each label that the model is told; () for one that is told none."""
        return self.program.label_sizes if models.needs_labels(self.program.architecture) else ()

    def _labels(self, labels, num_rows: int) -> jax.Array | None:
        sizes = self.label_sizes
        if not sizes:
            if labels is not None:
                raise InputError(f"architecture {self.program.architecture!r} is not told labels; leave them out")
            return None
        ranges = ", ".join(f"0 … {size - 1}" for size in sizes)
        form = f"labels [{num_rows}, {len(sizes)}]" + f" or [{num_rows}]" * (len(sizes) == 1)
        words = f"architecture {self.program.architecture!r} is told labels: give {form}, integers in {ranges}"
        if labels is None:
            raise InputError(f"{words}; none were given")
        labels = as_array("labels", labels)
        if labels.ndim == 1 and len(sizes) == 1:
            labels = labels[:, None]
        if labels.shape != (num_rows, len(sizes)) or not np.issubdtype(labels.dtype, np.integer):
            raise InputError(f"{words}; got {labels.dtype} {labels.shape}")
        if ((labels < 0) | (labels >= sizes)).any():
            raise InputError(f"{words}; got {labels.min(0).tolist()} to {labels.max(0).tolist()}")
        return jnp.asarray(labels, jnp.int32)

    def _images(self, images) -> jax.Array:
        if not isinstance(images, jax.Array):
            images = as_array("images", images)
        if images.ndim != 4 or images.shape[1:] != self.program.image_shape:
            raise InputError(
                f"this model takes images [B, {', '.join(map(str, self.program.image_shape))}], got {images.shape}"
            )
        _check_some("images", images)
        white = white_of("this model", images, whole=False)
        images = jnp.asarray(images).astype(jnp.float32)
        return images if white == 1 else images / float(white)

    def _codes(self, z) -> jax.Array:
        if not isinstance(z, jax.Array):
            z = as_array("codes", z)
        if not (jnp.issubdtype(z.dtype, jnp.floating) or jnp.issubdtype(z.dtype, jnp.integer)):
            raise InputError(f"this model takes codes that are real numbers, got {z.dtype}")
        z = jnp.asarray(z, jnp.float32)
        sizes = latents.groups(self.program)
        if z.ndim != 2 or z.shape[1] not in np.cumsum(sizes):
            legal = " or ".join(str(size) for size in sorted({sizes[0], sum(sizes)}))
            raise InputError(f"this model takes codes [B, {legal}], got {z.shape}")
        _check_some("codes", z)  # which need not be finite: those of a lane that diverged are shown as they are
        return z

    @in_32_bits
    def encode(self, images, labels=None) -> tuple[jax.Array, jax.Array]:
        """Return mean and log-variance of q(z|x), each f32[B, D].

        Args:
            images: [B, H, W, C], floats in [0, 1], uint8 in 0 … 255, or booleans: the same picture has the same code
                in each form. A batch of uint8 that holds nothing but 0 and 1 is refused, since alone it may be black
                and white or nearly black.
            labels: of the images, for a conditional model.

        Raises:
            InputError: shape or values are not the model's, or labels are missing, wrong or not wanted.
        """
        images = self._images(images)
        return _compiled(self.program, "encode")(self.networks.variables, images, self._labels(labels, len(images)))

    @in_32_bits
    def decode(self, z, labels=None) -> jax.Array:
        """Return the mean image of p(x|z), f32[B, H, W, C] in [0, 1], for codes [B, D]; of p(x|z, y) with labels.

        Codes of a hierarchical model may also hold the first groups alone (see latents.groups); the others then take
        the means of their priors.
        """
        z = self._codes(z)
        logits = _compiled(self.program, "decode")(self.networks.variables, z, self._labels(labels, len(z)))
        return models.likelihood(self.program).mean(logits)

    @in_32_bits
    def reconstruct(self, images, labels=None) -> jax.Array:
        """Return images f32[B, H, W, C] in [0, 1] decoded from the posterior means of images [B, H, W, C]."""
        return self.decode(self.encode(images, labels)[0], labels)

    @in_32_bits
    def swap_labels(self, images, labels, others) -> jax.Array:
        """Keep the codes of images and change their labels: f32[B, T, H, W, C] in [0, 1].

        Args:
            images: [B, H, W, C].
            labels: the images' own, as for `encode`; codes are posterior means given these.
            others: the T labels to decode each code with: [T, K], [T] where there is one label, or [B, T, K].

        Raises:
            InputError: the model is not conditional, or something has another shape.
        """
        if not self.label_sizes:
            raise InputError(f"architecture {self.program.architecture!r} is not told labels: it has none to swap")
        codes = self.encode(images, labels)[0]
        others = as_array("labels to swap in", others)
        if others.ndim == 1:
            others = others[:, None]
        if others.ndim == 2:
            others = np.broadcast_to(others, (len(codes), *others.shape))
        if others.ndim != 3 or len(others) != len(codes):
            raise InputError(f"labels to swap in must be [T, K] or [{len(codes)}, T, K], got {others.shape}")
        swapped = self.decode(jnp.repeat(codes, others.shape[1], axis=0), others.reshape(-1, others.shape[-1]))
        return swapped.reshape(*others.shape[:2], *self.program.image_shape)

    @in_32_bits
    def traverse(self, z=None, values: Sequence[float] = tuple(np.linspace(-2, 2, 9)), labels=None) -> jax.Array:
        """Set each latent in turn to each value: f32[D, T, H, W, C] in [0, 1].

        Of a hierarchical model each latent of the top group, whose prior is N(0, I). Otherwise the prior is the one
        that the model was trained with, with its hypers as `about` has them (their defaults where it has not); it is
        N(0, I) for most objectives, and for one that is not known here.

        Args:
            z: the code [D] to start from; by default the prior's mean (groups below the top one follow it).
            values: T numbers, standard deviations of the prior from its mean, latent by latent.
            labels: for a conditional model the labels [K] that go with the code, one integer where there is one label.
        """
        if not isinstance(values, jax.core.Tracer):
            values = as_array("values", values)
            if values.ndim != 1 or not values.size or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
                raise InputError("values to set latents to must be finite numbers [T], one at least")
        if z is not None:
            z = z if isinstance(z, jax.Array) else as_array("the code", z)
            if z.ndim != 1:
                raise InputError(f"traverse starts from one code [D], got shape {z.shape}")
        moved = latents.number_scored(self.program)
        mean, deviation = objectives.prior_moments(self.program, self.networks.extra, self.about)
        base = mean if z is None else self._codes(z[None])[0]
        codes = jnp.tile(base, (moved, len(values), 1))
        codes = codes.at[jnp.arange(moved), :, jnp.arange(moved)].set(
            mean[:, None] + deviation[:, None] * jnp.asarray(values, jnp.float32)
        )
        if labels is not None:
            labels = np.tile(np.reshape(labels, (1, -1)), (moved * len(values), 1))
        decoded = self.decode(codes.reshape(-1, len(base)), labels)
        return decoded.reshape(moved, len(values), *self.program.image_shape)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> pathlib.Path:
        """Write the model to a folder of its own, which `jaxvae.load_model` opens without the sweep.

        The folder holds model.safetensors, float32 arrays by path, and model.json, what it is and what is known of it.
        It appears whole or not at all.

        Args:
            path: the folder; its parents are made.
            overwrite: replace a model that is there.

        Raises:
            ModelError: something is there already, or the folder cannot be written.
        """
        return export.write(path, self.program, self.networks, self.about, overwrite=overwrite)


def _check_some(what: str, rows) -> None:
    if not len(rows):
        raise InputError(f"this model was given no {what}: the first axis of shape {rows.shape} is empty")


def check_fit(program: Program, variables: dict[str, Any], where: str) -> None:
    """Check that weights are those of a program's architecture, array by array.

    Args:
        program: what the weights are said to be of.
        variables: the architecture's variables, as Networks has them.
        where: what to begin an error with.

    Raises:
        ModelError: an array is missing, unknown, or of another shape.
        InputError: the architecture is unknown or takes no such images.
    """
    module = models.build(program)
    labels = np.zeros((1, len(program.label_sizes)), np.int32)
    images = jax.ShapeDtypeStruct((1, *program.image_shape), np.float32)
    key = jax.random.key(0)
    wanted = traverse_util.flatten_dict(
        jax.eval_shape(functools.partial(module.init, labels=labels), key, images, key), sep="/"
    )
    there = traverse_util.flatten_dict(variables, sep="/")
    for name in sorted({*wanted, *there}):
        shapes = [tuple(side[name].shape) if name in side else "none" for side in (wanted, there)]
        if shapes[0] != shapes[1]:
            raise export.ModelError(
                f"{where}: the weights are not those of architecture {program.architecture!r} as described: "
                f"{name} has shape {shapes[1]}, expected {shapes[0]}"
            )


@in_32_bits
def load_model(path: str | os.PathLike[str]) -> Model:
    """Open a model that `Model.save` wrote; the sweep it is from is not needed.

    Raises:
        ModelError: the folder holds none, its files are damaged or do not fit each other, or a newer version wrote it.
        InputError: its architecture is not known here, or the path is none.
    """
    path = as_path("the folder of a model", path)
    program, networks, about = export.read(path)
    check_fit(program, networks.variables, str(path))
    return Model(program, networks, about)
