"""The same VAEs and objectives restated in PyTorch, for models trained one after another. Knows no JAX.

As many parameters, the same batch and passes as jaxvae's; a test copies weights over and compares losses. What favours
PyTorch is left in its favour: it does not check for numbers that are not finite, keeps one sum of losses and no other
log, draws its randomness in bulk, uses fused Adam, and is given the fastest of the settings the caller tries.
"""

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from jaxvae.objectives.factor_vae import CRITIC_DEPTH, CRITIC_WIDTH

OBJECTIVES = ("vae", "beta_vae", "factor_vae")
ARCHITECTURES = ("conv", "burgess", "mlp", "mlp_dsprites")


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


def networks(architecture: str, shape: tuple[int, int, int], latent_dim: int) -> tuple[nn.Module, nn.Module]:
    """Return encoder [B, C, H, W] -> [B, 2D] and decoder [B, D] -> logits [B, C, H, W] for images of (H, W, C)."""
    height, width, channels = shape
    pixels = math.prod(shape)
    if architecture == "conv":
        return _convolutional(shape, latent_dim, (32, 32, 64, 64), (4, 4, 2, 2), (64, 32, 32), (256,))
    if architecture == "burgess":
        number = 4 if min(height, width) >= 64 else 3
        return _convolutional(shape, latent_dim, (32,) * number, (4,) * number, (32,) * (number - 1), (256, 256))
    down, up, activations = {
        "mlp": ((500,), (500,), (nn.Tanh, nn.Tanh)),
        "mlp_dsprites": ((1200, 1200), (1200, 1200, 1200), (nn.ReLU, nn.Tanh)),
    }[architecture]
    encoder = nn.Sequential(nn.Flatten(), *_dense((pixels, *down, 2 * latent_dim), activations[0]))
    decoder = _dense((latent_dim, *up, pixels), activations[1])
    return encoder, nn.Sequential(*decoder, nn.Unflatten(1, (channels, height, width)))


