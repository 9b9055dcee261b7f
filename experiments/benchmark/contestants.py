"""Sweeps in training, as the benchmark times them. Knows no flags and no clock."""

import functools

import jax

from jaxvae.asked import spec
from jaxvae.data.grid import Dataset
from jaxvae.parallel import lanes
from jaxvae.training import memory, placing, sweep
from jaxvae.types import Program


class Lanes:
    """A sweep over seeds in training, as run_sweep.py trains it: state on the devices, steps in one compiled call."""

    def __init__(self, program: Program, train: Dataset, num_lanes: int, mode: str, seconds: float = 1.0):
        seeds = spec.Axis("seed", tuple(float(lane) for lane in range(num_lanes)))
        group = spec.expand(chosen(program, (seeds,)), train.shape, len(train), train.factor_sizes)[0]
        self.program, self.data, self.asked, self.lanes, self.seconds = (
            group.program,
            train,
            group.hypers,
            num_lanes,
            seconds,
        )
        modes = placing.modes(num_lanes) if mode == "auto" else (mode,)
        self.mode = modes[0] if len(modes) == 1 else min(modes, key=self.seconds_a_lane_step)
        self.num_lanes, self.steps, self.state = self.prepared(self.mode)

    def prepared(self, mode: str):
        """Return how many lanes are trained in a mode, (state, num_steps) -> (state, sums) compiled once, the state."""
        mesh = lanes.make_mesh(self.lanes, sharing=mode == "split")
        size = lanes.padded_size(self.lanes, mesh)  # what is trained, and so what is counted
        hypers, train = lanes.put_lanes(lanes.pad_lanes(self.asked, size), mesh), lanes.put_everywhere(self.data, mesh)
        steps = functools.partial(sweep.steps_for(self.program, mesh, mode, size, train), train, hypers)
        return size, steps, sweep.compiled_init(self.program, mesh)(hypers)

    def lane_bytes(self) -> float:
        """Return the memory that training asks for a lane, as it predicts it before it allocates any."""
        mesh = self.state.step.sharding.mesh
        shapes = sweep.state_shapes(self.program, mesh, self.num_lanes)
        need = memory.need(shapes, mesh, memory.size_of(self.data), self.steps.func)
        return max(need.device * mesh.shape[lanes.LANE], need.host) / self.num_lanes

    def seconds_a_lane_step(self, mode: str) -> float:
        """Measure a mode on a few real steps, as training does to choose one."""
        size, steps, state = self.prepared(mode)
        return sweep.seconds_a_step(steps, state, self.seconds) / size

    def run(self, num_steps: int) -> None:
        """Take steps with every lane and wait for the last."""
        self.state, sums = self.steps(self.state, jax.numpy.int32(num_steps))
        if int(sums["count"].sum(-1).min()) != num_steps:  # a sum, and what rounding took from it
            raise RuntimeError("a lane diverged: its numbers are no longer those of training")


def chosen(program: Program, axes: tuple[spec.Axis, ...] = ()) -> spec.Spec:
    """Return the sweep of one program over some axes."""
    return spec.Spec(
        objectives=(program.objective,),
        architectures=(program.architecture,),
        sweep=axes,
        **{name: getattr(program, name) for name in spec.PROGRAM_FIELDS},
    )
