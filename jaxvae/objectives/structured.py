"""Structured priors: sparse, anisotropic, heavy-tailed. The KL to them replaces the one to N(0, I).

Mathieu et al. 2019, Disentangling Disentanglement in Variational Autoencoders. All assume a flat Gaussian posterior
N(mean, diag(exp(logvar))) and read its mean, log-variance and sample; the architecture's own prior plays no part.
Where the KL has no closed form it is estimated with the one sample there is per image,

    KL = -H(q) - log p(z),   z ~ q(z|x),

with the entropy in closed form. That has the gradient of the paper's log q(z) - log p(z) (log q of a reparameterised
sample depends on the posterior through -log var / 2 only), without dividing by a variance that may be tiny.
"""

import jax
import jax.numpy as jnp

from jaxvae import latents
from jaxvae.objectives.base import BETA, Context, Term, logs_of_kl
from jaxvae.types import ABOVE_0, SHARE, Hyper, Hypers, Logs, ModelOutput, Posterior, Program, between

LOG_2PI = 1.8378770664093453
LARGE_DF = 30.0  # from here on a series is more exact in float32 than the difference of two large log-gammas


def normal_log_density(z: jax.Array, logvar: jax.Array | float) -> jax.Array:
    """log N(z; 0, exp(logvar)), elementwise; logvar is a prior's, never below -88 (exp overflows there)."""
    return -0.5 * (LOG_2PI + logvar + z**2 * jnp.exp(-logvar))


def entropy(q: Posterior) -> jax.Array:
    """Entropy of q(z|x) per latent in nats, [B, D]."""
    return 0.5 * (1.0 + LOG_2PI + q.logvar)


# --- sparse -----------------------------------------------------------------------------------------------------------


def sparse_log_density(z: jax.Array, spike: jax.Array, spike_scale: jax.Array) -> jax.Array:
    """log[(1 - spike) N(z; 0, 1) + spike N(z; 0, spike_scale^2)], elementwise; exact at spike 0 and 1."""
    slab = jnp.log1p(-spike) + normal_log_density(z, 0.0)
    return jnp.logaddexp(slab, jnp.log(spike) + normal_log_density(z, 2.0 * jnp.log(spike_scale)))


def sparse_prior_kl(out: ModelOutput, extra, hypers: Hypers) -> jax.Array:
    """KL to the sparse prior [B], nats, estimated with the one sample of each image."""
    log_prior = sparse_log_density(out.q.z, hypers["spike"], hypers["spike_scale"])
    return (-entropy(out.q) - log_prior).sum(-1)


