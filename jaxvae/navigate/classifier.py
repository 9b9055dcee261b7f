"""A network that tells all attributes of a picture at once: the judge of edits. Knows no VAE."""

import functools
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae.models.layers import Weights, stack
from jaxvae.models.resnet import HE, Residual
from jaxvae.navigate.attributes import Attributes
from jaxvae.navigate.keeping import digest
from jaxvae.saved import export
from jaxvae.types import InputError, in_32_bits

WIDTHS = (24, 48, 96, 128)
HIDDEN = 256
BATCH = 64
STEPS = 3500
CHUNK = 50  # steps of one compiled call
PEAK = 2e-3  # learning rate
WARM_UP = 200  # steps
DECAY = 0.05  # of weights, times the learning rate (AdamW)
DROPPED = 0.3  # share of what the dense layers see that is dropped
MOST_SHIFTED = 3  # pixels of 64
AVERAGED = 0.995  # of weights, from step to step; the average judges


class AttributeNet(nn.Module):
    """Images f32[B, H, W, C] in [0, 1] -> logits f32[B, A].

    Convolutions that halve, each followed by a residual block of two 3x3 convolutions (He et al. 2016b), then dense
    layers that see every place, since faces are aligned.
    """

    num_attributes: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        x = (x - 0.5) / 0.25
        for level, width in enumerate(WIDTHS):
            if min(x.shape[1:3]) < 4 or x.shape[1] % 2 or x.shape[2] % 2:
                break
            kernel = Weights(width, 4, HE, name=f"Conv_{level}")(x.shape[-1])
            x = stack(x if level == 0 else nn.relu(x), [kernel], [2], transposed=False)
            x = Residual("float32", name=f"Residual_{level}")(x)
        x = nn.relu(x).reshape(len(x), -1)
        x = nn.Dropout(DROPPED, deterministic=not train)(x)
        x = nn.relu(nn.Dense(HIDDEN, kernel_init=HE)(x))
        x = nn.Dropout(DROPPED, deterministic=not train)(x)
        return nn.Dense(self.num_attributes, kernel_init=nn.initializers.zeros)(x)


