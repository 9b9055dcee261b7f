"""What one should take away from a sweep: at most three points, each with its spread. Knows no HTML, no figures.

They claim no more than the seeds carry: where ranges over seeds overlap, that is said.
"""

import math
from typing import NamedTuple

from jaxvae.report import reading, wording
from jaxvae.types import Results

MAX_NAMED = 12
UNLIKELY = 1 / 20
"""How often chance may draw apart what is equal before it has to be mentioned."""
CLEAR = 2.0
"""Standard errors by which two means differ that are said to differ though their ranges overlap."""


class _Setting(NamedTuple):
    """A setting with at least one healthy lane that has the score."""

    group: reading.Group
    values: list[float]  # ascending, of its healthy lanes

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def error(self) -> float:
        """Squared standard error of the mean; NaN for one value."""
        if len(self.values) < 2:
            return math.nan
        squares = math.fsum((value - self.mean) ** 2 for value in self.values)
        return squares / (len(self.values) - 1) / len(self.values)


def takeaway(results: Results) -> list[str]:
    """Say which setting scores highest and whether seeds bear it out, what that costs, and what went wrong."""
    settings = _settings(results)
    return [line for line in (_highest(results, settings), _trade(results, settings), _lost(results)) if line]


def _settings(results: Results) -> list[_Setting]:
    """Return the settings that have the score that ranks lanes, the highest mean first."""
    found = []
    for group in reading.groups(results) if results.main_score else []:
        values = [reading.number(lane, results.main_score) for lane in group.lanes if reading.is_ok(lane)]
        values = sorted(value for value in values if math.isfinite(value))
        if values:
            found.append(_Setting(group, values))
    return sorted(found, key=lambda setting: -setting.mean)


def _highest(results: Results, settings: list[_Setting]) -> str:
    if not settings:
        return "No lane has a score to rank it by." if results.lanes else ""
    title, best = wording.title(results.main_score), settings[0]
    if len(results.lanes) == 1:
        return f"{title} {wording.short(best.mean)}, of a single lane: there is no spread to judge it by."
    if len(settings) == 1:
        others = len(reading.groups(results)) - 1
        rest = f"; no lane of the other {wording.count(others, 'setting')} finished" if others else ""
        return f"{title} is {_spread(best)}{rest}."
    text = f"{title} is highest for {wording.group_label(results, best.group)}: {_spread(best)}"
    if all(len(setting.values) == 1 for setting in settings):
        return f"{text}; no setting has a second, so nothing here tells a better setting from a lucky seed."
    others = settings[1:]
    overlapping = [other for other in others if other.values[-1] >= best.values[0]]
    if overlapping:
        return f"{text}. {_overlap(results, best, others, overlapping)}"
    following = others[0]
    alike = math.comb(len(best.values) + len(following.values), len(best.values))
    chance = f"; equal settings would lie so in 1 of {alike} cases" if 1 / alike > UNLIKELY else ""
    which = "that of the other setting" if len(others) == 1 else f"those of the {len(others)} other settings"
    return f"{text}. That range lies above {which}, the next being {_range(results, following)}{chance}."


def _overlap(results: Results, best: _Setting, others: list[_Setting], overlapping: list[_Setting]) -> str:
    """Say how many ranges overlap with the best one, and what of that the next setting shows."""
    following = overlapping[0]
    if len(others) == 1:
        text = f"The range of the other setting, {_range(results, following)}, overlaps with it"
    else:
        number = f"{len(overlapping)} of the" if len(overlapping) < len(others) else "All"
        have = "has a range that overlaps" if len(overlapping) == 1 else "have ranges that overlap"
        text = f"{number} {len(others)} other settings {have} with it, the next being {_range(results, following)}"
    apart = (best.mean - following.mean) / math.sqrt(best.error + following.error or math.nan)
    if apart >= CLEAR:  # not for NaN
        return f"{text}; from that one its mean is {apart:.1f} standard errors away."
    seeds = sorted({len(best.values), len(following.values)})
    number = f"{seeds[0]} and {seeds[1]} seeds show" if len(seeds) > 1 else f"{seeds[0]} seeds each show"
    return f"{text}: no difference that {number}."


def _spread(setting: _Setting) -> str:
    """Write "0.127 on average over 2 seeds (0.024 to 0.230)"."""
    places = wording.decimals(setting.values)
    if len(setting.values) == 1:
        return f"{wording.fixed(setting.mean, places)}, of one seed"
    least, most = wording.fixed(setting.values[0], places), wording.fixed(setting.values[-1], places)
    seeds = wording.count(len(setting.values), "seed")
    return f"{wording.fixed(setting.mean, places)} on average over {seeds} ({least} to {most})"


def _range(results: Results, setting: _Setting) -> str:
    """Write "beta=4 (0.024 to 0.230)"."""
    label, places = wording.group_label(results, setting.group), wording.decimals(setting.values)
    if len(setting.values) == 1:
        return f"{label} ({wording.fixed(setting.mean, places)})"
    least, most = wording.fixed(setting.values[0], places), wording.fixed(setting.values[-1], places)
    return f"{label} ({least} to {most})"


def _trade(results: Results, settings: list[_Setting]) -> str:
    """Set the highest score against reconstruction, which the ELBO holds already."""
    losses = reading.losses(results)
    if "reconstruction" not in losses or not settings or results.main_score in losses:
        return ""
    measured = [(setting, reading.mean_and_spread(setting.group.lanes, "reconstruction")) for setting in settings]
    measured = [(setting, found) for setting, found in measured if found[2]]
    if not measured or measured[0][0] is not settings[0]:
        return ""
    places = wording.decimals([value for _, found in measured for value in found[:2]])
    own = measured[0][1]
    words = f"{wording.spread(*own[:2], places)} nats per image"
    if len(results.lanes) == 1 or len(measured) == 1:
        return f"Its reconstruction is {words}."
    rebuilt, least = min(measured, key=lambda pair: pair[1][0])
    if rebuilt is settings[0]:
        return f"It also reconstructs best, at {words}."
    more = wording.fixed(own[0] - least[0], places)
    return (
        f"Its reconstruction is {words}, {more} worse than that of "
        f"{wording.group_label(results, rebuilt.group)}, which reconstructs best and whose "
        f"{wording.title(results.main_score)} is {_spread(rebuilt)}."
    )


def _lost(results: Results) -> str:
    lost = reading.unhealthy(results)
    if not lost:
        return ""
    named = [f"{wording.lane_label(results, lane)} ({lane.get('status')})" for lane in lost[:MAX_NAMED]]
    more = f" and {len(lost) - MAX_NAMED} more" if len(lost) > MAX_NAMED else ""
    share = "" if len(lost) < len(results.lanes) else "; no lane finished"
    return f"{wording.count(len(lost), 'lane')} did not finish healthy{share}: {'; '.join(named)}{more}."
