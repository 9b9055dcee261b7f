"""What a training step must do, counted on paper from layer shapes: multiplications, and bytes through memory.

Restated here from the papers' tables, not read from the networks, so that the two check each other (see the tests).

Operations, a multiply-add being two. Forward: a dense layer 2 * in * out; a convolution 2 * k * k * in * out * H * W,
H x W being its smaller grid: the output's, or the input's of a transposed one. Taps that fall on padding are counted.
Backward: twice that, once for the kernel's gradient and once for the input's, which the first layer does not need.
Elementwise work (activations, sampling, losses, Adam) is not counted: it is little, and not what matmul units do.

Bytes, as if all that lies between two products were fused into them and no cache outlived a product. For every layer
and image, forward reads the input and writes the output; backward reads the saved input and the output's gradient and
writes the input's. Kernels are read by forward and by the input's gradient and their gradients written, once a batch.
Adam reads parameters, gradients and two moments and writes all but the gradients: 7 numbers a parameter. Activations
have the arithmetic's dtype, parameters are float32.
"""

import itertools
import math
from typing import NamedTuple

from jaxvae import objectives
from jaxvae.objectives.base import nothing
from jaxvae.objectives.factor_vae import CRITIC_DEPTH, CRITIC_WIDTH
from jaxvae.types import Program

SIZES = {"float32": 4, "bfloat16": 2}


class Layer(NamedTuple):
    """One product: numbers read and written for one image, parameters, operations of one image's forward pass."""

    inputs: int
    outputs: int
    kernel: int
    bias: int
    flops: int


class Count(NamedTuple):
    """One training step of one lane."""

    flops: int
    bytes: int
    parameters: int  # all networks that are trained
    state_bytes: int  # parameters and Adam's two moments
    activation_bytes: int  # what forward keeps for backward


def dense(inputs: int, outputs: int) -> Layer:
    """Count a dense layer."""
    return Layer(inputs, outputs, inputs * outputs, outputs, 2 * inputs * outputs)


