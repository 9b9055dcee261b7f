"""A sweep as a value: its table, its figures, its report, its models. Knows no training."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxvae import evaluate, report
from jaxvae.data import Dataset
from jaxvae.evaluate.best import best_row, check_computed
from jaxvae.evaluate.taken_on import TAKEN_ON
from jaxvae.report import typeset
from jaxvae.saved import Model, SavedSweep
from jaxvae.study import noting
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

    def table(self, format: str = "text", *, scores: Sequence[str] | str | None = None) -> str:
        """Return the lanes' scores as a table.

        Args:
            format: "text", at most 120 columns wide, lanes and settings; "latex" (with booktabs) or "markdown", a row
                for each setting: mean ± standard deviation over its healthy seeds, how many those are, and which lanes
                did not finish.
            scores: columns of results.csv, None for all.

        Raises:
            InputError: there is no such format or score, or the sweep has not been scored.
        """
        look_up("format of a table", format, dict.fromkeys(("text", *typeset.FORMATS)))
        known = self.tabled()
        if scores is not None:
            scores = (scores,) if isinstance(scores, str) else tuple(scores)
            for name in scores:
                check_computed(self.results, name)
            known = dataclasses.replace(known, score_names=scores)
        return report.terminal_table(known) if format == "text" else typeset.settings_table(known, format)

    @in_32_bits
    def best(self, score: str, *, say: Callable[[str], None] = print) -> Model:
        """Return the model of the lane with the best of a score: `best("mig")`, or without labels `best("udr_lasso")`.

        The best is the most of it, and the least of losses but for the ELBO and of total correlation and mutual
        information. Lanes that did not finish take no part. Of lanes that have the same score the one with the lowest
        number is taken, and a line says so: with two seeds each, UDR cannot tell the two of a setting apart.

        Args:
            score: a column of `results`.
            say: prints a line.

        Raises:
            InputError: there is no such score, it has not been computed, or no healthy lane has it.
            CheckpointError: the lane's checkpoint is damaged.
        """
        self.tabled()
        found = best_row(self.results, score)
        if words := found.words(score):
            say(words)
        return self.model(found.row["lane"])

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
        drawn = plot(self.tabled())
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
        shown = self._shown(data)
        page = report.write_all(shown, self.path)
        noting.note(shown, self.path)
        return page

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
        self.environment = self.environment | {TAKEN_ON: self._whole.environment[TAKEN_ON]}
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

    @in_32_bits
    def evaluation_set(self) -> Dataset:
        """Return the images that lanes are scored on, loaded as they were then.

        Raises:
            InputError: they were given in memory, cannot be loaded, or are others by now.
        """
        if self._data is None:
            self._data = evaluate.evaluation_set(self)
        return self._data

    def _evaluation_set(self, data: Dataset | None) -> Dataset:
        return self.evaluation_set() if data is None else data

    def tabled(self) -> Results:
        """Return what results.csv and history.csv say; everything, where it is at hand.

        Raises:
            InputError: the sweep has not been scored.
        """
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
        return report.notebook_table(self.tabled(), repr(self)) if self.results else f"<p>{self!r}</p>"


def load_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Open the folder of a sweep, on any machine: no accelerator, data set or device count of its training is needed.

    Raises:
        WorkdirError: the folder does not hold a sweep.
    """
    return Sweep(path)
