"""Read the program that XLA is given for a training sweep, for any accelerator and without it, and say what is in it.

python experiments/benchmark/inspect_hlo.py --objectives=beta_vae,factor_vae --architectures=conv,mlp --platform=cuda
python experiments/benchmark/inspect_hlo.py --all            every objective with every architecture, without compiling

The loop over steps is the whole program, so whatever is found is in it. Exits with 1 if there is a grouped convolution
(what `vmap` makes of a convolution over kernels; slow everywhere), a collective (lanes never speak), a transfer to the
host, a call out of XLA, or state that is not given away. Without the accelerator there is only what JAX hands over,
StableHLO; library calls and aliasing are read off the same program compiled for this CPU, as are XLA's counts of
operations and bytes. They stand beside the paper's (paper_count.py): XLA's hold elementwise work, the padding of
convolutions written as products, and every intermediate that is written.
"""

import collections
import inspect
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import jax
import numpy as np
from absl import app, flags, logging

import paper_count
from jaxvae import models, objectives
from jaxvae.asked import spec
from jaxvae.data import Dataset
from jaxvae.parallel import lanes
from jaxvae.training import sweep
from jaxvae.types import InputError, Program

LABELS = (4,) * 5
COMPOSED = ("kl_balanced+spectral", "kl_anisotropic", "kl_student", "vae+tc_mss", "vae+mmd", "vae+label_cosine")
"""Objectives with the terms that no preset has."""
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {"nvae": ({}, {"groups_per_scale": (1,)})}
"""Architectures with sizes that make another program of them: a hierarchy of one group is a flat code."""

COLLECTIVES = r"\b(all_gather|all_reduce|all_to_all|collective_permute|collective_broadcast|reduce_scatter)"
TRANSFERS = r"\b(infeed|outfeed|send|recv)\b[\"(]"
CALLS = r"custom_call_target ?= ?\"([^\"]+)\"|custom_call @([\w.$]+)"
MARKS = {"Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape"}  # notes to the partitioner, not calls


