"""What came out, in a few sentences. Knows no matplotlib, no HTML."""

from jaxvae.report import reading, wording
from jaxvae.types import Results

MAX_NAMED = 12


def summary(results: Results) -> list[str]:
    """Say what was run, which lane and which setting came out best, and what went wrong; one sentence or two each."""
    return [line for line in (_what(results), _best(results), _best_setting(results), _lost(results)) if line]


def _what(results: Results) -> str:
    objectives = list(dict.fromkeys(str(lane.get("objective", "")) for lane in results.lanes))
    text = f"{wording.count(len(results.lanes), 'lane')} of {_listed(objectives)}"
    architectures = list(dict.fromkeys(str(lane.get("architecture", "")) for lane in results.lanes))
    if any(architectures):
        text += f" with {_listed(architectures)} networks"
    if results.spec.get("dataset"):
        text += f" on {results.spec['dataset']}"
    if isinstance(results.spec.get("steps"), int):
        text += f", {wording.count(results.spec['steps'], 'step')} each"
    swept = [name for name in results.swept if name in results.hyper_names]
    return text + (f"; swept: {', '.join(swept)}." if swept else ".")


def _best(results: Results) -> str:
    lane, name = reading.best_lane(results), results.main_score
    if lane is None:
        return "No lane has a score to rank it by." if results.lanes else ""
    words = f"{wording.title(name)} {wording.short(reading.number(lane, name))}"
    if len(results.lanes) == 1:
        return f"It reached {words}."
    label = wording.lane_label(results, lane)
    where = "" if label.startswith("lane ") else f" ({label})"
    return f"Best {words}: lane {lane.get('lane')}{where}."


def _best_setting(results: Results) -> str:
    """Name the setting with the best mean over seeds, which is what a paper may quote; the best lane is partly luck."""
    name = results.main_score
    settings = reading.groups(results)
    found = [(group, reading.mean_and_spread(group.lanes, name)) for group in settings] if name else []
    found = [(group, measured) for group, measured in found if measured[2] > 1]
    if len(settings) < 2 or not found:
        return ""
    group, (mean, deviation, number) = max(found, key=lambda pair: pair[1][0])
    places = wording.decimals([mean, deviation])
    label = wording.group_label(results, group)
    return f"Best mean over seeds: {label}, {wording.spread(mean, deviation, places)} ({number} lanes)."


def _lost(results: Results) -> str:
    lost = reading.unhealthy(results)
    if not lost:
        return ""
    named = [f"{wording.lane_label(results, lane)} ({lane.get('status')})" for lane in lost[:MAX_NAMED]]
    more = f" and {len(lost) - MAX_NAMED} more" if len(lost) > MAX_NAMED else ""
    share = "" if len(lost) < len(results.lanes) else "; no lane finished"
    return f"{wording.count(len(lost), 'lane')} did not finish healthy{share}: {'; '.join(named)}{more}."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nothing"
