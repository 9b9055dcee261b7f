"""The networks of jaxvae restated in PyTorch, and how they take over its weights. Knows no loss and no JAX."""

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

ARCHITECTURES = ("conv", "burgess", "resnet", "mlp", "mlp_dsprites")
CONVOLUTIONAL = ("conv", "burgess", "resnet")


def _dense(widths: tuple[int, ...], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Return dense layers from each width to the next, the activation between them and not after the last."""
    made: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        made += [nn.Linear(inputs, outputs), activation()]
    return made[:-1]


def _convolutional(shape, latent_dim, down, kernels, up, hidden) -> tuple[nn.Module, nn.Module]:
    """Return encoder and decoder of stride-2 convolutions; images [B, C, H, W] whose sides they halve exactly."""
    height, width, channels = shape
    shrink = 2 ** len(down)
    if height % shrink or width % shrink:
        raise ValueError(f"images of {height}x{width} cannot be halved {len(down)} times; PyTorch would pad otherwise")
    encoder: list[nn.Module] = []
    for inputs, outputs, kernel in zip((channels, *down), down, kernels, strict=False):
        encoder += [nn.Conv2d(inputs, outputs, kernel, stride=2, padding=(kernel - 2) // 2), nn.ReLU()]
    start = (down[-1], height // shrink, width // shrink)
    flat = math.prod(start)
    decoder = [*_dense((latent_dim, *hidden, flat), nn.ReLU), nn.ReLU(), nn.Unflatten(1, start)]
    for inputs, outputs in zip((down[-1], *up), (*up, channels), strict=True):
        decoder += [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
    encoder += [nn.Flatten(), *_dense((flat, *hidden, 2 * latent_dim), nn.ReLU)]
    return nn.Sequential(*encoder), nn.Sequential(*decoder[:-1])


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3 convolutions that keep the number of channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.layers
        return x + second(F.relu(first(F.relu(x))))


def _residual(shape, latent_dim, widths, hidden) -> tuple[nn.Module, nn.Module]:
    """Return encoder and decoder that halve and double images as often as they can, at most once for each width."""
    height, width, channels = shape
    levels = 0
    while levels < len(widths) and height % 2 == width % 2 == 0:
        height, width, levels = height // 2, width // 2, levels + 1
    widths, encoder, decoder = widths[:levels], [], []
    for inputs, outputs in zip((channels, *widths), widths, strict=False):
        encoder += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), Residual(outputs), nn.ReLU()]
    start = (widths[-1], height, width)
    flat = math.prod(start)
    encoder += [nn.Flatten(), *_dense((flat, hidden, 2 * latent_dim), nn.ReLU)]
    decoder += [*_dense((latent_dim, hidden, flat), nn.ReLU), nn.Unflatten(1, start)]
    for inputs, outputs in itertools.pairwise((*widths[::-1], channels)):
        decoder += [Residual(inputs), nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def networks(architecture: str, shape: tuple[int, int, int], latent_dim: int) -> tuple[nn.Module, nn.Module]:
    """Return encoder [B, C, H, W] -> [B, 2D] and decoder [B, D] -> logits [B, C, H, W] for images of (H, W, C)."""
    height, width, channels = shape
    pixels = math.prod(shape)
    if architecture == "conv":
        return _convolutional(shape, latent_dim, (32, 32, 64, 64), (4, 4, 2, 2), (64, 32, 32), (256,))
    if architecture == "burgess":
        number = 4 if min(height, width) >= 64 else 3
        return _convolutional(shape, latent_dim, (32,) * number, (4,) * number, (32,) * (number - 1), (256, 256))
    if architecture == "resnet":
        return _residual(shape, latent_dim, (32, 64, 128, 128), 256)
    down, up, activations = {
        "mlp": ((500,), (500,), (nn.Tanh, nn.Tanh)),
        "mlp_dsprites": ((1200, 1200), (1200, 1200, 1200), (nn.ReLU, nn.Tanh)),
    }[architecture]
    encoder = nn.Sequential(nn.Flatten(), *_dense((pixels, *down, 2 * latent_dim), activations[0]))
    decoder = _dense((latent_dim, *up, pixels), activations[1])
    return encoder, nn.Sequential(*decoder, nn.Unflatten(1, (channels, height, width)))


KINDS = {nn.Linear: "Dense", nn.Conv2d: "Conv", nn.ConvTranspose2d: "ConvTranspose", Residual: "Residual"}
"""What Flax calls each kind of layer that has weights."""


def load(network: nn.Module, theirs: Mapping, channels: int) -> None:
    """Copy Flax's arrays into PyTorch's, layer by layer of each kind, in order.

    Flax lays kernels out as [k, k, in, out] and [in, out], and flattens [H, W, C]; PyTorch flattens [C, H, W], so rows
    or columns of the dense layer next to the convolutions change places (`channels` of them to a pixel).
    """
    seen: dict[str, int] = {}
    layers = [layer for layer in network if isinstance(layer, tuple(KINDS))]
    convolutional = any(not isinstance(layer, nn.Linear) for layer in layers)
    for position, layer in enumerate(layers):
        kind = KINDS[type(layer)]
        number = seen[kind] = seen.get(kind, -1) + 1
        if kind == "Residual":
            load(layer.layers, theirs[f"{kind}_{number}"], channels)
            continue
        kernel, bias = (np.array(theirs[f"{kind}_{number}"][name]) for name in ("kernel", "bias"))
        if kind == "Conv":
            kernel = kernel.transpose(3, 2, 0, 1)
        elif kind == "ConvTranspose":
            kernel = kernel.transpose(2, 3, 0, 1)
        else:
            if convolutional and position and not isinstance(layers[position - 1], nn.Linear):
                kernel = kernel.reshape(-1, channels, kernel.shape[1]).swapaxes(0, 1).reshape(kernel.shape)
            if convolutional and position + 1 < len(layers) and not isinstance(layers[position + 1], nn.Linear):
                kernel = kernel.reshape(len(kernel), -1, channels).swapaxes(1, 2).reshape(kernel.shape)
                bias = bias.reshape(-1, channels).T.ravel()
            kernel = kernel.T
        layer.weight.copy_(torch.as_tensor(np.ascontiguousarray(kernel)))
        layer.bias.copy_(torch.as_tensor(np.ascontiguousarray(bias)))
