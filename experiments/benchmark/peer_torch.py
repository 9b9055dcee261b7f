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

import torch_networks
from jaxvae.objectives.factor_vae import CRITIC_DEPTH, CRITIC_WIDTH

OBJECTIVES = ("vae", "beta_vae", "factor_vae", "beta_tcvae", "dip_vae_ii")


def decomposed(mean: torch.Tensor, logvar: torch.Tensor, z: torch.Tensor, num_images: int) -> tuple[torch.Tensor, ...]:
    """Return MI, TC and dimension-wise KL of a batch [B, D], nats, by minibatch-weighted sampling from num_images."""

    def log_normal(values, centre, log_variance):
        return -0.5 * (math.log(2 * math.pi) + log_variance + (values - centre) ** 2 * (-log_variance).exp())

    pairs = log_normal(z[:, None], mean[None], logvar[None])
    weight = -math.log(len(z) * num_images)
    own = log_normal(z, mean, logvar).sum(1)
    joint = torch.logsumexp(weight + pairs.sum(2), 1)
    latents = torch.logsumexp(weight + pairs, 1).sum(1)
    prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    return (own - joint).mean(), (joint - latents).mean(), (latents - prior).mean()


def away_from_identity(mean: torch.Tensor, logvar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sums of squares off and on the diagonal of Cov[z] - I, z ~ q of a batch [B, D]."""
    centred = mean - mean.mean(0)
    matrix = logvar.exp().mean(0).diag() + centred.T @ centred / len(mean)
    diagonal = matrix.diagonal()
    return ((matrix - diagonal.diag()) ** 2).sum(), ((diagonal - 1.0) ** 2).sum()


class Peer:
    """One model in training: everything on the device, batches drawn there.

    Args:
        program: what to train (jaxvae's Program, or anything with its fields).
        pixels: uint8[N, H, W, C], or bits uint8[N, ceil(H*W*C/8)] if `binary`.
        hypers: lr, and by objective beta, gamma, critic_lr, …, by jaxvae's names.
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
        self.program, self.binary, self.device, self.tf32, self.threads = program, binary, device, tf32, threads
        # Tensors, so that what is compiled serves a model with other numbers.
        numbers = {name: value for name, value in hypers.items() if not isinstance(value, str)}
        self.hypers = {name: torch.tensor(float(value), device=device) for name, value in numbers.items()}
        self.pixels = torch.as_tensor(pixels).to(device)
        # The pixels of every byte f32[256, 8], first pixel in the highest bit: looking up is faster than shifting.
        self.bytes = torch.tensor([[byte >> place & 1 for place in range(7, -1, -1)] for byte in range(256)])
        self.bytes = self.bytes.float().to(device)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        encoder, decoder = torch_networks.networks(program.architecture, program.image_shape, program.latent_dim)
        self.encoder = encoder.to(device, memory_format=self.layout)
        self.decoder = decoder.to(device, memory_format=self.layout)
        self.critic = nn.ModuleList()
        if program.objective == "factor_vae":
            widths = (program.latent_dim, *[CRITIC_WIDTH.of(program)] * CRITIC_DEPTH.of(program), 2)
            self.critic.extend(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.critic.to(device)
        self.vae_parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.critic_parameters = [*self.critic.parameters()]
        self.optimisers = self.new_optimisers()
        self.compiled = compiled
        self._loss = self.loss
        if compiled:
            mode = "reduce-overhead" if device == "cuda" else None
            self._loss = torch.compile(self.loss, mode=mode, dynamic=False)
        self._compiled_encoder = torch.compile(self.encoder, dynamic=False)

    def new_optimisers(self) -> list[torch.optim.Optimizer]:
        """Return an Adam for each player that there is."""
        lr = {name: float(self.hypers.get(name, 0.0)) for name in ("lr", "critic_lr")}
        made = [torch.optim.Adam(self.vae_parameters, lr=lr["lr"], fused=True)]
        if self.critic_parameters:
            made.append(torch.optim.Adam(self.critic_parameters, lr=lr["critic_lr"], betas=(0.5, 0.9), fused=True))
        return made

    def begin(self, hypers: Mapping[str, float], seed: int) -> None:
        """Begin another model in the place of this one, so that what is compiled serves it."""
        torch.manual_seed(seed)
        for name, value in hypers.items():
            self.hypers[name].fill_(value)
        for network in (self.encoder, self.decoder, self.critic):
            for layer in network.modules():
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
        self.optimisers = self.new_optimisers()

    @property
    def num_parameters(self) -> dict[str, int]:
        """Return how many parameters each network has."""
        parts = {"encoder": self.encoder, "decoder": self.decoder, "critic": self.critic}
        return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}

    def batch(self) -> torch.Tensor:
        """Draw images f32[B, C, H, W] in [0, 1], uniformly with replacement."""
        return self.images(self.pixels[torch.randint(len(self.pixels), (self.program.batch_size,), device=self.device)])

    def images(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what rows of pixels show, f32[B, C, H, W] in [0, 1]."""
        height, width, channels = self.program.image_shape
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
        """Return what the objective minimises, nats per image, and the critic's cross-entropy or None.

        What is not given is drawn: images [B, C, H, W], noise [B, D], and shuffled codes [B, D] of a second batch.
        """
        images = self.batch() if images is None else images
        mean, logvar, z = self.encode(images, noise)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.program.dtype == "bfloat16"):
            logits = self.decoder(z)
        nll = F.binary_cross_entropy_with_logits(logits.float(), images, reduction="sum") / len(images)
        kl = 0.5 * (mean**2 + logvar.exp() - logvar - 1.0).sum(1).mean()
        total = nll + self.weighed(kl, mean, logvar, z)
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

    def weighed(self, kl: torch.Tensor, mean: torch.Tensor, logvar: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return what the objective adds to the nll but for a critic's part, nats."""
        hypers = self.hypers
        if self.program.objective == "beta_tcvae":
            parts = decomposed(mean, logvar, z, len(self.pixels))
            return kl + sum((hypers[n] - 1.0) * part for n, part in zip(("alpha", "beta", "gamma"), parts, strict=True))
        if self.program.objective == "dip_vae_ii":
            off, on = away_from_identity(mean, logvar)
            return kl + hypers["lambda_od"] * (off + hypers["lambda_d_factor"] * on)
        return hypers.get("beta", 1.0) * kl

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
    def codes(self, pixels: np.ndarray, at_once: int, *, compiled: bool = False) -> np.ndarray:
        """Return the posterior means f32[N, D] of images given as pixels are, so many at once."""
        if self.threads:
            torch.set_num_threads(self.threads)
        encoder, rows = self._compiled_encoder if compiled else self.encoder, torch.as_tensor(pixels)
        found = torch.empty(len(rows), self.program.latent_dim)
        for start in range(0, len(rows), at_once):
            start = max(0, min(start, len(rows) - at_once))  # the last ones again: one shape, compiled once
            images = self.images(rows[start : start + at_once].to(self.device))
            found[start : start + at_once] = encoder(images)[:, : self.program.latent_dim]
        return found.numpy()

    @torch.no_grad()
    def load(self, params: Mapping) -> None:
        """Take over the weights of a jaxvae lane, {"vae": {"model": …}, "critic": …} with leaves on the host."""
        channels = next((m.unflattened_size[0] for m in self.decoder if isinstance(m, nn.Unflatten)), 1)
        for part, network in (("encoder", self.encoder), ("decoder", self.decoder)):
            torch_networks.load(
                network, params["vae"]["model"][part], channels if isinstance(self.encoder[0], nn.Conv2d) else 1
            )
        if self.critic_parameters:
            torch_networks.load(self.critic, params["critic"]["tc_critic"], 1)


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
