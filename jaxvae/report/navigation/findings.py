"""What came out, in sentences that claim no more than the intervals carry. Knows no figure, no HTML."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from jaxvae.navigate import Navigation
from jaxvae.navigate.results import READABLE
from jaxvae.navigate.scores import Interval
from jaxvae.report import wording
from jaxvae.report.navigation import reading

MOST_NAMED = 6
_NAMES_OF_LEVELS = {"labels": "what the correlations of labels alone would give"}
SURE = 0.95  # share of resamples in which an attribute has to be moved by the target, to be sure that it is
_REPEAT = re.compile(r"[\s_,-]*(\(\d+\)|(seed|run)[ _=]*\d+)$", re.IGNORECASE)


def findings(results: Navigation) -> list[tuple[str, str]]:
    """Say what the numbers of a study come to: what each paragraph is about, and the paragraph."""
    found = {
        "What was compared": _compared(results),
        "Differences between models": _differences(results),
        "At smaller effects": _smaller(results),
        "How selective edits are": _selectivity(results),
        "What it costs": _costs(results),
        "Single latents": _single(results),
        "Boundaries": _leaning(results),
        "Conditioning": _conditioning(results),
        "Round trip": _coming_back(results),
        "Out of reach": _out_of_reach(results),
        "What intervals say": _caveat(results),
    }
    return [(about, text) for about, text in found.items() if text]


def target(results: Navigation) -> str:
    """Return the matched effect in words."""
    return f"{wording.short(float(results.spec.get('target', 1.0)))} sd of its score"


def _compared(results: Navigation) -> str:
    number, chosen = len(results.attributes), int(results.comparable.sum())
    models = wording.count(len(results.models), "latent space")
    if not chosen:
        return (
            f"There is nothing to compare by in {models}: of {wording.count(number, 'attribute')} none is both told by "
            f"the judge on every model's reconstructions and moved by {target(results)} by every model's normal."
        )
    return (
        f"Codes were moved along the normals of the boundaries of {wording.count(number, 'attribute')} in {models}. "
        f"Means are over the {chosen} that the judge can tell on every model's reconstructions and that every model's "
        f"normal moves by {target(results)}."
    )


def _selectivity(results: Navigation) -> str:
    if not results.comparable.any():
        return ""
    scores = results.means["normals"]
    said = listed([f"{_span(scores, model)} in {name}" for model, name in enumerate(results.models)])
    random = results.random.selectivity[:, results.comparable].mean(1)
    sides: dict[str, list[str]] = {}
    for kind, (called, value) in reading.levels(results).items():
        level = random if kind == "random" else np.full(len(results.models), value)
        name = _NAMES_OF_LEVELS.get(kind, called)
        sides.setdefault(_side(results, scores, level), []).append(f"{name} ({wording.fixed(value, 3)})")
    against = " ".join(_capital(f"{side} {listed(names)}.") for side, names in sides.items())
    return f"Selectivity, an attribute's share of all that an edit moves, is on average {said}. {against}"


def _side(results: Navigation, scores: Interval, level: np.ndarray) -> str:
    """Say which models' intervals are above a level f32[M], and which are below, as the beginning of a sentence."""
    sides = {
        "above": scores.low > level,
        "below": scores.high < level,
        "not told apart from": (scores.low <= level) & (scores.high >= level),
    }
    return ", ".join(f"{_who(results, which)} {side}" for side, which in sides.items() if which.any())


def _who(results: Navigation, which: np.ndarray) -> str:
    """Name models and give them their verb."""
    if which.all() and len(which) > 1:
        return f"{'both' if len(which) == 2 else f'all {len(which)}'} are"
    names = [name for name, chosen in zip(results.models, which, strict=True) if chosen]
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'}"


def _differences(results: Navigation) -> str:
    """Say which models differ from the first; the differences are paired over the same resamples of images."""
    first, others = results.models[0], results.models[1:]
    difference = results.means.get(f"normals - {first}")
    if not others or difference is None or not results.comparable.any():
        return ""
    parts, none = [], []
    for model, name in enumerate(others, start=1):
        value, low, high = (float(part[model]) for part in difference)
        if low > 0:
            parts.append(f"{name} is more selective than {first} by {wording.span(value, low, high, 3)}")
        elif high < 0:
            parts.append(f"{name} is less selective than {first} by {wording.span(-value, -high, -low, 3)}")
        else:
            none.append(f"{name} ({wording.span(value, low, high, 3)})")
    if none:
        parts.append(f"no difference to {first} was found for {listed(none)}")
    text = f"{_capital('; '.join(parts))}."
    if len(others) > 1 and len(none) < len(others):
        luck = min(100, 5 * len(others))
        text += f" Of {len(others)} such intervals one or more leave 0 out by luck in up to {luck}% of studies."
    return text


