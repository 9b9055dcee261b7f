"""VaDE: a mixture of Gaussians, learned with the VAE, as the prior. Clusters are its components.

Jiang et al. 2017, Variational Deep Embedding: an unsupervised and generative approach to clustering. Generative model:
c ~ Cat(weights), z|c ~ N(means_c, diag(vars_c)), x|z. Letters: K clusters.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxvae.latents import number as number_of_latents
from jaxvae.objectives.base import BETA, Context, Schedule, Term, logs_of_kl
from jaxvae.types import FROM_0, WHOLE_FROM_1, Hyper, Hypers, Logs, ModelOutput, Program, Size

NUM_CLUSTERS = Size("num_clusters", 10, WHOLE_FROM_1, "clusters of VaDE's mixture")

LOG_2PI = 1.8378770664093453
LOGVAR_BOUND = 8.0
"""Log-variances of clusters stay within ±8 (standard deviations 0.018 … 55), smoothly, so that neither they nor their
inverses overflow and no cluster shrinks onto a single code."""

RATE = 30.0
"""The mixture learns this many times as fast as the networks: its parameters count in tens. Adam's steps know no scale,
and at a network's rate clusters are not where the codes are before thousands of steps have passed."""

SPREAD = 0.1
"""Standard deviation of the means' start: close together, so that where the codes are decides how they part."""

TEMPERATURES = (1.2, 0.1)
"""The temperatures at which the fit starts and ends, in units of the codes' variance (see `fit_loss`). At the first
the clusters are about to part; at the last a code belongs to its nearest mean."""

ANNEALING = (0.4, 0.9)
"""When the temperature starts to fall, as a part of the fit, and when it stops. Before that nothing is fitted: codes
are not where they will be, and means that settle early do not find the clusters that come later."""


class Mixture(NamedTuple):
    """A mixture of K diagonal Gaussians over D latents."""

    log_weights: jax.Array  # [K], logarithms of weights that sum to 1
    means: jax.Array  # [K, D]
    logvars: jax.Array  # [K, D]


def mixture_of(extra) -> Mixture:
    """Return the mixture that a term's trained parameters stand for."""
    logvars = LOGVAR_BOUND * jnp.tanh(RATE / LOGVAR_BOUND * extra["logvars"])
    return Mixture(jax.nn.log_softmax(RATE * extra["logits"]), RATE * extra["means"], logvars)


def init_mixture(key: jax.Array, program: Program):
    """Return the parameters of equal weights, means close to the origin and unit variances."""
    clusters, latents = NUM_CLUSTERS.of(program), number_of_latents(program)
    return {
        "logits": jnp.zeros(clusters),
        "means": SPREAD / RATE * jax.random.normal(key, (clusters, latents), jnp.float32),
        "logvars": jnp.zeros((clusters, latents)),
    }


def log_joint(mixture: Mixture, z: jax.Array) -> jax.Array:
    """log p(z, c) [B, K] of codes z [B, D]."""
    scaled = (z[:, None] - mixture.means) ** 2 * jnp.exp(-mixture.logvars)
    return mixture.log_weights - 0.5 * (LOG_2PI + mixture.logvars + scaled).sum(-1)


def cluster_kl(mixture: Mixture, mean: jax.Array, logvar: jax.Array) -> jax.Array:
    """KL(N(mean_b, exp(logvar_b)) || N(means_c, exp(logvars_c))) in nats, [B, K]."""
    ratio = logvar[:, None] - mixture.logvars
    scaled = (mean[:, None] - mixture.means) ** 2 * jnp.exp(-mixture.logvars)
    return 0.5 * (scaled + jnp.exp(ratio) - ratio - 1.0).sum(-1)


def mixture_kl(mixture: Mixture, out: ModelOutput) -> tuple[jax.Array, jax.Array]:
    """Return the KL of q(z, c|x) = q(z|x) p(c|z) to p(z, c) per image, nats [B], and p(c|z) [B, K].

    sum_c r_c (KL(q(z|x) || p(z|c)) + log r_c - log w_c) with r_c = p(c|z) at the one sample z ~ q(z|x).
    """
    log_r = jax.nn.log_softmax(log_joint(mixture, out.q.z))
    r = jnp.exp(log_r)
    per_cluster = cluster_kl(mixture, out.q.mean, out.q.logvar) + log_r - mixture.log_weights
    return (r * per_cluster).sum(-1), r


