"""All numbers of a study as rows: those of table.csv and those of the tables of the page. Knows no figure."""

from typing import Any

import numpy as np

from jaxvae.navigate import Navigation
from jaxvae.report import tables, wording
from jaxvae.report.navigation import reading

Row = dict[str, Any]


def rows(results: Navigation) -> list[Row]:
    """Return a row for each model and attribute with every score, every interval and what the judge can tell."""
    return [_row(results, model, a) for model in range(len(results.models)) for a in range(len(results.attributes))]


def _row(results: Navigation, model: int, attribute: int) -> Row:
    at = (model, attribute)
    judge, bounds, trip = results.judge, results.boundaries, results.round_trip
    best = int(bounds.best_latents[at])
    row: Row = {
        "model": results.models[model],
        "attribute": results.attributes[attribute],
        "comparable": bool(results.comparable[attribute]),
        "readable": bool(results.readable[attribute]),
        "share": judge.share[attribute],
        "judge_area": judge.area[attribute],
        "judge_accuracy": judge.accuracy[attribute],
        "judge_rebuilt_area": judge.rebuilt_area[at],
        "judge_rebuilt_accuracy": judge.rebuilt_accuracy[at],
        "score_deviation": judge.deviation[attribute],
        "boundary_area": bounds.area[at],
        "boundary_accuracy": bounds.accuracy[at],
        "boundary_stability": bounds.stability[at],
        "alignment": bounds.alignment[at],
        "participation": bounds.participation[at],
        "best_latent": best,
        "best_latent_area": bounds.latent_area[(*at, best)],
    }
    for kind, scores in (
        ("normal", results.normals),
        ("conditioned", results.conditioned.cleanness),
        ("single", results.single),
    ):
        row[f"{kind}_steerable"] = bool(scores.steerable[at])
        row[f"{kind}_certainty"] = scores.certainty[at]
        row[f"{kind}_effect"] = scores.matrix[model, attribute, attribute]
        for name in ("step", "selectivity", "gap", "leakage"):
            row |= _interval(f"{kind}_{name}", getattr(scores, name), at)
    row["conditioned_on"] = " ".join(results.attributes[other] for other in results.conditioned.others[at])
    row["conditioned_left"] = results.conditioned.left[at]
    row |= _interval("conditioned_gain", results.conditioned.gain, at)
    row["conditioned_kept"] = results.conditioned.kept[at]
    for kind, control in (("random", results.random), ("principal", results.principal)):
        row[f"{kind}_effect"], row[f"{kind}_selectivity"] = control.effect[at], control.selectivity[at]
    row["chance"] = 1 / len(results.attributes)
    row["selectivity_by_labels"] = results.by_labels[attribute]
    for name in ("found", "drift", "pixels"):
        row |= _interval(f"round_trip_{name}", getattr(trip, name), at)
    row["reconstruction"], row["kl"] = results.reconstruction[model], results.kl[model]
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """Return a number as Python's own, to the six digits that float32 is good for."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _interval(name: str, scores, at: tuple[int, int]) -> Row:
    return dict(zip((name, f"{name}_low", f"{name}_high"), (part[at] for part in scores), strict=True))


def models(results: Navigation) -> str:
    """Return a table of the models: what each costs, and its means."""
    number = len(results.models)
    columns: dict[str, list[tables.Cell]] = {"model": tables.words(results.models)}
    columns["reconstruction"] = _numbers(results.reconstruction, 1)
    columns["KL"] = _numbers(results.kl, 1)
    columns["latents alive"] = _numbers(results.alive.sum(1), 0)
    for kind, called in (
        ("normals", "selectivity"),
        ("conditioned", "selectivity, conditioned"),
        ("single", "selectivity, single latents"),
        ("gap", "gap"),
        ("leakage", "leakage"),
        ("step", "step (sd)"),
    ):
        columns[called] = _spans(results.means.get(kind), number)
    chosen = results.comparable
    for called, values in (
        ("selectivity, random", results.random.selectivity),
        ("selectivity, first PC", results.principal.selectivity),
        ("kept when conditioned", results.conditioned.kept),
        ("found on return", results.round_trip.found.value),
        ("drift on return", results.round_trip.drift.value),
        ("pixels per sd", results.round_trip.pixels.value),
    ):
        columns[called] = _numbers([_mean(own[chosen]) for own in values], 3)
    for called, kind in (("steerable", results.normals), ("… by a single latent", results.single)):
        counts = kind.steerable.sum(1).tolist()
        columns[called] = [(f"{count} of {len(results.attributes)}", count) for count in counts]
    return tables.table(columns, [""] * number)


def judged(results: Navigation) -> str:
    """Return a table of what the judge can tell; in red what it cannot on some model's reconstructions."""
    judge, order = results.judge, reading.by_selectivity(results)
    columns: dict[str, list[tables.Cell]] = {
        "attribute": tables.words(reading.named(results.attributes[a]) for a in order),
        "readable": tables.words("yes" if results.readable[a] else "no" for a in order),
        "share": _numbers(judge.share[order], 3),
        "area, images": _numbers(judge.area[order], 3),
    }
    for model, name in enumerate(results.models):
        columns[f"area, {name}"] = _numbers(judge.rebuilt_area[model, order], 3)
    columns["balanced accuracy, images"] = _numbers(judge.accuracy[order], 3)
    for model, name in enumerate(results.models):
        columns[f"balanced accuracy, {name}"] = _numbers(judge.rebuilt_accuracy[model, order], 3)
    return tables.table(columns, ["" if results.readable[a] else "lost" for a in order])