class Peer:
    """One model in training: everything on the device, batches drawn there.

    Args:
        program: what to train (jaxvae's Program, or anything with its fields).
        pixels: uint8[N, H, W, C], or bits uint8[N, ceil(H*W*C/8)] if `binary`.
        hypers: lr, and by objective beta, gamma, critic_lr.
        device: "cpu" or "cuda".
        compiled: whether `torch.compile` takes the loss; on CUDA with CUDA graphs.
        tf32: whether CUDA may round float32 products to TF32, as XLA does unless told otherwise.
        channels_last: the memory layout of images and convolutions.
        threads: of the CPU; None leaves them alone.
    """

    def __init__(
        self,
        program,
        pixels: np.ndarray | torch.Tensor,
        binary: bool,
        hypers: Mapping[str, float],
        *,
        device: str = "cpu",
        compiled: bool = False,
        tf32: bool = False,
        channels_last: bool = False,
        threads: int | None = None,
        seed: int = 0,
    ):
        if program.objective not in OBJECTIVES or program.likelihood != "bernoulli":
            raise ValueError(f"the PyTorch peer knows {', '.join(OBJECTIVES)} with bernoulli pixels")
        torch.manual_seed(seed)
        self.program, self.binary, self.hypers, self.device, self.tf32 = program, binary, dict(hypers), device, tf32
        self.threads = threads
        self.pixels = torch.as_tensor(pixels).to(device)
        # The pixels of every byte f32[256, 8], first pixel in the highest bit: looking up is faster than shifting.
        self.bytes = torch.tensor([[byte >> place & 1 for place in range(7, -1, -1)] for byte in range(256)])
        self.bytes = self.bytes.float().to(device)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        encoder, decoder = networks(program.architecture, program.image_shape, program.latent_dim)
        self.encoder = encoder.to(device, memory_format=self.layout)
        self.decoder = decoder.to(device, memory_format=self.layout)
        self.critic = nn.ModuleList()
        if program.objective == "factor_vae":
            widths = (program.latent_dim, *[CRITIC_WIDTH.of(program)] * CRITIC_DEPTH.of(program), 2)
            self.critic.extend(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.critic.to(device)
        self.vae_parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.critic_parameters = [*self.critic.parameters()]
        self.optimisers = [torch.optim.Adam(self.vae_parameters, lr=self.hypers["lr"], fused=True)]
        if self.critic_parameters:
            self.optimisers.append(
                torch.optim.Adam(self.critic_parameters, lr=self.hypers["critic_lr"], betas=(0.5, 0.9), fused=True)
            )
        self.compiled = compiled
        self._loss = self.loss
        if compiled:
            mode = "reduce-overhead" if device == "cuda" else None
            self._loss = torch.compile(self.loss, mode=mode, dynamic=False)

    @property
    def num_parameters(self) -> dict[str, int]:
        """Return how many parameters each network has."""
        parts = {"encoder": self.encoder, "decoder": self.decoder, "critic": self.critic}
        return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}

    def batch(self) -> torch.Tensor:
        """Draw images f32[B, C, H, W] in [0, 1], uniformly with replacement."""
        height, width, channels = self.program.image_shape
        rows = self.pixels[torch.randint(len(self.pixels), (self.program.batch_size,), device=self.device)]
        if self.binary:
            images = F.embedding(rows.int(), self.bytes).flatten(1)[:, : height * width * channels]
        else:
            images = rows.float() / 255.0
        images = images.view(-1, height, width, channels).permute(0, 3, 1, 2)
        return images.contiguous(memory_format=self.layout)

    def encode(self, images: torch.Tensor, noise: torch.Tensor | None = None):
        """Return mean, log-variance and a sample, each f32[B, D]."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.program.dtype == "bfloat16"):
            mean, logvar = self.encoder(images).float().chunk(2, dim=1)
        noise = torch.randn_like(mean) if noise is None else noise
        return mean, logvar, mean + (0.5 * logvar).exp() * noise

    def judge(self, codes: torch.Tensor, constant: bool = False) -> torch.Tensor:
        """Return the critic's logits [B, 2]; with constant parameters where only the codes' gradient is wanted."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.program.dtype == "bfloat16"):
            for index, layer in enumerate(self.critic):
                codes = F.leaky_relu(codes, 0.2) if index else codes
                weight, bias = (p.detach() if constant else p for p in (layer.weight, layer.bias))
                codes = F.linear(codes, weight, bias)
        return codes.float()

    def loss(self, images=None, noise=None, shuffled=None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return nll + beta * KL (+ gamma * TC), nats per image, and the critic's cross-entropy or None.

        What is not given is drawn: images [B, C, H, W], noise [B, D], and shuffled codes [B, D] of a second batch.
        """
        images = self.batch() if images is None else images
        mean, logvar, z = self.encode(images, noise)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.program.dtype == "bfloat16"):
            logits = self.decoder(z)
        nll = F.binary_cross_entropy_with_logits(logits.float(), images, reduction="sum") / len(images)
        kl = 0.5 * (mean**2 + logvar.exp() - logvar - 1.0).sum(1).mean()
        total = nll + self.hypers.get("beta", 1.0) * kl
        if not self.critic_parameters:
            return total, None

        if shuffled is None:
            with torch.no_grad():
                other = self.encode(self.batch())[2]
                shuffled = other.gather(0, torch.rand_like(other).argsort(0))
        # Eager PyTorch goes over the critic once for both players and picks gradients in `step`. A compiled loss has
        # one backward pass: there the players are kept apart by what each sees as constant, and equal passes merge.
        on_codes = self.judge(z, constant=self.compiled)
        total = total + self.hypers["gamma"] * (on_codes[:, 0] - on_codes[:, 1]).mean()
        if self.compiled:
            on_codes = self.judge(z.detach())
        truth = torch.zeros(len(z), dtype=torch.long, device=z.device)
        cross_entropy = F.cross_entropy(on_codes, truth) + F.cross_entropy(self.judge(shuffled), truth + 1)
        return total, 0.5 * cross_entropy

    def step(self) -> torch.Tensor:
        """Take one step of both players and return the VAE's loss, still on the device."""
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()  # what the last step returned may be overwritten
        total, cross_entropy = self._loss()
        if cross_entropy is None:
            total.backward()
        elif self.compiled:
            (total + cross_entropy).backward()
        else:
            gradients = torch.autograd.grad(total, self.vae_parameters, retain_graph=True)
            gradients += torch.autograd.grad(cross_entropy, self.critic_parameters)
            for parameter, gradient in zip(self.vae_parameters + self.critic_parameters, gradients, strict=True):
                parameter.grad = gradient
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return total.detach()

    def run(self, num_steps: int) -> float:
        """Take steps, wait for the last, and return the mean loss."""
        if self.threads:
            torch.set_num_threads(self.threads)
        if self.device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.tf32
            torch.backends.cudnn.benchmark = True
        losses = torch.zeros((), device=self.device)
        for _ in range(num_steps):
            losses += self.step()
        return float(losses) / num_steps

    @torch.no_grad()
    def load(self, params: Mapping) -> None:
        """Take over the weights of a jaxvae lane, {"vae": {"model": …}, "critic": …} with leaves on the host."""
        channels = next((m.unflattened_size[0] for m in self.decoder if isinstance(m, nn.Unflatten)), 1)
        for part, network in (("encoder", self.encoder), ("decoder", self.decoder)):
            _load(network, params["vae"]["model"][part], channels if isinstance(self.encoder[0], nn.Conv2d) else 1)
        if self.critic_parameters:
            _load(self.critic, params["critic"]["tc_critic"], 1)


def _load(network: nn.Module, theirs: Mapping, channels: int) -> None:
    """Copy Flax's arrays into PyTorch's, layer by layer of each kind, in order.

    Flax lays kernels out as [k, k, in, out] and [in, out], and flattens [H, W, C]; PyTorch flattens [C, H, W], so rows
    or columns of the dense layer next to the convolutions change places (`channels` of them to a pixel).
    """
    seen: dict[str, int] = {}
    layers = [layer for layer in network if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
    convolutional = any(not isinstance(layer, nn.Linear) for layer in layers)
    for position, layer in enumerate(layers):
        kind = {nn.Linear: "Dense", nn.Conv2d: "Conv", nn.ConvTranspose2d: "ConvTranspose"}[type(layer)]
        number = seen[kind] = seen.get(kind, -1) + 1
        kernel, bias = (np.array(theirs[f"{kind}_{number}"][name]) for name in ("kernel", "bias"))
        if kind == "Conv":
            kernel = kernel.transpose(3, 2, 0, 1)
        elif kind == "ConvTranspose":
            kernel = kernel.transpose(2, 3, 0, 1)
        else:
            if convolutional and position and isinstance(layers[position - 1], nn.Conv2d):
                kernel = kernel.reshape(-1, channels, kernel.shape[1]).swapaxes(0, 1).reshape(kernel.shape)
            if convolutional and position + 1 < len(layers) and isinstance(layers[position + 1], nn.ConvTranspose2d):
                kernel = kernel.reshape(len(kernel), -1, channels).swapaxes(1, 2).reshape(kernel.shape)
                bias = bias.reshape(-1, channels).T.ravel()
            kernel = kernel.T
        layer.weight.copy_(torch.as_tensor(np.ascontiguousarray(kernel)))
        layer.bias.copy_(torch.as_tensor(np.ascontiguousarray(bias)))


def forget() -> None:
    """Drop compiled programs of models that are gone: one process may compile the same function only a few times."""
    torch.compiler.reset()


def matmul_rate(size: int, seconds_of: Callable[[Callable[[], None]], float], device: str = "cpu") -> float:
    """Return operations per second of a float32 matrix product of random [size, size] operands, TF32 allowed."""
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    a, b = torch.randn(2, size, size, device=device)

    def multiply():
        product = a @ b
        float(product[0, 0])  # waits

    return 2 * size**3 / seconds_of(multiply)