def shapes_only(image_shape: tuple[int, int, int], num_images: int = 1024) -> Dataset:
    """Return a data set of bits without any: only shapes matter to a program."""
    pixels = jax.ShapeDtypeStruct((num_images, -(-int(np.prod(image_shape)) // 8)), np.uint8)
    factors = jax.ShapeDtypeStruct((num_images, 5), np.int32)
    return Dataset(pixels, factors, "shapes", image_shape, True, tuple("abcde"), LABELS, "factors")


def trace(program: Program, num_lanes: int, mode: str, platform: str):
    """Trace the steps of a sweep over seeds on one device of a platform that need not be here."""
    seeds = spec.Axis("seed", tuple(float(seed) for seed in range(num_lanes)))
    chosen = spec.Spec(
        objectives=(program.objective,),
        architectures=(program.architecture,),
        sweep=(seeds,),
        sizes=program.sizes,
        **{name: getattr(program, name) for name in spec.PROGRAM_FIELDS},
    )
    data = shapes_only(program.image_shape)
    hypers = spec.expand(chosen, program.image_shape, len(data), program.label_sizes)[0].hypers
    mesh = lanes.make_mesh(1)
    state = jax.eval_shape(sweep.compiled_init(program, mesh), hypers)
    # Layers ask where they run and cut their work accordingly: tell them. What was traced for this machine is cached by
    # function, hence a new one.
    steps = inspect.unwrap(sweep.compiled_steps)(program, mesh, mode)
    backend = {"cuda": "gpu", "rocm": "gpu"}.get(platform, platform)
    with mock.patch.object(jax, "default_backend", lambda: backend):
        return steps.trace(data, hypers, state, jax.ShapeDtypeStruct((), np.int32))


def findings(text: str) -> dict[str, list[str]]:
    """Return what should not be there in StableHLO or in XLA's own text: kind -> what was found."""
    plain = text.replace("-", "_")
    groups = re.findall(r"((?:feature|batch)_group_count ?= ?\d+)", plain)
    found = {
        "grouped convolutions": {group for group in groups if not re.search(r"= ?1$", group)},
        "collectives": set(re.findall(COLLECTIVES, plain)),
        "host transfers": set(re.findall(TRANSFERS, plain)),
        "calls": {target or name for target, name in re.findall(CALLS, plain)} - MARKS,
    }
    return {kind: sorted(what) for kind, what in found.items() if what}


def every_program(
    image_shape: tuple[int, int, int], batch_size: int, dtype: str, architectures: Sequence[str] = ()
) -> Iterator[tuple[str, str, dict[str, Any], Program | InputError]]:
    """Yield objective, architecture, sizes and the program, or why it is refused, of all that there is.

    All presets and what is composed of other terms, with some architectures; () for all, conditional ones too.
    """
    every = (*models.ARCHITECTURES, *(f"cvae+{name}" for name in models.ARCHITECTURES))
    for architecture in architectures or every:
        for sizes in VARIANTS.get(architecture, ({},)):
            for objective in (*objectives.OBJECTIVES, *COMPOSED):
                asked = spec.Spec(
                    objectives=(objective,),
                    architectures=(architecture,),
                    batch_size=batch_size,
                    dtype=dtype,
                    sizes=sizes,
                )
                try:
                    found = spec.expand(asked, image_shape, 1024, LABELS)[0].program
                except InputError as error:
                    found = error
                yield objective, architecture, sizes, found


def glance(program: Program, num_lanes: int, mode: str, platform: str) -> dict[str, Any]:
    """Return what is in a program as JAX hands it over, which is quick: nothing is compiled."""
    lowered = trace(program, num_lanes, mode, platform).lower(lowering_platforms=(platform,))
    text = lowered.as_text()
    arguments = text[text.index("@main(") :].partition("{\n")[0]
    leaves = len(jax.tree.leaves(lowered.out_info[0]))
    given_away = len(re.findall(r"tf\.aliasing_output|jax\.buffer_donor", arguments))
    found = findings(text)
    return {
        "found": found,
        "state_leaves": leaves,
        "given_away": given_away,
        "clean": not found and given_away >= leaves,
    }


def examine_all(
    num_lanes: int, mode: str, platform: str, shape: tuple[int, int, int], batch_size: int, dtype: str
) -> bool:
    """Look into every program, print a JSON line for each and one for all; return whether all are clean."""
    clean, dirty, refused = 0, [], []
    for objective, architecture, sizes, program in every_program(shape, batch_size, dtype):
        about = {"objective": objective, "architecture": architecture} | ({"sizes": sizes} if sizes else {})
        if isinstance(program, InputError):
            refused.append(about)
            print(json.dumps(about | {"refused": str(program)}), flush=True)
            continue
        report = about | glance(program, num_lanes, mode, platform)
        clean += report["clean"]
        dirty += [] if report["clean"] else [report]
        print(json.dumps(report), flush=True)
    print(json.dumps({"platform": platform, "dtype": dtype, "clean": clean, "refused": len(refused), "dirty": dirty}))
    return not dirty


def examine(program: Program, num_lanes: int, mode: str, platform: str) -> dict:
    """Return what is in a program, for the platform and on this CPU, with counts beside the paper's."""
    traced = trace(program, num_lanes, mode, platform)
    lowered = traced.lower(lowering_platforms=(platform,))
    text = lowered.as_text()
    compiled = traced.lower(lowering_platforms=("cpu",)).compile()
    here = compiled.as_text()
    cost = compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    leaves = len(jax.tree.leaves(lowered.out_info[0]))  # of (state, sums of logs)
    counted = paper_count.count(program)
    at_once = num_lanes if mode == "vmap" else 1  # XLA counts a loop's body once, and `map` is a loop over lanes
    report = {
        "objective": program.objective,
        "architecture": program.architecture,
        "dtype": program.dtype,
        "lanes": num_lanes,
        "mode": mode,
        "platform": platform,
        "operations": dict(collections.Counter(re.findall(r"stablehlo\.(convolution|dot_general|sort|while)", text))),
        "found": findings(text) | {f"{kind} (CPU)": what for kind, what in findings(here).items()},
        "state_leaves": leaves,
        "given_away": here.partition("\n")[0].count("may-alias") + here.partition("\n")[0].count("must-alias"),
        "xla_gflop": cost["flops"] / 1e9,
        "xla_megabytes": cost["bytes accessed"] / 1e6,
    }
    if counted:
        report |= {
            "paper_gflop": at_once * counted.flops / 1e9,
            "paper_megabytes": at_once * counted.bytes / 1e6,
            "xla_over_paper_flops": round(cost["flops"] / (at_once * counted.flops), 3),
            "xla_over_paper_bytes": round(cost["bytes accessed"] / (at_once * counted.bytes), 3),
        }
    return report | {"clean": not report["found"] and report["given_away"] >= leaves}


def main(_) -> None:
    """Examine every program that the flags name; one JSON line each."""
    logging.set_verbosity(logging.ERROR)
    given, clean = flags.FLAGS, True
    if given.all:
        # Grouping and donation do not depend on how many lanes, pixels and images there are.
        shape, number = (min(given.size, 32), min(given.size, 32), given.channels), min(given.lanes, 4)
        clean = examine_all(number, given.mode, given.platform, shape, min(given.batch_size, 8), given.dtype)
        sys.exit(0 if clean else 1)
    for architecture in given.architectures:
        for objective in given.objectives:
            shape = (given.size, given.size, given.channels)
            program = Program(architecture, objective, shape, dtype=given.dtype, batch_size=given.batch_size)
            report = examine(program, given.lanes, given.mode, given.platform)
            print(json.dumps(report), flush=True)
            clean &= report["clean"]
    sys.exit(0 if clean else 1)


def define_flags() -> None:
    """Define this script's flags; not at import, so that it can be imported beside others."""
    flags.DEFINE_list("objectives", ["beta_vae", "factor_vae"], "Objectives, by the names run_sweep.py takes.")
    flags.DEFINE_list("architectures", ["conv"], "Architectures, likewise.")
    flags.DEFINE_bool("all", False, "Every objective with every architecture that takes it; small, nothing compiled.")
    flags.DEFINE_enum("platform", "cuda", ["cpu", "cuda", "rocm", "tpu"], "What to lower for.")
    flags.DEFINE_enum("mode", "vmap", ["vmap", "map"], "How lanes run.")
    flags.DEFINE_integer("lanes", 64, "Number of lanes.")
    flags.DEFINE_integer("size", 64, "Height and width of the images.")
    flags.DEFINE_integer("channels", 1, "Channels of the images.")
    flags.DEFINE_integer("batch_size", 64, "Images a lane sees in a step.")
    flags.DEFINE_string("dtype", "float32", "Arithmetic of the networks.")


if __name__ == "__main__":
    define_flags()
    app.run(main)
