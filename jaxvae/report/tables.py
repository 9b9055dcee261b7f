"""The sortable tables of the page, as HTML. Knows no figures."""

from collections.abc import Iterable, Mapping
from html import escape

from jaxvae.evaluate.scoring import LOSSES
from jaxvae.report import choice as choice_
from jaxvae.report import reading, wording
from jaxvae.types import Results

Cell = tuple[str, str | float]
"""What is shown, and what it is sorted by."""


MAX_ROWS = 200
"""Lanes, or settings, that a table of the page has; thousands would take longer to open than anybody reads."""

MAX_TIED = 6  # lanes that cannot be told apart, by number; more are counted


def lanes(results: Results, pictures: Mapping[int, str] = {}) -> str:
    """Return a table of lanes, the MAX_ROWS best where there are more: hypers, status, scores.

    Args:
        results: the sweep.
        pictures: {number of a lane on show: the anchor of its pictures}; its number becomes a link.
    """
    rows = reading.best_lanes(results, MAX_ROWS)
    best = reading.best_lane(results) if len(rows) > 1 else None
    columns: dict[str, list[Cell]] = {
        "lane": [(str(lane.get("lane", "")), reading.number(lane, "lane")) for lane in rows]
    }
    if results.sources:
        columns["sweep"] = words(str(lane.get("sweep") or "") for lane in rows)
        columns["own_lane"] = [(str(lane.get("own_lane", "")), reading.number(lane, "own_lane")) for lane in rows]
    for name in ("objective", "architecture"):
        columns[name] = words(str(lane.get(name) or "") for lane in rows)
    # What was swept tells lanes apart and stands first; constants are in the spec below the table.
    swept = [*reading.swept_hypers(results), *([reading.SEED] if reading.SEED in results.hyper_names else [])]
    constant = [name for name in results.hyper_names if name not in swept and _tells(rows, name)]
    for name in [*swept, *constant]:
        columns[name] = [(wording.hyper(lane.get(name)), reading.number(lane, name)) for lane in rows]
    columns["status"] = words(str(lane.get("status") or "ok") for lane in rows)
    losses = [name for name in LOSSES if name in results.score_names]
    for name in [*losses, *reading.by_weight(results, (name for name in results.score_names if name not in losses))]:
        measured = [reading.number(lane, name) for lane in rows]
        places = wording.decimals(measured)
        columns[name] = [(wording.fixed(value, places), value) for value in measured]
    classes = ["best" if lane is best else "" if reading.is_ok(lane) else "lost" for lane in rows]
    return table(columns, classes, {row: pictures.get(lane.get("lane"), "") for row, lane in enumerate(rows)})


def settings(results: Results) -> str | None:
    """Return a table of mean ± standard deviation of settings, the MAX_ROWS best where there are more.

    None when each lane is a setting of its own.
    """
    rows = reading.groups(results)
    if len(rows) == len(results.lanes):
        return None
    rows = reading.best_groups(results, rows, MAX_ROWS)
    columns: dict[str, list[Cell]] = {}
    for name in reading.KINDS:
        if len({lane.get(name) for lane in results.lanes}) > 1:
            columns[name] = words(str(group.lanes[0].get(name) or "") for group in rows)
    for name in reading.swept_hypers(results):
        columns[name] = [
            (wording.hyper(group.lanes[0].get(name)), reading.number(group.lanes[0], name)) for group in rows
        ]
    healthy = [sum(map(reading.is_ok, group.lanes)) for group in rows]
    columns["healthy lanes"] = [(f"{n} of {len(group.lanes)}", n) for n, group in zip(healthy, rows, strict=True)]
    scores = reading.by_weight(results, reading.scores(results))
    for name in [*reading.losses(results), *scores, *reading.apart(results)]:
        measured = [reading.mean_and_spread(group.lanes, name) for group in rows]
        places = wording.decimals([value for mean, deviation, _ in measured for value in (mean, deviation)])
        columns[name] = [(wording.spread(mean, deviation, places), mean) for mean, deviation, _ in measured]
    return table(columns, [""] * len(rows))


