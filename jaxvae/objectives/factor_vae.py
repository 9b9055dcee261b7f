"""FactorVAE's total-correlation term: a critic that tells codes from codes with their latents shuffled.

Kim & Mnih 2018, Disentangling by Factorising, eq. 2-3 and algorithm 2.
"""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae import latents
from jaxvae.objectives.base import Context, Term
from jaxvae.types import ABOVE_0, FROM_0, WHOLE_FROM_1, Hyper, Hypers, Logs, ModelOutput, Program, Size

CRITIC_WIDTH = Size("critic_width", 1000, WHOLE_FROM_1, "units a layer of FactorVAE's discriminator")
CRITIC_DEPTH = Size("critic_depth", 6, WHOLE_FROM_1, "hidden layers of FactorVAE's discriminator", most=100)

SLOPE = 0.2  # of the critic's leaky ReLUs


def init_critic(key: jax.Array, program: Program) -> dict[str, dict[str, jax.Array]]:
    """Return the parameters of a leaky-ReLU MLP, z [B, D] -> logits [B, 2]; the paper's has 6 layers of 1000.

    Logits are for "from q(z)" and "from the product of the marginals". Glorot uniform weights, zero biases, as in
    disentanglement_lib. With He's, 6 layers of 1000 and gamma 40, gamma * TC of the first step lay between -89 and 47
    nats (8 seeds; burgess on 32x32 sprites), and the encoder's gradient was 4 to 18 times the VAE's own; with Glorot's
    -1.6 to 0.8 nats, and 0.9 to 1.1 times.

    What comes of it (burgess, 32x32 sprites, 3 layers of 128, batch 32, learning rate 1e-3, critic's 1e-4, 4 seeds):
    reconstruction after 400 steps at gamma 5, 40, 100 was 47.2, 136.7, 195.5 nats with He's weights, 47.0, 49.4, 61.7
    with Glorot's, and 46.8, 48.8, 49.3 with He's and a last layer at zero. Early in training a last layer at zero is
    the gentlest at large gamma; Glorot's is what published numbers were made with.
    """
    widths = (latents.number(program), *(CRITIC_WIDTH.of(program),) * CRITIC_DEPTH.of(program), 2)
    return {
        f"Dense_{i}": {
            "kernel": nn.initializers.glorot_uniform()(jax.random.fold_in(key, i), (ins, outs)),
            "bias": jnp.zeros(outs),
        }
        for i, (ins, outs) in enumerate(itertools.pairwise(widths))
    }


def permute_latents(key: jax.Array, z: jax.Array) -> jax.Array:
    """Permute each latent of z [B, D] over the batch independently: samples of the product of the marginals."""
    # One sort of random keys per column; `jax.random.permutation(independent=True)` does the same.
    return jax.random.permutation(key, z, axis=0, independent=True)


