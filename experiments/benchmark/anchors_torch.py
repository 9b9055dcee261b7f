"""PyTorch's own ways to train many small models fast, as anchors beside the plain loop: what it could do at best.

GraphPeer: a whole step, from drawing the batch to the optimiser's update, as one CUDA graph; one model after another.
VmapPeer: M models at once, torch.func.vmap over their stacked weights, one fused Adam for all.
Knows no JAX.
"""

import torch
import torch.nn.functional as F
from torch.func import functional_call, stack_module_state, vmap

from peer_torch import Peer


def why_not(program, *, graph: bool, cuda: bool) -> str:
    """Return why an anchor does not train a program on this machine, "" where it does."""
    if graph and not cuda:
        return "CUDA graphs need CUDA"
    if not graph and program.objective not in ("vae", "beta_vae"):
        return f"models at once are written for one player, and {program.objective} has two"
    return ""


class GraphPeer(Peer):
    """One model in training whose whole step is a CUDA graph; elsewhere the same step is taken eagerly."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["capturable"] = self.device == "cuda"
        # One backward pass with constants gives both players their gradients (see Peer.loss).
        self.compiled = True
        self._loss = self.loss
        self._graph = None

    def whole_step(self) -> torch.Tensor:
        """Take one step whose every operation can be captured; return the VAE's loss."""
        total, cross_entropy = self._loss()
        (total if cross_entropy is None else total + cross_entropy).backward()
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=False)
        return total.detach()

    def step(self) -> torch.Tensor:
        """Take one step and return the VAE's loss, still on the device."""
        if self.device != "cuda":
            return self.whole_step()
        if self._graph is None:
            self._capture()
        self._graph.replay()
        return self._total

    def _capture(self) -> None:
        side = torch.cuda.Stream()  # as PyTorch asks: gradients and moments come to be before anything is captured
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.whole_step()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._total = self.whole_step()


class VmapPeer(Peer):
    """M models in training at once: weights [M, ...], each model's own batch, noise and gradient.

    Args:
        models: how many.
        seed: of the first; the others follow.
    """

    def __init__(
        self, program, pixels, binary, hypers, *, models: int, seed: int = 0, compiled: bool = False, **options
    ):
        if reason := why_not(program, graph=False, cuda=False):
            raise ValueError(reason)
        made = [Peer(program, pixels, binary, hypers, seed=seed + number, **options) for number in range(models)]
        super().__init__(program, pixels, binary, hypers, seed=seed, **options)
        self.models = models
        self.weights = [
            dict(stack_module_state([getattr(one, part) for one in made])[0]) for part in ("encoder", "decoder")
        ]
        self.vae_parameters = [leaf for part in self.weights for leaf in part.values()]
        self.optimisers = [torch.optim.Adam(self.vae_parameters, lr=self.hypers["lr"], fused=True)]
        self._losses = vmap(self.loss_of_one, in_dims=((0, 0), 0, 0))
        if compiled:
            self._losses = torch.compile(self._losses, dynamic=False)

    def loss_of_one(self, weights, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return nll + beta * KL of one model, nats per image.

        Args:
            weights: the encoder's and the decoder's, by name.
            images: [B, C, H, W].
            noise: [B, D].
        """
        with torch.autocast(self.device, torch.bfloat16, enabled=self.program.dtype == "bfloat16"):
            mean, logvar = functional_call(self.encoder, weights[0], (images,)).float().chunk(2, dim=1)
            logits = functional_call(self.decoder, weights[1], (mean + (0.5 * logvar).exp() * noise,))
        nll = F.binary_cross_entropy_with_logits(logits.float(), images, reduction="sum") / len(images)
        kl = 0.5 * (mean**2 + logvar.exp() - logvar - 1.0).sum(1).mean()
        return nll + self.hypers.get("beta", 1.0) * kl

    def drawn(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw images [M, B, C, H, W], each model's own, and noise [M, B, D]."""
        images = torch.stack([self.batch() for _ in range(self.models)])
        shape = (self.models, self.program.batch_size, self.program.latent_dim)
        return images, torch.randn(shape, device=self.device)

    def step(self) -> torch.Tensor:
        """Take one step with every model and return their mean loss, still on the device."""
        # The gradient of a sum over models is each one's own.
        losses = self._losses(tuple(self.weights), *self.drawn())
        losses.sum().backward()
        self.optimisers[0].step()
        self.optimisers[0].zero_grad(set_to_none=True)
        return losses.detach().mean()
