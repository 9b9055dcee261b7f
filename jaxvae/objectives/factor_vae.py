"""FactorVAE's total-correlation term: a critic that tells codes from codes with their latents shuffled.

Kim & Mnih 2018, Disentangling by Factorising, eq. 2-3 and algorithm 2.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae.objectives.base import Context, Term
from jaxvae.types import Hypers, Logs, ModelOutput, Program


class Critic(nn.Module):
    """A leaky-ReLU MLP: z [B, D] -> logits [B, 2] for "from q(z)" and "from the product of the marginals"."""

    width: int
    depth: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, codes: jax.Array) -> jax.Array:
        z = codes
        for _ in range(self.depth):
            dense = nn.Dense(self.width, dtype=self.dtype, kernel_init=nn.initializers.he_uniform())
            z = nn.leaky_relu(dense(z), 0.2)
        return nn.Dense(2, dtype=self.dtype, kernel_init=nn.initializers.he_uniform())(z).astype(codes.dtype)


def critic_of(program: Program) -> Critic:
    """Return the critic network of a program; the paper's is 6 layers of 1000."""
    return Critic(program.critic_width, program.critic_depth, program.dtype)


def init_critic(key: jax.Array, program: Program):
    """Return the critic's parameters."""
    return critic_of(program).init(key, jnp.zeros((1, program.latent_dim)))["params"]


def permute_latents(key: jax.Array, z: jax.Array) -> jax.Array:
    """Permute each latent of z [B, D] over the batch independently: samples of the product of the marginals."""
    # One sort of random keys per column; `jax.random.permutation(independent=True)` does the same.
    return jax.random.permutation(key, z, axis=0, independent=True)


def total_correlation(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """gamma * mean(logit_q - logit_product) for the VAE, and the critic's own cross-entropy for the critic.

    The two players share one backward pass and do not touch each other: the first summand sees the critic's parameters
    as constants, the second sees the codes as constants. The second summand has the value zero, so the loss that is
    reported is the VAE's. The shuffled codes come from a second, independent batch, as in the paper's algorithm 2.

    Differs from: disentanglement_lib, which shuffles the codes of the same batch.
    """

    def logits(parameters, z):
        return critic_of(ctx.program).apply({"params": parameters}, z)

    # Player one, the VAE: gradients flow through the critic's input only.
    real = logits(jax.lax.stop_gradient(critic), out.q.z)
    tc = (real[:, 0] - real[:, 1]).mean()

    # Player two, the critic: gradients flow to its parameters only.
    codes = jax.lax.stop_gradient(out.q.z)
    shuffled = permute_latents(ctx.key, jax.lax.stop_gradient(ctx.other_codes()))
    on_codes, on_shuffled = jax.nn.log_softmax(logits(critic, codes)), jax.nn.log_softmax(logits(critic, shuffled))
    cross_entropy = -0.5 * (on_codes[:, 0].mean() + on_shuffled[:, 1].mean())
    correct = 0.5 * ((on_codes[:, 0] > on_codes[:, 1]).mean() + (on_shuffled[:, 1] > on_shuffled[:, 0]).mean())

    penalty = hypers["gamma"] * tc + (cross_entropy - jax.lax.stop_gradient(cross_entropy))
    return penalty, {"tc": tc, "critic_loss": cross_entropy, "critic_accuracy": correct}


TC_CRITIC = Term(
    name="tc_critic",
    hypers={"gamma": 40.0, "critic_lr": 1e-4},
    penalty=total_correlation,
    reference="Kim & Mnih 2018, FactorVAE, eq. 2-3 and algorithm 2",
    init_critic=init_critic,
)