def fit_loss(extra, means: jax.Array, codes: jax.Array, progress: jax.Array) -> jax.Array:
    """What a mixture that is fitted to a batch of posteriors minimises, nats.

    The clusters' means are placed by -T mean_b log sum_c exp(-|mean_b - mean_c|^2 / 2T), at a temperature T that falls
    geometrically: k-means that does not depend on where it starts, for the clusters part one after another as T falls
    (Rose, Gurewitz & Fox 1990, A deterministic annealing approach to clustering). Weights and variances follow by the
    likelihood of each cluster's own codes, and have no say in which those are: by the mixture's full likelihood, a few
    wide clusters take what is left over by narrow ones, which no longer are classes of images.

    Args:
        extra: the mixture's parameters.
        means: of the posteriors, [B, D], constants.
        codes: samples of the posteriors, [B, D], constants. Their noise belongs to the variance of a cluster, and would
            only blur its place.
        progress: of the fit, 0 … 1.
    """
    mixture = mixture_of(extra)
    scale = means.var(0).mean() + 1e-6  # of a batch of equal codes too
    (hot, cold), (begin, end) = TEMPERATURES, ANNEALING
    temperature = scale * hot * (cold / hot) ** jnp.clip((progress - begin) / (end - begin), 0.0, 1.0)
    energy = -0.5 * ((means[:, None] - mixture.means) ** 2).sum(-1) / temperature
    placing = -temperature / scale * jax.nn.logsumexp(energy, axis=-1).mean()
    r = jax.lax.stop_gradient(jax.nn.softmax(energy))
    placed = mixture._replace(means=jax.lax.stop_gradient(mixture.means))
    return jnp.where(progress < begin, 0.0, placing - (r * log_joint(placed, codes)).sum(-1).mean())