def _smaller(results: Navigation) -> str:
    """Say which differences to the first model hold, whatever part of the target is asked for."""
    smaller, first, others = results.smaller, results.models[0], results.models[1:]
    known = smaller.comparable > 0
    if not others or known.sum() < 2:
        return ""
    said: dict[str, list[str]] = {}
    for model, name in enumerate(others, start=1):
        low, high = smaller.difference.low[known, model], smaller.difference.high[known, model]
        above, below = low > 0, high < 0
        if above.all() or below.all():
            what = f"{'more' if above.all() else 'less'} selective than {first} at every one of them"
        elif above.any() and below.any():
            what = "more selective at some and less at others"
        elif above.any() or below.any():
            which = f"{int((above | below).sum())} of them"
            what = f"{'more' if above.any() else 'less'} selective at {which}, elsewhere not told apart"
        else:
            what = f"not told apart from {first} at any"
        said.setdefault(what, []).append(name)
    reached = zip(smaller.targets[known], smaller.comparable[known], strict=True)
    asked = listed([f"{target:g} sd ({wording.count(int(count), 'attribute')})" for target, count in reached])
    parts = [f"{listed(names)} {'is' if len(names) == 1 else 'are'} {what}" for what, names in said.items()]
    return f"Matched at {asked}: {'; '.join(parts)}."


def _costs(results: Navigation) -> str:
    rebuilt, kl = results.reconstruction.astype(float), results.kl.astype(float)
    first = results.models[0]
    text = (
        f"In nats per held-out image {first} rebuilds at {wording.fixed(rebuilt[0], 1)} with a KL of "
        f"{wording.fixed(kl[0], 1)}"
    )
    more = [
        f"{name} {_signed(rebuilt[model] - rebuilt[0])} and {_signed(kl[model] - kl[0])}"
        for model, name in enumerate(results.models[1:], start=1)
    ]
    return text + (f"; against that, {listed(more)} (below 0 is better, or cheaper)." if more else ".")


def _signed(value: float) -> str:
    value = round(value, 1)
    return ("+" if value > 0 else "±" if value == 0 else "") + wording.fixed(abs(value) if value == 0 else value, 1)


def _single(results: Navigation) -> str:
    """Say whether a single latent does what an attribute's normal does."""
    normals, single = results.normals, results.single
    cases = normals.steerable & results.readable
    if not cases.any():
        return ""
    equal = cases & single.steerable & (single.selectivity.value >= normals.selectivity.value)
    sure = equal & (single.certainty >= SURE) & (single.selectivity.low > normals.selectivity.high)
    of = f"of {cases.sum()} cases (an attribute of a model that its normal moves by the target and the judge can tell)"
    if not equal.any():
        text = (
            "A single latent never does an attribute's work: the one that tells it best moves it by the target, and no "
            f"less selectively than the normal does, in 0 {of}."
        )
    else:
        text = (
            f"The single latent that tells an attribute best moves it by the target and, by the estimates, no less "
            f"selectively than the normal in {equal.sum()} {of}: {_cases(results, equal)}. "
        )
        text += (
            f"The intervals are apart for {_cases(results, sure)}."
            if sure.any()
            else "In none are the intervals apart."
        )
    if not results.comparable.any():
        return text
    means, other = results.means["single"], results.means["normals"]
    sides = {
        "less selective than normals": means.high < other.low,
        "more selective than normals": means.low > other.high,
        "not told apart from normals": (means.high >= other.low) & (means.low <= other.high),
    }
    parts = []
    for side, which in sides.items():
        if which.any():
            spans = listed([_span(means, model) for model in np.flatnonzero(which)])
            parts.append(f"{side} in {_names(results, which)} ({spans})")
    return f"{text} On average single latents are {'; '.join(parts)}."


def _cases(results: Navigation, which: np.ndarray) -> str:
    """Name attributes of models, those that most models share first."""
    found = [
        f"{reading.named(results.attributes[a])} ({_names(results, which[:, a])})"
        for a in np.argsort(-which.sum(0), kind="stable")
        if which[:, a].any()
    ]
    return cut_short(found)


def _names(results: Navigation, which: np.ndarray) -> str:
    if which.all() and len(which) > 1:
        return "all models"
    return listed([name for name, chosen in zip(results.models, which, strict=True) if chosen])


