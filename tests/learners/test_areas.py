"""Areas under ROC curves against scikit-learn's."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import roc_auc_score

from jaxvae.learners.ranking import areas_under_curves


def test_areas_under_curves_are_scikit_learns():
    random = np.random.default_rng(0)
    told = random.integers(2, size=(5, 400))
    scores = random.normal(size=(5, 400)).astype(np.float32) + told
    scores[1] = np.round(scores[1])  # many ties, zeros of both signs
    scores[2] = -scores[2] * 1e-30
    scores[3] = np.where(told[3] == 1, np.inf, -np.inf)
    scores[4] = 7.0
    found = jax.jit(areas_under_curves)(jnp.asarray(scores), jnp.asarray(told, jnp.uint32))
    expected = [roc_auc_score(t, np.clip(s, -1e3, 1e3)) for t, s in zip(told, scores, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