def methods(results: Results) -> str | None:
    """Return a table of median [least, greatest] of each objective and architecture; None where one row says it all."""
    rows = reading.methods(results)
    if not rows:
        return None
    columns: dict[str, list[Cell]] = {
        reading.family_kind(results): words(reading.family_name(results, group.family) for group in rows)
    }
    healthy = [sum(map(reading.is_ok, group.lanes)) for group in rows]
    columns["healthy lanes"] = [(f"{n} of {len(group.lanes)}", n) for n, group in zip(healthy, rows, strict=True)]
    for name in [*reading.losses(results), *reading.by_weight(results, reading.scores(results))]:
        measured = [reading.median_and_range(group.lanes, name)[:3] for group in rows]
        places = wording.decimals([value for found in measured for value in found])
        columns[name] = [(wording.span(*found, places), found[0]) for found in measured]
    return table(columns, [""] * len(rows))


def choice(results: Results, found: choice_.Choice) -> str:
    """Return a table of what ways to choose without labels cost, a lane drawn at random last."""
    chosen = []
    for regret in found.regrets:
        label = wording.lane_label(results, regret.lane)
        own = f"lane {regret.lane['lane']}"
        more = f" and {len(regret.tied) - MAX_TIED} more" if len(regret.tied) > MAX_TIED else ""
        tied = f"; as good: {', '.join(map(str, regret.tied[:MAX_TIED]))}{more}" if regret.tied else ""
        chosen.append((own if label == own else f"{own} ({label})") + tied)
    columns = {
        "chosen by": words([*(wording.title(regret.way) for regret in found.regrets), "chance"]),
        "lane": words([*chosen, f"any of {found.number}, on average"]),
    }
    for aim, at_random in found.at_random.items():
        lost = [*(regret.lost[aim] for regret in found.regrets), at_random]
        places = wording.decimals([*lost, 0.5])
        columns[f"lost of {wording.title(aim)}"] = [(wording.fixed(value, places), value) for value in lost]
    return table(columns, [""] * (len(found.regrets) + 1))


def css_class(*names: str) -> str:
    """Return a class attribute, nothing when there is no name."""
    found = " ".join(name for name in names if name)
    return f' class="{found}"' if found else ""


def words(found: Iterable[str]) -> list[Cell]:
    """Return cells that are sorted as they are written."""
    return [(word, word) for word in found]


def table(columns: dict[str, list[Cell]], classes: list[str], links: Mapping[int, str] = {}) -> str:
    """Return a table that is sorted by a click on a heading.

    Args:
        columns: heading -> its cells, top down; one of words stands to the left, one called status is coloured.
        classes: of each row: "best", "lost" or "".
        links: {row: the anchor that its first cell leads to}, "" for none.
    """
    is_text = {name: any(isinstance(sort, str) for _, sort in cells) for name, cells in columns.items()}
    headings = ""
    for name in columns:
        # Numbers are narrow and names of scores long: they may break at their underscores.
        heading = escape(name).replace("_", "_<wbr>")
        headings += f'<th scope="col"{css_class("text" * is_text[name])}><button type="button">{heading}</button></th>'
    body = []
    for row, kind in enumerate(classes):
        cells = []
        for name, found in columns.items():
            shown, sort = found[row]
            kinds = [*(["text"] if is_text[name] else []), *(["status"] if name == "status" else [])]
            # NaN is unequal to itself; its empty key keeps it last whichever way the column is sorted.
            key = "" if sort != sort else sort
            written = escape(shown)
            if not cells and links.get(row):
                written = f'<a href="#{escape(links[row])}" title="its pictures">{written}</a>'
            cells.append(f'<td{css_class(*kinds)} data-value="{escape(str(key))}">{written}</td>')
        body.append(f"<tr{css_class(kind)}>{''.join(cells)}</tr>")
    rows = "\n".join(body)
    return f'<div class="scroll"><table><thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'


def _tells(rows: list[reading.Lane], name: str) -> bool:
    """Tell whether a constant hyper is worth a column: some lanes have it and others do not."""
    return len({lane.get(name) is None for lane in rows}) > 1
