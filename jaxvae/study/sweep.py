"""A sweep as a value: its table, its figures, its report, its models. Knows no training."""

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxvae import evaluate, report
from jaxvae.data import Dataset
from jaxvae.saved import SavedSweep
from jaxvae.types import InputError, Results, in_32_bits, look_up


class Sweep(SavedSweep):
    """A trained sweep: `train` returns one, `load_sweep` opens one. In a notebook it shows its table.

    Attributes:
        path: its folder. One that `train` made because it was given none is deleted when the sweep is no longer used.
        spec, lanes, results, history: see SavedSweep; `results` are rows that `pandas.DataFrame` takes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        results: Results | None = None,
        data: Dataset | None = None,
        job: Any = None,
    ):
        super().__init__(path)
        self._data, self._whole, self._brief = data, results, None
        self._job = job  # as study.running knows it, where this process has trained it

    def table(self) -> str:
        """Return the lanes' scores as text, at most 120 columns wide.

        Raises:
            InputError: the sweep has not been scored.
        """
        return report.terminal_table(self._known())

    @in_32_bits
    def plot(self, name: str, *, data: Dataset | None = None) -> Figure:
        """Draw one plot of the report.

        Args:
            name: a name in jaxvae.report.PLOTS. Of a plot of several figures, "traversals" is the first one, and each
                has a name of its own, "traversals_worst".
            data: the evaluation set, for plots that encode images, where the sweep was not trained on a named data set.

        Raises:
            InputError: there is no such plot, or it does not apply to this sweep.
        """
        if not isinstance(name, str):
            look_up("plot", name, report.PLOTS)
        owner = max((plot for plot in report.PLOTS if name.startswith(f"{plot}_")), key=len, default=name)
        owner = name if name in report.PLOTS else owner
        plot = look_up("plot", owner, report.PLOTS)
        drawn = plot(self._known())
        if drawn is None or drawn == {}:
            try:  # what is in no table has to be worked out from the models
                drawn = plot(self._shown(data))
            except InputError as error:
                raise InputError(f"the plot {owner!r} has nothing to show of the sweep's tables: {error}") from None
        if drawn is None or drawn == {}:
            raise InputError(f"the plot {owner!r} does not apply to this sweep ({report.explained(owner)[0]})")
        if isinstance(drawn, Figure):
            return drawn
        parts = {f"{owner}_{part}" if part else owner: figure for part, figure in drawn.items()}
        return next(iter(parts.values())) if name == owner else look_up("plot", name, parts)

    @in_32_bits
    def report(self, *, data: Dataset | None = None) -> pathlib.Path:
        """Write results.csv, figures/ and report.html into the sweep's folder; return the path of the page.

        Args:
            data: as for `plot`.
        """
        return report.write_all(self._shown(data), self.path)

    @in_32_bits
    def rescore(
        self,
        names: Sequence[str] | str | None = None,
        *,
        data: Dataset | None = None,
        say: Callable[[str], None] = print,
    ) -> "Sweep":
        """Score the models anew, and return the sweep, its `results` now those. Nothing is written before `report`.

        Args:
            names: metrics to compute, None for all that the data allows. Scores of others that are there stay.
            data: another evaluation set than the one that the sweep was scored on; scores that are there then go.
            say: prints a line.

        Raises:
            InputError: a name is unknown, the data set cannot be loaded, or a plug-in is missing.
            CheckpointError: lanes have not been trained, or their checkpoint is damaged.
        """
        keep = data is None
        self._whole = evaluate.rescore(self, names=names, data=self._evaluation_set(data), say=say, keep=keep)
        self.results, self._brief = self._whole.lanes, None
        return self

    @in_32_bits
    def extend(
        self,
        *,
        steps: int | None = None,
        sweep: Mapping[str, Iterable[float] | float] | None = None,
        objective: str | Sequence[str] | None = None,
        architecture: str | Sequence[str] | None = None,
        data: Any = None,
        say: Callable[[str], None] | None = print,
        **others: Any,
    ) -> "Sweep":
        """Train what the sweep lacks, score all of it, and return it. What is not given stays as it is.

        Lanes that are there keep their numbers, and where steps are not more their parameters too, bit for bit. A kill
        at any moment leaves the old or the extended sweep; the same call goes on.

        Args:
            steps: for all lanes, at least those that it has.
            sweep: axes with all their values, those that are there included: {"seed": range(10)}. Of a new axis, lanes
                that are there must have one of the values.
            objective: all objectives, those that are there included.
            architecture: likewise.
            data: the training set as `train` takes it, where it was images in memory, and of another process.
            say: prints a line; None for silence.
            **others: factors=, labels=, factor_names=, eval_data=, eval_factors= and eval_labels= beside `data`, and
                settings of `train` that may change, such as metrics=, max_lanes= or sizes of a new objective.

        Raises:
            InputError: a lane that is there would change or go, or the data has to be given.
            KeyboardInterrupt: it was interrupted; what was trained is saved.
        """
        from jaxvae.study import extending  # which stands on this

        given = {"steps": steps, "sweep": sweep, "objective": objective, "architecture": architecture}
        found = extending.extend(self, given, data, others, say or (lambda line: None))
        vars(self).update(vars(found))
        return self

    @in_32_bits
    def latents(self, *, data: Dataset | None = None) -> list[dict[str, Any]]:
        """Return a row for each latent of each lane, as `pandas.DataFrame` takes them.

        Over the evaluation set: `kl`, nats, to the architecture's own prior (N(0, 1) of a flat code); and of the
        posterior N(mean, variance), `mean` of its means, `absolute_mean` of their absolute values, `variance_of_mean`,
        their variance, and `posterior_variance`, the mean of its variances. A row also has the lane's number, its
        names, hypers and status, and the `latent`'s number from 0.

        Args:
            data: as for `plot`.
        """
        shown = self._shown(data)
        about = ("lane", "objective", "architecture", *shown.hyper_names, "status")
        tables = {"kl": shown.kl_per_latent, **shown.latent_statistics}
        return [
            {name: lane.get(name) for name in about}
            | {"latent": latent}
            | {name: float(table[index, latent]) for name, table in tables.items()}
            for index, lane in enumerate(shown.lanes)
            for latent in range(shown.kl_per_latent.shape[1])
            if not np.isnan(shown.kl_per_latent[index, latent])
        ]

    def _evaluation_set(self, data: Dataset | None) -> Dataset:
        """Return the images that lanes are scored on."""
        if data is None and self._data is None:
            self._data = evaluate.evaluation_set(self)
        return self._data if data is None else data

    def _known(self) -> Results:
        """Return what results.csv and history.csv say; everything, where it is at hand."""
        if self._whole is None and self._brief is None:
            self._brief = evaluate.from_table(self)
        return self._whole or self._brief

    def _shown(self, data: Dataset | None) -> Results:
        """Return everything that a report needs, working out from the models what no table has."""
        if self._whole is None:
            given = self._evaluation_set(data)
            self._whole = evaluate.rescore(self, names=(), data=given, say=lambda line: None, keep=True)
        return self._whole

    def _repr_html_(self) -> str:
        """Return the sweep as a notebook shows it: what it is, and a row for each lane."""
        return report.notebook_table(self._known(), repr(self)) if self.results else f"<p>{self!r}</p>"


def load_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Open the folder of a sweep, on any machine: no accelerator, data set or device count of its training is needed.

    Raises:
        WorkdirError: the folder does not hold a sweep.
    """
    return Sweep(path)
