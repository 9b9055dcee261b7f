"""Which metrics can be computed on a data set. Knows no sweep."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxvae import metrics
from jaxvae.data.grid import Dataset
from jaxvae.metrics.scoring import MAX_VALUES
from jaxvae.types import InputError, Metric, look_up

MAX_CLASSES = 1_000
"""Values of all labels together up to which metrics of labels are computed in a sweep: a linear probe's time and memory
grow with them."""

ONLY_BY_NAME = "is of labels; of factors that images were made from it is computed where asked for"


def choose_metrics(names: Sequence[str] | None, data: Dataset) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the metrics that can be computed on a data set, and {metric: why not} for the others.

    Args:
        names: those asked for; None for all, but for metrics of labels on data that has generative factors.
        data: the evaluation set.

    Raises:
        InputError: an unknown name, or factors of more values than can be counted.
    """
    many = sum(data.factor_sizes) > MAX_VALUES
    if many and data.annotation == "factors":
        largest = int(np.argmax(data.factor_sizes))
        raise InputError(
            f"factor {data.factor_names[largest]!r} of {data.name} takes {data.factor_sizes[largest]} values and all "
            f"factors {sum(data.factor_sizes)}, more than the {MAX_VALUES} that can be scored: leave out identifiers, "
            "bin continuous quantities"
        )
    reasons = {
        "labels": f"needs the factors the images were made from; {data.name} has labels only",
        "none": f"needs the factors the images were made from; {data.name} has none",
    }
    chosen, omitted = [], {}
    for name in metrics.METRICS if names is None else names:
        metric = look_up("metric", name, metrics.METRICS)
        if metric.of_clusters and len(data.factor_sizes) != 1:
            omitted[name] = f"needs one label of each image; {data.name} has {len(data.factor_sizes) or 'none'}"
        elif metric.of_clusters and many:
            omitted[name] = f"{data.name} has labels of {data.factor_sizes[0]} values, more than {MAX_VALUES}"
        elif metric.needs_binary and 2 not in data.factor_sizes:
            known = f"{data.annotation} of two values" if data.factor_sizes else "factors or labels"
            omitted[name] = f"needs factors or labels of two values; {data.name} has no {known}"
        elif metric.of_labels and data.annotation == "none":
            omitted[name] = f"needs labels of the images; {data.name} has none"
        elif metric.of_labels and data.annotation == "factors" and names is None:
            omitted[name] = ONLY_BY_NAME
        elif metric.of_labels and sum(data.factor_sizes) > MAX_CLASSES:
            omitted[name] = (
                f"{data.name} has {data.annotation} of {sum(data.factor_sizes)} values, more than {MAX_CLASSES}"
            )
        elif metric.needs_factors and not (metric.needs_binary or metric.of_labels) and data.annotation != "factors":
            omitted[name] = reasons[data.annotation]
        else:
            chosen.append(name)
    return tuple(chosen), omitted


def needs_logvar(names: Sequence[str]) -> bool:
    """Return whether some of these metrics look at log-variances."""
    return any(metrics.METRICS[name].needs_logvar for name in names)


def those(names: Sequence[str], wanted: Callable[[Metric], bool]) -> tuple[str, ...]:
    """Return the names of those metrics that are wanted."""
    return tuple(name for name in names if wanted(metrics.METRICS[name]))