def conv(kernel: int, grid: tuple[int, int], channels: int, features: int, stride: int, up: bool = False) -> Layer:
    """Count a convolution on a [*grid, channels] image that divides the grid by `stride`, or multiplies it if `up`."""
    height, width = grid
    weights = kernel * kernel * channels * features
    if up:
        outputs, small = height * stride * width * stride * features, height * width
    else:
        small = (height // stride) * (width // stride)
        outputs = small * features
    return Layer(height * width * channels, outputs, weights, features, 2 * weights * small)


def stack(*widths: int) -> list[Layer]:
    """Count dense layers from each width to the next."""
    return [dense(a, b) for a, b in itertools.pairwise(widths)]


def strides(image_shape: tuple[int, int, int], layers: int) -> list[int]:
    """Return the strides of a convolutional encoder: halve while both sides are even, then keep the size."""
    height, width, _ = image_shape
    found = []
    for _ in range(layers):
        found.append(2 if height % 2 == 0 and width % 2 == 0 else 1)
        height, width = height // found[-1], width // found[-1]
    return found


def _convolutional(image_shape, latent_dim, down, kernels, up, hidden) -> tuple[list[Layer], list[Layer]]:
    """Return encoder and decoder of convolutions to `down` features, dense `hidden`, and transposed ones to `up`."""
    height, width, channels = image_shape
    by = strides(image_shape, len(down))
    encoder, decoder, grid, last = [], [], (height, width), channels
    for features, kernel, stride in zip(down, kernels, by, strict=True):
        encoder.append(conv(kernel, grid, last, features, stride))
        grid, last = (grid[0] // stride, grid[1] // stride), features
    flat = math.prod(grid) * last
    encoder += stack(flat, *hidden, 2 * latent_dim)
    decoder += stack(latent_dim, *hidden, flat)
    for features, stride in zip((*up, channels), reversed(by), strict=True):
        decoder.append(conv(4, grid, last, features, stride, up=True))
        grid, last = (grid[0] * stride, grid[1] * stride), features
    return encoder, decoder


def _residual(image_shape, latent_dim, widths, hidden) -> tuple[list[Layer], list[Layer]]:
    """Return encoder and decoder of levels, as many as the image can be halved: a convolution, a residual block."""
    height, width, channels = image_shape
    widths = widths[: strides(image_shape, len(widths)).count(2)]
    encoder, decoder, grid, last = [], [], (height, width), channels
    for features in widths:
        encoder.append(conv(4, grid, last, features, 2))
        grid, last = (grid[0] // 2, grid[1] // 2), features
        encoder += [conv(3, grid, last, last, 1)] * 2
    flat = math.prod(grid) * last
    encoder += stack(flat, hidden, 2 * latent_dim)
    decoder += stack(latent_dim, hidden, flat)
    for features in (*widths[-2::-1], channels):
        decoder += [conv(3, grid, last, last, 1)] * 2
        decoder.append(conv(4, grid, last, features, 2, up=True))
        grid, last = (grid[0] * 2, grid[1] * 2), features
    return encoder, decoder


def layers(program: Program) -> tuple[list[Layer], list[Layer]] | None:
    """Return the layers of encoder and decoder in order, or None for an architecture that is not counted here."""
    shape, latents = program.image_shape, program.latent_dim
    pixels = math.prod(shape)
    if program.architecture == "conv":  # Locatello et al. 2019
        return _convolutional(shape, latents, (32, 32, 64, 64), (4, 4, 2, 2), (64, 32, 32), (256,))
    if program.architecture == "burgess":  # Burgess et al. 2018; three convolutions below 64x64
        number = 4 if min(shape[:2]) >= 64 else 3
        return _convolutional(shape, latents, (32,) * number, (4,) * number, (32,) * (number - 1), (256, 256))
    if program.architecture == "resnet":  # blocks of He et al. 2016b
        return _residual(shape, latents, (32, 64, 128, 128), 256)
    if program.architecture == "mlp":  # Kingma & Welling 2014
        return stack(pixels, 500, 2 * latents), stack(latents, 500, pixels)
    if program.architecture == "mlp_dsprites":  # Higgins et al. 2017
        return stack(pixels, 1200, 1200, 2 * latents), stack(latents, 1200, 1200, 1200, pixels)
    return None


def critic(program: Program) -> list[Layer]:
    """Return the layers of FactorVAE's critic (Kim & Mnih 2018, appendix A)."""
    return stack(program.latent_dim, *[CRITIC_WIDTH.of(program)] * CRITIC_DEPTH.of(program), 2)


def parameters(network: list[Layer]) -> int:
    """Return how many numbers of a network are trained."""
    return sum(layer.kernel + layer.bias for layer in network)


def _trained(network: list[Layer], batch: int, size: int) -> tuple[int, int]:
    """Return operations and bytes of one forward and backward pass that trains a network on `batch` examples."""
    flops = batch * (3 * sum(layer.flops for layer in network) - network[0].flops)
    numbers = batch * sum(3 * layer.inputs + 2 * layer.outputs for layer in network) - batch * network[0].inputs
    return flops, numbers * size + 4 * (3 * parameters(network) - network[0].kernel)


def _forward(network: list[Layer], batch: int, size: int) -> tuple[int, int]:
    """Return operations and bytes of one forward pass of a network."""
    numbers = batch * sum(layer.inputs + layer.outputs for layer in network)
    return batch * sum(layer.flops for layer in network), numbers * size + 4 * parameters(network)


def count(program: Program) -> Count | None:
    """Count one training step of one lane.

    Terms without networks of their own add nothing that is counted. FactorVAE adds the encoder on a second batch; the
    critic trained on both batches, which gives the VAE its gradient too, but for the product back to the first batch's
    codes. Returns None where a network is not known here.
    """
    networks, terms = layers(program), objectives.objective(program.objective).terms
    foreign = [
        term for term in terms if term.name != "tc_critic" and not (term.init_extra is term.init_critic is nothing)
    ]
    if networks is None or foreign:
        return None
    encoder, decoder = networks
    batch, size = program.batch_size, SIZES[program.dtype]
    passes = [_trained(encoder + decoder, batch, size)]
    trained = encoder + decoder
    if any(term.name == "tc_critic" for term in terms):
        judge = critic(program)
        # A product back to the input alone costs what a forward one does, and moves as much.
        passes += [_forward(encoder, batch, size), _trained(judge, 2 * batch, size), _forward(judge[:1], batch, size)]
        trained = trained + judge
    size_of_all = parameters(trained)
    return Count(
        flops=sum(flops for flops, _ in passes),
        bytes=sum(moved for _, moved in passes) + 7 * 4 * size_of_all,
        parameters=size_of_all,
        state_bytes=3 * 4 * size_of_all,
        activation_bytes=batch * size * sum(layer.inputs for layer in trained),
    )