def _layers(critic) -> list[tuple[jax.Array, jax.Array]]:
    """Return (kernel, bias) of the critic's layers, first to last."""
    return [(critic[f"Dense_{i}"]["kernel"], critic[f"Dense_{i}"]["bias"]) for i in range(len(critic))]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def play(dtype: str, critic, codes: jax.Array, shuffled: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return what each player minimises, and how often the critic is right; each f32[].

    First the total correlation mean_b[logit_q(z_b) - logit_product(z_b)], differentiable in the codes and not in the
    critic. Then the critic's cross-entropy in nats, differentiable in the critic and not in the codes. Then the part of
    all 2 B codes that the critic tells right, in 0 … 1, not differentiable.

    The two players' gradients take one pass forwards and one backwards between them. With two classes the cross-entropy
    of a code depends on its difference of logits alone, and so does the total correlation: at every layer the
    gradients of the two are the same, up to a number for each code. That number enters where the critic's gradient is
    summed over codes.

    Args:
        dtype: of the critic's arithmetic.
        critic: its parameters, as `init_critic` makes them.
        codes: z [B, D].
        shuffled: samples of the product of the marginals [B, D]; constants.
    """
    return _play(dtype, critic, codes, shuffled)[0]


def _play(dtype, critic, codes, shuffled):
    num = len(codes)
    inputs = [jnp.concatenate([codes, shuffled]).astype(dtype)]
    *hidden, last = _layers(critic)
    for kernel, bias in hidden:
        inputs.append(nn.leaky_relu(inputs[-1] @ kernel.astype(dtype) + bias.astype(dtype), SLOPE))
    # As the codes are, whatever the arithmetic: in bfloat16 a difference of logits of 2 comes in steps of 1/64.
    logits = inputs[-1].astype(codes.dtype) @ last[0] + last[1]
    difference = logits[:, 0] - logits[:, 1]
    wrong = difference * jnp.where(jnp.arange(2 * num) < num, -1.0, 1.0)
    values = difference[:num].mean(), jax.nn.softplus(wrong).mean(), (wrong < 0).mean()
    return values, (critic, inputs, difference)


def _play_backwards(dtype, kept, cotangents):
    critic, inputs, difference = kept
    of_tc, of_cross_entropy, _ = cotangents
    num = len(difference) // 2
    from_codes = jnp.arange(2 * num) < num
    # Derivative of the mean cross-entropy by each difference of logits.
    weight = of_cross_entropy * (jax.nn.sigmoid(difference) - from_codes) / (2 * num)
    weight = weight[:, None]
    delta = jnp.tile(jnp.asarray([1.0, -1.0], difference.dtype), (2 * num, 1))  # of each difference, layer by layer
    gradients = {}
    for i, (kernel, _) in reversed(list(enumerate(_layers(critic)))):
        arithmetic = delta.dtype  # the last layer's, and then the others'
        weighed = weight.astype(arithmetic) * delta
        gradients[f"Dense_{i}"] = {
            "kernel": (inputs[i].astype(arithmetic).T @ weighed).astype(kernel.dtype),
            "bias": weighed.sum(0).astype(kernel.dtype),
        }
        delta = (delta @ kernel.astype(arithmetic).T).astype(dtype)
        if i:
            delta *= jnp.where(inputs[i] > 0, 1.0, SLOPE).astype(dtype)
    gradient = of_tc / num * delta[:num].astype(difference.dtype)
    return gradients, gradient, jnp.zeros_like(gradient)


play.defvjp(_play, _play_backwards)


def total_correlation(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """gamma * mean(logit_q - logit_product) for the VAE, and the critic's own cross-entropy for the critic.

    The two players do not touch each other (see `play`). The second summand has the value zero, so the loss that is
    reported is the VAE's. The shuffled codes come from a second, independent batch, as in the paper's algorithm 2.

    Differs from: disentanglement_lib, which shuffles the codes of the same batch.
    """
    shuffled = permute_latents(ctx.key, ctx.other_codes())
    tc, cross_entropy, correct = play(ctx.program.dtype, critic, out.q.z, jax.lax.stop_gradient(shuffled))
    penalty = hypers["gamma"] * tc + (cross_entropy - jax.lax.stop_gradient(cross_entropy))
    return penalty, {"tc": tc, "critic_loss": cross_entropy, "critic_accuracy": correct}


TC_CRITIC = Term(
    name="tc_critic",
    numbers=(
        Hyper("gamma", 40.0, FROM_0, "weight of the total correlation"),
        Hyper("critic_lr", 1e-4, ABOVE_0, "learning rate of the discriminator's Adam"),
    ),
    penalty=total_correlation,
    reference="Kim & Mnih 2018, FactorVAE, eq. 2-3 and algorithm 2",
    sizes=(CRITIC_WIDTH, CRITIC_DEPTH),
    init_critic=init_critic,
    min_batch=2,
    min_latents=2,
    needs_flat=True,
)