def purity(r: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the part of a batch that has the commonest label of its cluster, in 0 … 1.

    Labels are the batch's own majority, so the number is too high on small batches, by more the more clusters there
    are: codes that know nothing score about 0.25 with 10 equal clusters and classes and 100 images (0.1 with many).

    Args:
        r: p(c|z) [B, K]; an image belongs to its likeliest cluster.
        labels: i32[B].
    """
    member = jax.nn.one_hot(r.argmax(-1), r.shape[-1])
    # In (image, label) terms, without a table of labels, whose number is not known here.
    alike = ((member @ member.T) * (labels[:, None] == labels)).sum(-1)
    return (member * alike[:, None]).max(0).sum() / len(labels)


def kl_to_mixture(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * KL(q(z, c|x) || p(z, c)) to a learned mixture of K = num_clusters Gaussians (VaDE, eq. 8-12, 16).

    q(c|x) is p(c|z) at the sample z, and gradients flow through it. With K = 1 and a component N(0, I) this is the KL
    of the VAE. The mixture's weights, means and variances are trained with the VAE, by its optimiser.

    Clusters found from a random start are poor: one or two take everything. So for the first `pretrain_steps` steps the
    VAE is trained alone, with pretrain_beta * KL(q(z|x) || N(0, I)): little of it, since the whole KL makes of all
    codes one Gaussian, in which no clusters are left to find. Meanwhile the mixture is fitted to the codes (held
    constant: the fit follows the codes, and does not bend them; see `fit_loss`). Then the mixture becomes the
    prior. All of it is one program: a step knows the phase by its number. The fit adds nothing to the value that is
    reported, only its gradient.

    Measured on the MNIST test digits (mlp_vade, 10 latents, batch 100, learning rate 1e-3, 2,000 steps of pretraining
    and 2,000 of VaDE): cluster accuracy 0.74, 0.73, 0.75, 0.78 for seeds 0 to 3, where k-means (the best of 10 starts)
    on the codes of a plain VAE of as many steps has 0.72, 0.73, 0.74, 0.68. The fit alone had 0.73, 0.70, 0.74, 0.75,
    k-means on the same pretrained codes 0.75, 0.77, 0.75, 0.75. The paper trains for much longer.

    Logs kl, the KL to the mixture (in both phases); clusters, the number of clusters in use (exp of the entropy
    of the batch's mean p(c|z), 1 … K); pretraining, 1 or 0; and where images have one label, the batch's `purity`.

    Assumes a flat Gaussian posterior.

    Differs from: the paper, which pretrains a stacked autoencoder layer by layer (no KL, no noise), then fits the
    mixture by EM to the codes of all images at once, and lowers the learning rate by a tenth every ten epochs. Here
    pretraining keeps a hundredth of the KL; the fit goes on meanwhile, by gradients on one batch at a time, and is one
    of k-means, not of likelihood; and the mixture learns thirty times as fast as the networks, where the paper has one
    rate for both.
    """
    mixture = mixture_of(extra)
    kl, r = mixture_kl(mixture, out)
    pretraining = ctx.step < hypers["pretrain_steps"]

    progress = ctx.step / jnp.maximum(hypers["pretrain_steps"], 1.0)
    fit = fit_loss(extra, *jax.lax.stop_gradient((out.q.mean, out.q.z)), progress)
    alone = hypers["pretrain_beta"] * out.q.kl.sum(-1).mean() + (fit - jax.lax.stop_gradient(fit))
    penalty = jnp.where(pretraining, alone, hypers["beta"] * kl.mean())

    usage = r.mean(0)
    logs = {
        **logs_of_kl(kl, out),
        "clusters": jnp.exp(jax.scipy.special.entr(usage).sum()),
        "pretraining": pretraining.astype(jnp.float32),
    }
    if ctx.labels.shape[-1] == 1:
        logs["purity"] = purity(r, ctx.labels[:, 0])
    return penalty, logs


def mixture_samples(key: jax.Array, shape: tuple[int, ...], extra, hypers: Hypers) -> jax.Array:
    """Sample the mixture."""
    mixture = mixture_of(extra)
    c = jax.random.categorical(jax.random.fold_in(key, 0), mixture.log_weights, shape=shape[:1])
    noise = jax.random.normal(jax.random.fold_in(key, 1), shape, jnp.float32)
    return mixture.means[c] + jnp.exp(0.5 * mixture.logvars[c]) * noise


def mixture_prior_kl(out: ModelOutput, extra, hypers: Hypers) -> jax.Array:
    """KL of q(z|x) p(c|z) to p(z, c) [B], nats, p(c|z) at the one sample of each image (see mixture_kl).

    At least KL(q(z|x) || p(z)), so the ELBO with it is a bound. To the mixture also while it is not the prior yet.
    """
    return mixture_kl(mixture_of(extra), out)[0]


def mixture_moments(extra, hypers: Hypers, num_latents: int) -> tuple[jax.Array, jax.Array]:
    """Return the means and standard deviations [D] of the mixture, whose latents have no other meaning apart."""
    mixture = mixture_of(extra)
    weights = jnp.exp(mixture.log_weights)[:, None]
    mean = (weights * mixture.means).sum(0)
    variance = (weights * (jnp.exp(mixture.logvars) + (mixture.means - mean) ** 2)).sum(0)
    return mean, jnp.sqrt(variance)


def cluster_of(extra, codes: jax.Array) -> jax.Array:
    """Return the likeliest cluster i32[N] of codes f32[N, D], posterior means for example."""
    return log_joint(mixture_of(extra), codes).argmax(-1)


KL_MIXTURE = Term(
    name="kl_mixture",
    numbers=(
        BETA,
        Hyper("pretrain_steps", 10_000.0, FROM_0, "updates before the mixture becomes the prior"),
        Hyper("pretrain_beta", 0.01, FROM_0, "weight of the KL to N(0, I) until then"),
    ),
    sizes=(NUM_CLUSTERS,),
    penalty=kl_to_mixture,
    reference="Jiang et al. 2017, Variational Deep Embedding (VaDE), eq. 8-12 and 16",
    init_extra=init_mixture,
    sample_prior=mixture_samples,
    prior_kl=mixture_prior_kl,
    prior_moments=mixture_moments,
    is_prior_term=True,
    schedule=Schedule("pretrain_steps", lambda hypers: hypers["pretrain_steps"]),
    assign=cluster_of,
    num_clusters=NUM_CLUSTERS.of,
    needs_flat=True,
)
