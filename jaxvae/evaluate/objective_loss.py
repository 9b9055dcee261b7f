"""The loss that lanes are trained on, of images that they are not trained on. Knows no metric."""

import jax
import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.lane import seeing
from jaxvae.lane.held_out import held_out_loss
from jaxvae.parallel.lanes import fetch, over_lanes
from jaxvae.types import Hypers, Program, TrainState, remember


@remember
def _compiled_loss(program: Program, mesh, mode: str):
    """Return the jitted ((data, training set), (hypers [R], state [R])) -> losses [R]."""

    def one_lane(shared, lane):
        data, trained_on = shared
        return held_out_loss(program, data, *lane, seeing.num_seen(trained_on, lane[0]))

    return jax.jit(over_lanes(one_lane, mesh, mode))


def loss_in_place(
    program: Program, hypers: Hypers, state: TrainState, data: Dataset, trained_on: Dataset
) -> np.ndarray:
    """Return `training.held_out.held_out_loss` of every lane, f32[R'], nats per image.

    NaN for all where lanes are told labels and the data has none, or others than they are trained with.

    Args:
        program: the lanes' program.
        hypers: name -> [R'], on the devices, lanes split.
        state: of lanes that are being trained, likewise.
        data: the evaluation set, on every device.
        trained_on: the training set.
    """
    labels = [(one.factor_sizes, one.factor_values) for one in (data, trained_on)]
    if program.label_sizes and labels[0] != labels[1]:
        return np.full(len(hypers["seed"]), np.nan, np.float32)
    mesh = state.step.sharding.mesh
    mode = "map" if mesh.devices.flat[0].platform == "cpu" else "vmap"  # as codes are made
    # What optimisers remember is half of a state, and nobody looks at it here.
    return fetch(_compiled_loss(program, mesh, mode)((data, trained_on), (hypers, state.replace(opt={}))))
