"""What scoring a sweep will need, compiled while the sweep is trained. Knows no metric."""

from collections.abc import Iterator, Sequence

from jaxvae import latents
from jaxvae.asked.spec import Group
from jaxvae.data.grid import Dataset
from jaxvae.evaluate import encoding, parts
from jaxvae.evaluate.choosing import choose_metrics, needs_logvar, those
from jaxvae.evaluate.gap import some
from jaxvae.evaluate.known import factors_of
from jaxvae.lane import seeing
from jaxvae.metrics import scoring
from jaxvae.workdir.waves import even_size


def begin(
    groups: Sequence[Group], names: Sequence[str] | None, data: Dataset, trained_on: Dataset | None
) -> Iterator[None]:
    """Begin to compile what `evaluate` will need, as far as that is known while it is trained, a program at a time.

    Where it turns out otherwise, because memory is short, say, what is needed then is compiled when its turn comes.

    Args:
        groups: the lanes.
        names: metrics that are asked for, as `evaluate` takes them.
        data: the evaluation set.
        trained_on: the training set, None where it is `data`.
    """
    names = those(choose_metrics(names, data)[0], lambda metric: metric.of_codes)
    with_logvar, factors = needs_logvar(names), factors_of(data)
    for group in groups:
        if not seeing.is_whole(group.hypers):
            continue  # seen and unseen images are then scored apart, of every lane others
        size = even_size(group.num_lanes, parts.convenient(group.num_lanes))
        yield encoding.begin(group.program, size, data, with_logvar=with_logvar)
        if trained_on is not None:
            yield encoding.begin(group.program, size, some(trained_on))
        yield from scoring.begin(names, factors, size, latents.number_scored(group.program), with_logvar=with_logvar)