def cases(results: Navigation) -> str:
    """Return a table of each attribute of each model; in red those that are unsteerable or that cannot be told."""
    found = [(model, a) for a in reading.by_selectivity(results) for model in range(len(results.models))]
    at = tuple(np.array(found).reshape(-1, 2).T)
    steerable, readable = results.normals.steerable[at], results.readable[at[1]]
    clean, trip = results.normals, results.round_trip
    columns: dict[str, list[tables.Cell]] = {
        "attribute": tables.words(reading.named(results.attributes[a]) for _, a in found),
        "model": tables.words(results.models[model] for model, _ in found),
        "steerable": tables.words("yes" if yes else "no" for yes in steerable),
    }
    for called, scores in (
        ("step (sd)", clean.step),
        ("selectivity", clean.selectivity),
        ("gap", clean.gap),
        ("leakage", clean.leakage),
        ("selectivity, single latent", results.single.selectivity),
        ("gain when conditioned", results.conditioned.gain),
        ("found on return", trip.found),
        ("drift on return", trip.drift),
        ("pixels per sd", trip.pixels),
    ):
        columns[called] = _spans([part[at] for part in scores], len(found))
        if called == "gain when conditioned":
            columns["kept when conditioned"] = _numbers(results.conditioned.kept[at], 3)
    columns["single latent"] = [
        (f"z{d}" + ("" if moves else " (unsteerable)"), int(d))
        for d, moves in zip(results.boundaries.best_latents[at], results.single.steerable[at], strict=True)
    ]
    columns["random"] = _numbers(results.random.selectivity[at], 3)
    columns["first PC"] = _numbers(results.principal.selectivity[at], 3)
    columns["by labels"] = _numbers(results.by_labels[at[1]], 3)
    lost = ["" if told and moves else "lost" for told, moves in zip(readable, steerable, strict=True)]
    return tables.table(columns, lost)


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan


def _numbers(values, places: int) -> list[tables.Cell]:
    return [(wording.fixed(float(value), places), float(value)) for value in values]


def _spans(scores, number: int) -> list[tables.Cell]:
    if scores is None:
        return [(wording.MISSING, np.nan)] * number
    return [(_span(*map(float, found)), float(found[0])) for found in zip(*scores, strict=True)]


def _span(value: float, low: float, high: float) -> str:
    return wording.span(value, low, high, 3) if np.isfinite(value) else wording.MISSING
