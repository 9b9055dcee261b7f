"""What came out, in a few sentences. Knows no matplotlib, no HTML."""

from jaxvae.report import reading, wording
from jaxvae.report.takeaway import takeaway
from jaxvae.types import Results


def summary(results: Results) -> list[str]:
    """Say what one should take away, what was run, and which lane came out best; a sentence or two each."""
    return [*takeaway(results), *what_was_run(results)]


def what_was_run(results: Results) -> list[str]:
    """Say what was run, and which lane came out best."""
    return [line for line in (_what(results), _best(results)) if line]


def _what(results: Results) -> str:
    objectives = list(dict.fromkeys(str(lane.get("objective", "")) for lane in results.lanes))
    text = f"{wording.count(len(results.lanes), 'lane')} of {_listed(objectives)}"
    architectures = list(dict.fromkeys(str(lane.get("architecture", "")) for lane in results.lanes))
    if any(architectures):
        text += f" with {_listed(architectures)} networks"
    if results.sources:
        text += f" from the sweeps {_listed(list(results.sources))}"
    if results.spec.get("dataset"):
        text += f" on {results.spec['dataset']}"
    if isinstance(results.spec.get("steps"), int):
        text += f", {wording.count(results.spec['steps'], 'step')} each"
    swept = [name for name in results.swept if name in results.hyper_names]
    return text + (f"; swept: {', '.join(swept)}." if swept else ".")


def _best(results: Results) -> str:
    lane, name = reading.best_lane(results), results.main_score
    if lane is None or len(results.lanes) == 1:
        return ""
    words = f"{wording.title(name)} {wording.short(reading.number(lane, name))}"
    label = wording.lane_label(results, lane)
    where = "" if label.startswith("lane ") else f" ({label})"
    return f"Best single lane: lane {lane.get('lane')}{where}, {words}."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nothing"
