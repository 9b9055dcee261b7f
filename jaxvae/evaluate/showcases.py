"""Some lanes put on show: reconstructions, traversals, swapped labels, codes, and how latents know factors."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import latents
from jaxvae.data.grid import Dataset
from jaxvae.evaluate.encoding import encode, numbers_read
from jaxvae.evaluate.planes import labels_for, manifold, means_of, shown_codes
from jaxvae.evaluate.responses import respond
from jaxvae.metrics.information import normalised_information
from jaxvae.metrics.rows import draw_distinct
from jaxvae.saved.model import Model
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import LabelSwap, Showcase, in_32_bits

SHOWN_IMAGES = 8
MAP_POINTS = 10_000  # for the map of information, as many as MIG draws
MOST_KEPT = 2**27  # bytes of codes that are kept of all lanes, so that those on show need not be encoded again
SWAPPED_LABELS = 6  # of a data set with more, the first
SWAPPED_VALUES = 12  # of a label with more, evenly spread
TRAVERSAL_VALUES = np.linspace(-2.0, 2.0, 9)


def showcases(
    sweep: SavedSweep,
    ranked: Sequence[int],
    kl: Sequence[np.ndarray],
    data: Dataset,
    codes: Sequence[np.ndarray] = (),
) -> list[Showcase]:
    """Put the best, the median and the worst of the ranked lanes on show.

    Args:
        sweep: the sweep.
        ranked: numbers of lanes, best first.
        kl: of each lane of the sweep the KL per latent [D], nats, mean over the evaluation set.
        data: the evaluation set.
        codes: of each lane [P, D] of the images at `known_rows`; () to encode those of the lanes on show.
    """
    if not ranked:
        return []
    places = dict(zip(("worst", "median", "best"), (len(ranked) - 1, len(ranked) // 2, 0), strict=True))
    chosen = {place: title for title, place in places.items()}  # fewer than three lanes: the better title stays
    indices = shown_images(data)
    lanes = {title: ranked[place] for place, title in sorted(chosen.items())}
    return [
        put_on_show(title, lane, sweep.model(lane), kl[lane], data, indices, codes[lane] if len(codes) else None)
        for title, lane in lanes.items()
    ]


def shown_images(data: Dataset) -> np.ndarray:
    """Return the numbers of the images that lanes are shown on."""
    # Golden-ratio steps: evenly through the set, and in step with no factor of a grid.
    return (np.arange(1, SHOWN_IMAGES + 1) * 0.6180339887 % 1.0 * len(data)).astype(int)


def encode_and_show(title: str, lane: int, model: Model, data: Dataset) -> Showcase:
    """Put a model on show of which nothing has been worked out: its KL is that of all images of the evaluation set."""
    read = numbers_read(model.program)
    hypers = {name: np.array([model.about.get(name, default)], np.float32) for name, default in read.items()}
    networks = jax.tree.map(lambda leaf: np.asarray(leaf)[None], model.networks)
    kl = encode(model.program, hypers, networks, data).kl_per_latent[0]
    return put_on_show(title, lane, model, kl, data, shown_images(data))


def put_on_show(
    title: str,
    lane: int,
    model: Model,
    kl: np.ndarray,
    data: Dataset,
    indices: np.ndarray,
    codes: np.ndarray | None = None,
) -> Showcase:
    """Put a lane's model on show: on the images [n] at `indices`, and codes and information on more of the data.

    `codes` [P, D] are those of the images at MAP_POINTS rows, where they are at hand.
    """
    images = np.asarray(data.batch(jnp.asarray(indices)))
    labels = labels_for(model, data, indices)
    means, _ = model.encode(images, labels)
    middle = len(images) // 2
    told = known_codes(model, data, codes) if data.annotation == "factors" else None
    return Showcase(
        title=title,
        lane=lane,
        originals=images,
        reconstructions=np.asarray(model.decode(means, labels)),
        traversals=np.asarray(
            model.traverse(means[middle], TRAVERSAL_VALUES, None if labels is None else labels[middle])
        ),
        traversal_values=TRAVERSAL_VALUES,
        kl=kl[: latents.number_scored(model.program)],
        information=None if told is None else information(*told, data.factor_sizes),
        swaps=label_swaps(model, images, labels, data),
        codes=shown_codes(model, data),
        manifold=manifold(model),
        responses=None if told is None else respond(*told, data.factor_sizes),
    )


def label_swaps(model: Model, images: np.ndarray, labels: np.ndarray | None, data: Dataset) -> tuple[LabelSwap, ...]:
    """Decode the codes of images [n, H, W, C] with other labels; () for a model that is told none.

    Each label takes its values in turn, at most SWAPPED_VALUES of them. With several labels, fewer images are shown.
    """
    found = []
    sizes = model.label_sizes[:SWAPPED_LABELS]
    number = len(images) if len(sizes) == 1 else max(2, len(images) // 4)
    for column, size in enumerate(sizes):
        values = np.unique(np.linspace(0, size - 1, min(size, SWAPPED_VALUES)).round().astype(np.int32))
        others = np.tile(labels[:number, None], (1, len(values), 1))
        others[..., column] = values
        swapped = model.swap_labels(images[:number], labels[:number], others)
        called = tuple(data.values_of(column)[value] for value in values)
        found.append(LabelSwap(data.factor_names[column], values, labels[:number, column], np.asarray(swapped), called))
    return tuple(found)


def known_rows(data: Dataset, num_latents: int) -> np.ndarray | None:
    """Return the images i32[P] whose codes are looked at with their factors, those that MIG draws.

    None where there are no factors, or the codes of that many latents, of all lanes together, take too much to be kept.
    """
    if data.annotation != "factors" or 4 * min(MAP_POINTS, len(data)) * num_latents > MOST_KEPT:
        return None
    return _map_rows(data)


def _map_rows(data: Dataset) -> np.ndarray:
    return np.asarray(draw_distinct(jax.random.key(0), len(data), MAP_POINTS))


def known_codes(model: Model, data: Dataset, codes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return codes f32[P, D], means of the latents that are scored, and factors i32[P, K], of points that MIG draws."""
    rows = _map_rows(data)
    return means_of(model, data, rows) if codes is None else codes, np.asarray(data.factors[rows])


@in_32_bits
def information(codes: np.ndarray, factors: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return f32[D, K] in 0 … 1, I(latent; factor) / H(factor) of codes [P, D] in 20 bins and factors [P, K].

    Column k's two largest entries are those whose gap MIG averages. A factor that does not vary has a column of NaN.
    """
    return np.asarray(normalised_information(jnp.asarray(codes), jnp.asarray(factors), sizes))
