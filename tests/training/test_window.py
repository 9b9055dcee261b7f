"""The sums of a window of the history that is open when a checkpoint is written go on with it."""

import json

import numpy as np

from jaxvae.training.history import Window


def chunk(number, size=3):
    """Sums [R, 2] of some steps, as the compiled program gives them: rounded, and what rounding took."""
    random = np.random.default_rng(number)
    sums = random.normal(500, 100, (size, 2)).astype(np.float32) * np.float32([1, 1e-6])
    return {"loss": sums, "count": np.float32([[4, 0], [4, 0], [0, 0]])[:size]}


def test_a_window_that_was_saved_closes_as_one_that_was_not():
    whole, cut = Window(), Window()
    for number in range(5):
        whole.add(chunk(number))
        cut.add(chunk(number))
        cut = Window(json.loads(json.dumps(cut.sums)))
    ours, theirs = cut.close(), whole.close()
    assert ours.keys() == theirs.keys() == {"loss"} and np.isnan(ours["loss"][2])
    np.testing.assert_array_equal(ours["loss"], theirs["loss"])
    assert cut.sums == {} == Window(None).sums, "right after a log point there is nothing to keep"