def sparse_kl(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * KL(q(z|x) || prod_d [(1 - spike) N(0, 1) + spike N(0, spike_scale^2)]), one-sample estimate.

    A latent is either off (in the spike) or on (in the slab); `spike` is the share that the prior expects to be off,
    in 0 … 1, and spike_scale > 0 (Mathieu et al. 2019, section 6 "Sparsity" and appendix). Logs the estimate as kl.
    """
    kl = sparse_prior_kl(out, extra, hypers)
    return hypers["beta"] * kl.mean(), logs_of_kl(kl, out)


def sparse_moments(extra, hypers: Hypers, num_latents: int) -> tuple[jax.Array, jax.Array]:
    """Return the means and standard deviations [D] of the sparse prior."""
    variance = 1.0 - hypers["spike"] + hypers["spike"] * hypers["spike_scale"] ** 2
    return jnp.zeros(num_latents), jnp.full(num_latents, jnp.sqrt(variance))


def sparse_samples(key: jax.Array, shape: tuple[int, ...], extra, hypers: Hypers) -> jax.Array:
    """Sample the sparse prior."""
    off = jax.random.bernoulli(jax.random.fold_in(key, 0), hypers["spike"], shape)
    noise = jax.random.normal(jax.random.fold_in(key, 1), shape, jnp.float32)
    return noise * jnp.where(off, hypers["spike_scale"], 1.0)


# --- anisotropic ------------------------------------------------------------------------------------------------------


def anisotropic_logvar(extra, hypers: Hypers) -> jax.Array:
    """Log-variances [D] of the prior; the variances' mean is `scale`."""
    latents = len(extra["logits"])
    spectrum = -hypers["log_ratio"] * jnp.linspace(0.0, 1.0, latents)
    # Multiplied, not chosen: with `learned` at 0 the variances' gradient is 0, and the graph is the same.
    return jax.nn.log_softmax(spectrum + hypers["learned"] * extra["logits"]) + jnp.log(hypers["scale"] * latents)


def anisotropic_prior_kl(out: ModelOutput, extra, hypers: Hypers) -> jax.Array:
    """KL to the anisotropic prior [B], nats, closed form."""
    logvar = anisotropic_logvar(extra, hypers)
    kl = 0.5 * ((out.q.mean**2 + jnp.exp(out.q.logvar)) * jnp.exp(-logvar) + logvar - out.q.logvar - 1.0)
    return kl.sum(-1)


def anisotropic_kl(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * KL(q(z|x) || N(0, diag(v))), closed form; v = scale * D * softmax(spectrum).

    Unequal variances break the prior's rotational symmetry, so that latents cannot be mixed for free (Mathieu et al.
    2019, section 6 "Axis-alignment" and theorem 1's corollary). The spectrum falls geometrically, the first variance
    exp(log_ratio) times the last; log_ratio 0 and scale 1 give N(0, I). With `learned` at 1 the variances are trained
    from there (0: fixed; a number in between slows them). Logs the KL as kl, and the ratio of the largest to the
    smallest variance.

    Differs from: the paper, whose spectrum is that of the data's leading principal components. A term does not see the
    data before training starts, so the fall is given by one number.
    """
    kl, logvar = anisotropic_prior_kl(out, extra, hypers), anisotropic_logvar(extra, hypers)
    ratio = jnp.exp(logvar.max() - logvar.min())
    return hypers["beta"] * kl.mean(), logs_of_kl(kl, out) | {"variance_ratio": ratio}


def anisotropic_moments(extra, hypers: Hypers, num_latents: int) -> tuple[jax.Array, jax.Array]:
    """Return the means and standard deviations [D] of the anisotropic prior."""
    return jnp.zeros(num_latents), jnp.exp(0.5 * anisotropic_logvar(extra, hypers))


def anisotropic_init(key: jax.Array, program: Program):
    """Return the learned part of the log-variances, from zero."""
    return {"logits": jnp.zeros(latents.number(program))}


def anisotropic_samples(key: jax.Array, shape: tuple[int, ...], extra, hypers: Hypers) -> jax.Array:
    """Sample the anisotropic prior."""
    return jax.random.normal(key, shape, jnp.float32) * jnp.exp(0.5 * anisotropic_logvar(extra, hypers))


# --- Student's t ------------------------------------------------------------------------------------------------------


def student_log_density(z: jax.Array, df: jax.Array) -> jax.Array:
    """log of Student's t with df > 0 degrees of freedom, location 0 and scale 1, elementwise; N(0, 1) as df grows."""
    half = 0.5 * df
    near = jnp.minimum(half, LARGE_DF)
    exact = jax.scipy.special.gammaln(near + 0.5) - jax.scipy.special.gammaln(near) - 0.5 * jnp.log(near)
    far = jnp.maximum(half, LARGE_DF)
    series = -1.0 / (8.0 * far) + 1.0 / (192.0 * far**3)
    constant = jnp.where(half < LARGE_DF, exact, series) - 0.5 * LOG_2PI
    return constant - (half + 0.5) * jnp.log1p(z**2 / df)


def student_prior_kl(out: ModelOutput, extra, hypers: Hypers) -> jax.Array:
    """KL to the product of t's [B], nats, estimated with the one sample of each image."""
    return (-entropy(out.q) - student_log_density(out.q.z, hypers["df"])).sum(-1)


def student_kl(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * KL(q(z|x) || prod_d t_df), one-sample estimate; df > 0 degrees of freedom.

    A product of t's has no rotational symmetry, unlike a product of normals (Mathieu et al. 2019, section 6
    "Axis-alignment"). The log-density's constant is taken from a series at more than 60 degrees of freedom. Logs the
    estimate as kl.
    """
    kl = student_prior_kl(out, extra, hypers)
    return hypers["beta"] * kl.mean(), logs_of_kl(kl, out)


def student_moments(extra, hypers: Hypers, num_latents: int) -> tuple[jax.Array, jax.Array]:
    """Return the means and standard deviations [D]; with df <= 2, where none is finite, the scale 1 in their place."""
    df = hypers["df"]
    variance = jnp.where(df > 2.0, df / jnp.where(df > 2.0, df - 2.0, 1.0), 1.0)
    return jnp.zeros(num_latents), jnp.full(num_latents, jnp.sqrt(variance))


def student_samples(key: jax.Array, shape: tuple[int, ...], extra, hypers: Hypers) -> jax.Array:
    """Sample the product of t's."""
    return jax.random.t(key, hypers["df"], shape)


_PAPER = "Mathieu et al. 2019, Disentangling Disentanglement in Variational Autoencoders, eq. 8 and"

KL_SPARSE = Term(
    name="kl_sparse",
    numbers=(
        BETA,
        Hyper("spike", 0.8, SHARE, "share of the prior's mass near 0"),
        Hyper("spike_scale", 0.05, ABOVE_0, "standard deviation of the part near 0"),
    ),
    penalty=sparse_kl,
    reference=f"{_PAPER} its sparse prior",
    sample_prior=sparse_samples,
    prior_kl=sparse_prior_kl,
    prior_moments=sparse_moments,
    is_prior_term=True,
    needs_flat=True,
)

KL_ANISOTROPIC = Term(
    name="kl_anisotropic",
    numbers=(
        BETA,
        Hyper(
            "log_ratio",
            1.0,
            between(-80, 80),
            "log of the ratio of the first latent's variance to the last one's",
        ),
        Hyper("scale", 1.0, ABOVE_0, "mean of the prior's variances"),
        Hyper("learned", 0.0, SHARE, "0: variances as log_ratio says; 1: learned ones"),
    ),
    penalty=anisotropic_kl,
    reference=f"{_PAPER} its anisotropic Gaussian prior",
    init_extra=anisotropic_init,
    sample_prior=anisotropic_samples,
    prior_kl=anisotropic_prior_kl,
    prior_moments=anisotropic_moments,
    is_prior_term=True,
    needs_flat=True,
)

KL_STUDENT = Term(
    name="kl_student",
    numbers=(BETA, Hyper("df", 9.0, ABOVE_0, "degrees of freedom of the prior; many: nearly normal")),
    penalty=student_kl,
    reference=f"{_PAPER} its Student-t prior",
    sample_prior=student_samples,
    prior_kl=student_prior_kl,
    prior_moments=student_moments,
    is_prior_term=True,
    needs_flat=True,
)
