"""How well a lane would have been chosen without labels: what each way to choose costs of a score that has them.

Knows no HTML and no figures.
"""

from typing import NamedTuple

from jaxvae.evaluate.best import best_row, is_number
from jaxvae.report import reading, wording
from jaxvae.types import Results

WAYS = ("udr_spearman", "udr_lasso", "elbo", "reconstruction")
"""Scores that need no labels, by which a lane may be chosen."""
AIMS = ("mig", "dci_disentanglement")
"""Scores with labels that one would have liked to have the best of."""
FEWEST = 3
"""Lanes among which there is something to choose."""


class Regret(NamedTuple):
    """What a way to choose costs."""

    way: str
    lane: reading.Lane  # the chosen one
    tied: tuple[int, ...]  # numbers of lanes that it cannot tell from the chosen one
    lost: dict[str, float]  # {aim: the best lane's score less the chosen one's}


class Choice(NamedTuple):
    """The ways to choose that a sweep allows, beside a lane drawn at random."""

    regrets: list[Regret]
    at_random: dict[str, float]  # {aim: the best lane's score less the mean over lanes}
    number: int  # of lanes that there are to choose from


def choices(results: Results) -> Choice | None:
    """Return what ways to choose would have cost on this sweep; None where it has not the scores to tell.

    Only healthy lanes that have every score in question take part, so that all ways choose among the same.
    """
    there = [name for name in results.score_names if name in (*WAYS, *AIMS)]
    there = [name for name in there if any(is_number(lane.get(name)) for lane in results.lanes if reading.is_ok(lane))]
    ways, aims = ([name for name in names if name in there] for names in (WAYS, AIMS))
    lanes = [lane for lane in results.lanes if reading.is_ok(lane)]
    lanes = [lane for lane in lanes if all(is_number(lane.get(name)) for name in (*ways, *aims))]
    if len(lanes) < FEWEST or not ways or not aims:
        return None
    most = {aim: max(lane[aim] for lane in lanes) for aim in aims}
    regrets = []
    for way in ways:
        found = best_row(lanes, way)
        regrets.append(Regret(way, found.row, found.tied, {aim: most[aim] - found.row[aim] for aim in aims}))
    return Choice(regrets, {aim: most[aim] - sum(lane[aim] for lane in lanes) / len(lanes) for aim in aims}, len(lanes))


def in_words(choice: Choice) -> str:
    """Say which way came nearest to the first aim, and how that compares with a lane drawn at random."""
    aim = next(iter(choice.at_random))
    nearest = min(choice.regrets, key=lambda regret: regret.lost[aim])
    at_random, lost = choice.at_random[aim], nearest.lost[aim]
    places = wording.decimals([at_random, lost, 0.5])
    worse = [regret for regret in choice.regrets if regret.lost[aim] >= at_random]
    title = wording.title(aim)
    text = (
        f"Chosen without labels, {wording.title(nearest.way)} comes nearest to the best {title} of this sweep, "
        f"{wording.fixed(lost, places)} below it; a lane drawn at random is {wording.fixed(at_random, places)} below "
        "it on average"
    )
    if len(worse) == len(choice.regrets):
        text += ", and no way to choose does better than that"
    elif worse:
        names = ", ".join(wording.title(regret.way) for regret in worse)
        text += f", and no better than that {'is' if len(worse) == 1 else 'are'} {names}"
    return f"{text}. It is one sweep: another may turn the order round."
