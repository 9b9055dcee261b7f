"""Active units: how many latents the encoder uses at all."""

import jax
import jax.numpy as jnp

from jaxvae.learners.moments import deviation
from jaxvae.types import Factors


def count_active_units(
    codes: jax.Array,
    factors: Factors | None = None,
    key: jax.Array | None = None,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    threshold: float = 0.01,
) -> dict[str, jax.Array]:
    """Count the latents whose mean moves with the image, AU = Σ_d [Var_x(E_q(z_d|x)[z_d]) > threshold].

    Range 0 … D, whole numbers; a dead latent sits at the prior's mean whatever the image. There is no chance level, and
    more is not better: it says how many latents the other scores are about. Uses every row, draws nothing.

    Args:
        codes: posterior means f32[N, D].
        factors: not looked at.
        key: not looked at.
        test: not looked at; nothing is fitted.
        threshold: in squared units of the prior's standard deviation.

    Differs from: nothing. The paper's threshold is 10⁻² on the variance over the data, here with divisor N.

    References:
        Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016, https://arxiv.org/abs/1509.00519
    """
    del factors, key, test
    return {"active_units": (deviation(codes) > threshold**0.5).sum().astype(jnp.float32)}
