"""How well clusters of images are the classes that people see in them. Knows not what made the clusters."""

import jax
import jax.numpy as jnp
import optax

from jaxvae.types import Factors, in_32_bits


@in_32_bits
def cluster_accuracy(clusters: jax.Array, labels: Factors, num_clusters: int) -> dict[str, jax.Array]:
    """Give the part of images whose class is the one matched to their cluster, by the best one-to-one match there is.

    Each cluster is matched to at most one class and each class to at most one cluster (Hungarian method). With more
    clusters than classes the images of some are all wrong, and so are those of a class that has no cluster.

    Range 0 … 1. Chance level: little above 1/K for K classes and clusters of equal size; with one cluster the largest
    class's share. Uses every row, draws nothing.

    Args:
        clusters: i32[N] in 0 … num_clusters - 1.
        labels: of the N images, i32[N, 1].
        num_clusters: how many there can be.

    Differs from: nothing.

    References:
        Xie, Girshick, Farhadi, "Unsupervised Deep Embedding for Clustering Analysis", ICML 2016, eq. 10
    """
    (num_classes,) = labels.sizes
    table = jnp.zeros((num_clusters, num_classes)).at[clusters, labels.values[:, 0]].add(1.0)
    rows, columns = optax.assignment.hungarian_algorithm(-table)
    return {"cluster_accuracy": table[rows, columns].sum() / len(clusters)}
