"""Which lane came out best: by which score, and among which lanes."""

import math

from jaxvae.evaluate.ranking import rank


def rows(*scores, status="ok"):
    return [{"lane": lane, "status": status} | given for lane, given in enumerate(scores)]


def test_lanes_are_ranked_by_mig_else_by_the_elbo():
    both = rows({"mig": 0.1, "elbo": -3.0}, {"mig": 0.3, "elbo": -5.0}, {"mig": 0.2, "elbo": -4.0})
    assert rank(both) == ("mig", (1, 2, 0))
    without = [{name: value for name, value in row.items() if name != "mig"} for row in both]
    assert rank(without) == ("elbo", (0, 2, 1))
    for missing in (None, math.nan):
        assert rank([row | {"mig": missing} for row in both]) == rank(without)


def test_lanes_that_diverged_or_lack_the_score_are_not_ranked():
    found = rows({"mig": math.nan, "elbo": -1.0}, {"mig": 0.1, "elbo": -2.0}, {"mig": None}, {"mig": 0.5, "elbo": -9.0})
    best = {"lane": 4, "status": "diverged at step 3", "mig": 1.0, "elbo": 0.0}
    assert rank([*found, best]) == ("mig", (3, 1))
    assert rank([best]) == rank(rows({"elbo": math.inf}, {})) == (None, ())


def test_of_equals_the_first_lane_stands_first():
    assert rank(rows({"elbo": -1.0}, {"elbo": -1.0}, {"elbo": 0.0})) == ("elbo", (2, 0, 1))
