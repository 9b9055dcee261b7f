"""What a sweep's tables say, without its models: enough for most figures. Knows no plot."""

import numpy as np

from jaxvae.evaluate.ranking import rank
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import InputError, Results


def from_table(sweep: SavedSweep) -> Results:
    """Return the results of a sweep that has been scored, as far as results.csv, history.csv and run.json know them.

    There are no showcases, no KL of single latents and no reasons for metrics that were left out.

    Raises:
        InputError: the sweep has not been scored.
    """
    if not sweep.results:
        raise InputError(f"the sweep in {sweep.path} has not been scored yet; sweep.rescore() does so")
    columns = list(sweep.results[0])
    main_score, ranked = rank(sweep.results)
    return Results(
        spec=sweep.spec,
        environment=sweep.environment,
        lanes=sweep.results,
        hyper_names=sweep.hyper_names,
        swept=sweep.swept,
        score_names=tuple(columns[columns.index("status") + 1 :]),
        omitted={},
        history=sweep.history,
        kl_per_latent=np.full((len(sweep.results), 0), np.nan),
        showcases=[],
        main_score=main_score,
        ranked=ranked,
    )
