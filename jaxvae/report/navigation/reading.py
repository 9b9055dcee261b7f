"""What all parts of the page read from a study: which attributes come first, what is held against what. No figure."""

import numpy as np

from jaxvae.navigate import Navigation

MOST_FEATURED = 10
WELL_KNOWN = ("Male", "Smiling", "Eyeglasses", "Young", "Blond_Hair", "Bald")
"""What readers of papers on faces look for, where the data has it."""


def named(attribute: str) -> str:
    """Write the name of an attribute as words."""
    return attribute.replace("_", " ")


def by_selectivity(results: Navigation) -> np.ndarray:
    """Return i32[A], attributes from the most selective normals, mean over models, to the least.

    Those that models are compared by stand before the others.
    """
    mean = np.nan_to_num(results.normals.selectivity.value).mean(0)
    return np.lexsort((-mean, ~results.comparable))


def featured(results: Navigation) -> list[int]:
    """Choose the attributes that are worth a look, in the order of `by_selectivity`."""
    order = by_selectivity(results).tolist()
    known = [number for number in order if results.attributes[number] in WELL_KNOWN]
    chosen = [*known, *(number for number in order if number not in known)][:MOST_FEATURED]
    return [number for number in order if number in chosen]


def neighbours(correlations: np.ndarray) -> np.ndarray:
    """Order A attributes so that those whose labels go together are neighbours.

    Average linkage of 1 - ρ; of the four ways to put two clusters side by side, the one whose ends are nearest.

    Args:
        correlations: f32[A, A].
    """
    far = 1.0 - np.asarray(correlations, float)
    clusters = [[number] for number in range(len(far))]
    while len(clusters) > 1:
        pairs = [(a, b) for a in range(len(clusters)) for b in range(a + 1, len(clusters))]
        first, second = min(pairs, key=lambda pair: far[np.ix_(clusters[pair[0]], clusters[pair[1]])].mean())
        right, left = clusters.pop(second), clusters.pop(first)
        ways = [(one, other) for one in (left, left[::-1]) for other in (right, right[::-1])]
        one, other = min(ways, key=lambda way: far[way[0][-1], way[1][0]])
        clusters.append([*one, *other])
    return np.array(clusters[0] if clusters else [], int)


def levels(results: Navigation) -> dict[str, tuple[str, float]]:
    """Return what a mean selectivity is held against: what it is called, and how large it is."""
    chosen = results.comparable
    return {
        "chance": ("chance", 1 / len(results.attributes)),
        "random": ("random directions", float(results.random.selectivity[:, chosen].mean())),
        "labels": ("labels alone", float(results.by_labels[chosen].mean())),
    }
