"""A sweep of many waves: what is read and written for each of them does not grow with how many there are."""

import collections

import numpy as np
import pytest

import jaxvae
from jaxvae.training import loop
from jaxvae.workdir import checkpoint, records, tables

pytestmark = pytest.mark.usefixtures("no_figures")


def images():
    drawn = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1), np.uint8)
    return jaxvae.data.from_arrays(drawn, factors=np.arange(8)[:, None] % 2)


def run(workdir, lanes, counted, *, stop_after=None):
    """Train as many waves as lanes, halfway if asked; return how often each thing was done."""
    asked = {"architecture": "mlp", "lanes": "map", "max_lanes": 1, "latent_dim": 2, "batch_size": 2, "steps": 1}
    with pytest.MonkeyPatch.context() as patched:
        if stop_after is not None:
            waves = iter(range(stop_after))
            train_wave = loop._train_wave
            patched.setattr(loop, "_train_wave", lambda *a, **k: (next(waves), train_wave(*a, **k))[1])
        for place, name in counted:
            before = getattr(place, name)

            def count(*given, _before=before, _name=name, **options):
                done[_name] += 1
                return _before(*given, **options)

            patched.setattr(place, name, count)
        done = collections.Counter()
        sweep = {"seed": range(lanes)}
        try:
            jaxvae.train(images(), workdir=workdir, sweep=sweep, metrics="mig", say=None, **asked)
        except StopIteration:
            return done
        jaxvae.load_sweep(workdir).rescore("mig", data=images(), say=lambda line: None)
        return done


@pytest.mark.slow
def test_waves_are_read_as_often_however_many_there_are(tmp_path):
    of_waves = [(checkpoint.Checkpoints, name) for name in ("__init__", "restore", "counters", "save")]
    of_all = [(records, "read_json"), (tables, "write_json")]
    done = {}
    for lanes in (4, 6, 8):
        run(tmp_path / str(lanes), lanes, [], stop_after=lanes // 2)
        done[lanes] = run(tmp_path / str(lanes), lanes, of_waves + of_all)
    for _, name in of_waves:
        small, middle, large = (done[lanes][name] for lanes in (4, 6, 8))
        assert 0 < large - middle == middle - small, (name, small, middle, large)
    for _, name in of_all:
        assert done[4][name] == done[6][name] == done[8][name] > 0, name