class Classifier:
    """A trained judge: `classifier(images) -> f32[B, A]`, log-odds of each attribute where both answers are as likely.

    Where mirrored pictures have the same attributes, the mean over a picture and its mirror image: what is blurred on
    one side may be plain on the other, and no edit scores by turning a head.

    Attributes:
        attributes: A names.
        image_shape: (H, W, C).
        params: of AttributeNet.
        about: what is known of its training.
    """

    def __init__(
        self, attributes: tuple[str, ...], image_shape: tuple[int, int, int], params: Any, about: dict[str, Any]
    ):
        self.attributes, self.image_shape, self.about = tuple(attributes), tuple(image_shape), about
        self.params = jax.tree.map(jnp.asarray, params)

    def __repr__(self) -> str:
        return f"Classifier({len(self.attributes)} attributes of images {'x'.join(map(str, self.image_shape))})"

    @in_32_bits
    def __call__(self, images) -> np.ndarray:
        """Return f32[B, A] for images [B, H, W, C], floats in [0, 1] or uint8 in 0 … 255.

        Raises:
            InputError: the images are of another shape.
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:] != self.image_shape:
            raise InputError(f"{self!r} takes images [B, {', '.join(map(str, self.image_shape))}], got {images.shape}")
        return np.asarray(_judge(self.params, images, len(self.attributes), bool(self.about.get("mirror"))))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> pathlib.Path:
        """Write the classifier to a folder of its own, which `load_classifier` opens; whole or not at all.

        Raises:
            ModelError: something is there already, or the folder cannot be written.
        """
        said = {"attributes": self.attributes, "image_shape": self.image_shape, "about": self.about}
        return export.write_folder(path, {"params": self.params}, said, FILES, overwrite=overwrite)


FILES = export.Files("classifier.safetensors", "classifier.json", "an attribute classifier")


@in_32_bits
def load_classifier(path: str | os.PathLike[str]) -> Classifier:
    """Open a classifier that `Classifier.save` wrote.

    Raises:
        ModelError: the folder holds none, its files are damaged or do not fit each other.
    """
    arrays, said = export.read_folder(path, FILES)
    try:
        attributes, image_shape = tuple(said["attributes"]), tuple(said["image_shape"])
        found = Classifier(attributes, image_shape, arrays["params"], said["about"])
        wanted = jax.eval_shape(AttributeNet(len(attributes)).init, jax.random.key(0), jnp.zeros((1, *image_shape)))[
            "params"
        ]
        same = jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, wanted, found.params))
    except (KeyError, TypeError, ValueError) as error:
        raise export.ModelError(f"{path} does not hold a classifier of this version ({error})") from None
    if not same:
        raise export.ModelError(f"{path}: the weights are not those of the network that {FILES.about} describes")
    return found


@functools.partial(jax.jit, static_argnames=("num_attributes", "mirror"))
def _judge(params, images, num_attributes, mirror):
    images = images.astype(jnp.float32) / (255.0 if images.dtype == jnp.uint8 else 1.0)
    net = AttributeNet(num_attributes)
    scores = net.apply({"params": params}, images)
    return 0.5 * (scores + net.apply({"params": params}, images[:, :, ::-1])) if mirror else scores


class _Told(NamedTuple):
    """What is learned from: an argument of what is compiled, which would hold a copy of all images otherwise."""

    pixels: jax.Array  # uint8[N, H, W, C]
    values: jax.Array  # bool[N, A]
    prior: jax.Array  # f32[A], log-odds of each attribute


class _State(NamedTuple):
    params: Any
    opt: Any
    averaged: Any


@in_32_bits
def train_classifier(
    images: np.ndarray,
    attributes: Attributes,
    *,
    steps: int = STEPS,
    mirror: bool = True,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Classifier:
    """Train a classifier of all attributes on images.

    Adam with decoupled weight decay (Loshchilov & Hutter 2019) on the mean binary cross-entropy; the learning rate
    rises and falls as half a cosine; a running average of the weights judges. Pictures are mirrored, shifted by a few
    pixels, made lighter and darker, and a quarter of them blurred, as a VAE's reconstructions are.

    Rare attributes: the network learns the log-odds that an image has an attribute among those it is trained on; what
    is returned are these minus the attribute's own log-odds there (logit adjustment, Menon et al. 2021). So a score
    above 0 says "more likely than by its frequency", balanced accuracies are taken at 0, and no image weighs more than
    another in training.

    Args:
        images: uint8[N, H, W, C].
        attributes: of the N images, each true of some and not of all.
        steps: of 64 images each.
        mirror: whether a mirrored picture has the same attributes.
        seed: of weights, batches and augmentation.
        say: is given a line from time to time.
    """
    images = np.asarray(images)
    frequency = attributes.values.mean(0)
    told = _Told(
        jnp.asarray(images),
        jnp.asarray(attributes.values),
        jnp.asarray(np.log(frequency / (1 - frequency)), jnp.float32),
    )
    net = AttributeNet(len(attributes.names))
    params = jax.jit(net.init)(jax.random.key(seed), jnp.zeros((1, *images.shape[1:])))["params"]
    state = _State(params, _optimiser(steps).init(params), jax.tree.map(jnp.copy, params))
    key = jax.random.key(seed + 1)
    began = said = time.monotonic()
    for first in range(0, steps, CHUNK):
        state, losses = _several(state, key, first, told, steps=steps, chunk=CHUNK, mirror=mirror)
        loss = float(losses.mean())
        now, done = time.monotonic(), min(first + CHUNK, steps)
        if now - said > 10:
            said = now
            left = (now - began) / done * (steps - done)
            say(f"  classifier: step {done:,} of {steps:,}, cross-entropy {loss:.3f}, about {left:.0f} s left")
    about = {
        "images": len(images),
        "trained_on": digest(images),
        "steps": steps,
        "mirror": mirror,
        "seed": seed,
        "cross_entropy": loss,
        "seconds": round(time.monotonic() - began, 1),
        "frequency": dict(zip(attributes.names, frequency.round(4).tolist(), strict=True)),
    }
    return Classifier(attributes.names, images.shape[1:], state.averaged, about)


def _optimiser(steps: int) -> optax.GradientTransformation:
    rate = optax.warmup_cosine_decay_schedule(0.0, PEAK, min(WARM_UP, steps // 2), steps)
    return optax.adamw(rate, weight_decay=DECAY)


@functools.partial(jax.jit, static_argnames=("steps", "chunk", "mirror"), donate_argnames="state")
def _several(state: _State, key: jax.Array, first: jax.Array, told: _Told, *, steps: int, chunk: int, mirror: bool):
    """Make `chunk` of `steps` updates, from number `first` on; return the state and the losses f32[chunk]."""
    net, optimiser = AttributeNet(told.values.shape[1]), _optimiser(steps)

    def one_step(state: _State, step) -> tuple[_State, jax.Array]:
        chosen, changed, dropped = jax.random.split(jax.random.fold_in(key, step), 3)
        rows = jax.random.randint(chosen, (BATCH,), 0, len(told.pixels), jnp.int32)
        x = augment(changed, told.pixels[rows].astype(jnp.float32) / 255.0, mirror=mirror)

        def loss_of(params):
            logits = net.apply({"params": params}, x, train=True, rngs={"dropout": dropped})
            having = told.values[rows].astype(jnp.float32)
            return optax.sigmoid_binary_cross_entropy(logits + told.prior, having).mean()

        loss, slopes = jax.value_and_grad(loss_of)(state.params)
        updates, opt = optimiser.update(slopes, state.opt, state.params)
        params = optax.apply_updates(state.params, updates)
        keep = jnp.minimum(AVERAGED, (1.0 + step) / (10.0 + step))  # the first weights are soon forgotten
        averaged = jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, state.averaged, params)
        return _State(params, opt, averaged), loss

    return jax.lax.scan(one_step, state, first + jnp.arange(chunk))


def augment(key: jax.Array, images: jax.Array, *, mirror: bool) -> jax.Array:
    """Return images f32[B, H, W, C] changed as attributes do not mind: mirrored, shifted, lit otherwise, blurred."""
    side, place, blur, lit, dark = jax.random.split(key, 5)
    num, height, width, _ = images.shape
    each = (num, 1, 1, 1)
    if mirror:
        images = jnp.where(jax.random.bernoulli(side, shape=each), images[:, :, ::-1], images)
    most = max(1, round(MOST_SHIFTED * width / 64))
    wide = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    corners = jax.random.randint(place, (num, 2), 0, 2 * most + 1, jnp.int32)
    images = jax.vmap(lambda one, at: jax.lax.dynamic_slice(one, (at[0], at[1], 0), images.shape[1:]))(wide, corners)
    kind = jax.random.uniform(blur, each, jnp.float32)
    small = jax.image.resize(images, (num, height // 4, width // 4, images.shape[-1]), "linear")
    images = jnp.where(
        kind < 0.75,
        images,
        jnp.where(kind < 0.9, smooth(smooth(images)), jax.image.resize(small, images.shape, "linear")),
    )
    contrast = 0.9 + 0.2 * jax.random.uniform(lit, each, jnp.float32)
    return images * contrast + 0.1 * (jax.random.uniform(dark, each, jnp.float32) - 0.5)


def smooth(images: jax.Array) -> jax.Array:
    """Return images f32[B, H, W, C] with every pixel the mean, 1 to 2 to 1, of itself and its neighbours both ways."""
    for axis in (1, 2):
        ahead = jnp.roll(images, -1, axis)
        back = jnp.roll(images, 1, axis)
        images = 0.25 * (ahead + 2 * images + back)
    return images