def _leaning(results: Navigation) -> str:
    bounds = results.boundaries
    found = np.where(bounds.alignment > 0, bounds.alignment, np.nan)
    if not np.isfinite(found).any():
        return "No boundary was found in any code."
    model, attribute = np.unravel_index(np.nanargmax(found), found.shape)
    latents = int(results.alive.sum(1).max())
    return (
        f"Normals lean on {wording.fixed(float(np.nanmean(bounds.participation)), 1)} latents on average; the largest "
        f"component of one averages {wording.fixed(float(np.nanmean(found)), 2)}, and at most it is "
        f"{wording.fixed(float(found[model, attribute]), 2)} ({reading.named(results.attributes[attribute])} in "
        f"{results.models[model]}), where 1 is a single latent and {wording.fixed(1 / np.sqrt(max(latents, 1)), 2)} "
        "the least."
    )


def _conditioning(results: Navigation) -> str:
    """Say what projecting out other attributes changes."""
    cases = results.normals.steerable & results.readable
    others = results.conditioned.others.shape[-1]
    if not cases.any() or not others:
        return ""
    gain, kept = results.conditioned.gain, results.conditioned.kept
    better, worse = (gain.low > 0) & cases, (gain.high < 0) & cases
    lost = cases & ~results.conditioned.cleanness.steerable
    left = kept[cases & np.isfinite(kept)]
    middle = f"{wording.fixed(100 * float(np.median(left)), 0)}%" if len(left) else "nothing known"
    which = "other attributes" if results.spec.get("conditions") not in (None, "three nearest normals") else "normals"
    return (
        f"Projecting {wording.count(others, 'other')} out of a normal ({which} "
        f"{'that were chosen' if which != 'normals' else 'nearest in angle'}) makes the edit more selective in "
        f"{better.sum()} of {cases.sum()} cases and less in {worse.sum()} (intervals without 0); of the attribute's "
        f"own effect at the same step {middle} is left (median), and in {lost.sum()} the target is no longer reached."
    )


def _coming_back(results: Navigation) -> str:
    cases = results.normals.steerable & results.readable
    if not cases.any():
        return ""
    trip = results.round_trip
    per_model = [
        f"{wording.fixed(100 * float(np.mean(trip.found.value[model][own])), 0)}% and "
        f"{wording.fixed(100 * float(np.mean(trip.drift.value[model][own])), 0)}% in {results.models[model]}"
        for model, own in enumerate(cases)
        if own.any()
    ]
    return (
        "Encoded again, an edited picture has moved along the direction, and across it, by these parts of the step: "
        f"{listed(per_model)}."
    )


def _out_of_reach(results: Navigation) -> str:
    names = [reading.named(name) for name in results.attributes]
    unreadable = [name for name, told in zip(names, results.readable, strict=True) if not told]
    parts = []
    if unreadable:
        parts.append(
            f"The judge cannot tell {cut_short(unreadable)} on the reconstructions of one model or more (area under "
            f"ROC below {READABLE:g})."
        )
    moved = results.normals.steerable
    never = [name for name, own in zip(names, moved.T, strict=True) if not own.any()]
    some = [
        f"{name} ({_names(results, ~own)})"
        for name, own in zip(names, moved.T, strict=True)
        if own.any() and not own.all()
    ]
    if never:
        where = "any model" if len(results.models) > 1 else results.models[0]
        parts.append(f"No step tried moves {cut_short(never)} by the target in {where}.")
    if some:
        parts.append(f"Unsteerable in some: {cut_short(some)}.")
    if not parts:
        return "Every attribute is told on every model's reconstructions and moved by the target."
    return " ".join(parts)


def _caveat(results: Navigation) -> str:
    text = (
        f"Intervals are 95%, over {wording.count(int(results.spec.get('edited_images', 0)), 'edited image')}: the "
        "boundaries, the judge and the networks stay the same in them."
    )
    bases = [_REPEAT.sub("", name) for name in results.models]
    if len(set(bases)) == len(bases):
        each = "Each model is one trained network" if len(bases) > 1 else "The model is one trained network"
        return f"{text} {each}, so nothing here says how far another training seed would differ."
    return f"{text} Networks that differ in their number or seed alone show how far training by itself goes."


def _span(scores: Interval, model: int) -> str:
    return wording.span(*(float(part[model]) for part in scores), 3)


def _capital(text: str) -> str:
    """Begin a sentence with a capital, unless it begins with a name."""
    return text[:1].upper() + text[1:] if text.startswith(("all ", "both ", "no ")) else text


def cut_short(names: Sequence[str]) -> str:
    """List names, the first few where there are many."""
    if len(names) <= MOST_NAMED:
        return listed(names)
    return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"


def listed(names: Iterable[str]) -> str:
    """Write "a, b and c"."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"
