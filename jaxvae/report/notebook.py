"""A sweep as a notebook shows it. Knows no figure and no script: notebooks strip both styles and scripts."""

from html import escape

from jaxvae.report import reading, wording
from jaxvae.types import Results

MAX_LANES = 24  # more are told by their settings alone
MAX_SETTINGS = 60  # the best of more


def notebook_table(results: Results, heading: str) -> str:
    """Return HTML: a heading, and a row for each lane, or for each setting (mean ± deviation) where lanes are many.

    Of very many settings the best have a row, and the heading says so.
    """
    names = [*reading.by_weight(results, reading.scores(results)), *reading.losses(results)]
    hypers = [*reading.swept_hypers(results)]
    if len(results.lanes) <= MAX_LANES:
        first = [
            "lane",
            "objective",
            "architecture",
            *hypers,
            *([reading.SEED] if reading.SEED in results.swept else []),
        ]
        lanes = reading.ordered(results)
        body = [
            [*(wording.hyper(lane.get(n)) for n in first), *(_score(lane, n) for n in names), _status(lane)]
            for lane in lanes
        ]
        return _html(heading, [*first, *names, "status"], body)
    first = ["objective", "architecture", *hypers]
    body = []
    settings = reading.groups(results)
    shown = reading.best_groups(results, settings, MAX_SETTINGS)
    if rest := wording.left_out(len(shown), len(settings), f"settings, {wording.the_best(results)}"):
        heading = f"{heading}: {rest}"
    for group in shown:
        spreads = [reading.mean_and_spread(group.lanes, name)[:2] for name in names]
        words = [wording.spread(mean, spread, wording.decimals([mean])) for mean, spread in spreads]
        healthy = f"{sum(map(reading.is_ok, group.lanes))} of {len(group.lanes)}"
        body.append([*(wording.hyper(group.lanes[0].get(name)) for name in first), *words, healthy])
    return _html(heading, [*first, *names, "healthy lanes"], body)


def _score(lane: reading.Lane, name: str) -> str:
    value = reading.number(lane, name)
    return wording.fixed(value, wording.decimals([value]))


def _status(lane: reading.Lane) -> str:
    return str(lane.get("status") or "ok")


def _html(heading: str, columns: list[str], body: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(wording.title(name))}</th>" for name in columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f"<p>{escape(heading)}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
