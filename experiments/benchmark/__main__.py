"""How fast sweeps train, start, scale and are scored: against paper counts, the machine, PyTorch and scikit-learn.

python experiments/benchmark                                       train, on this machine
python experiments/benchmark --peer=torch --lanes=1,8              the same against PyTorch, in turn
python experiments/benchmark --suite=metrics                        metrics against NumPy and scikit-learn
python experiments/benchmark --suite=job                            the quickstart and a study, where their time goes
python experiments/benchmark --suite=race --peer=torch              a whole job end to end, ours and theirs
python experiments/benchmark --suite=train,start,scale,metrics     everything but the race
python experiments/benchmark --flagfile=experiments/benchmark/gpu.flags
python experiments/benchmark --quick                               does it run at all; the numbers mean nothing

Writes one JSON line per figure to OUT/results.jsonl (appended), and OUT/table.md and figures of all lines of the same
code, machine and settings. What is there already is not measured again: the same command goes on where it was cut off.

Contestants are timed in turn, A B C A B C …; rates are medians over the turns with the least and greatest, ratios are
taken within a round. Images and steps are summed over lanes. Models trained one after another cost what one costs, so
PyTorch trains one. Shares are paper counts (paper_count.py) over what this process measured just before: a product of
large matrices and an in-place add. Minutes for 300,000 steps are extrapolated from steps/s, and named so. On GPUs XLA
rounds float32 products to TF32 unless told otherwise, which PyTorch must be told to: it is timed both ways.
"""

import functools
import itertools
import json
import operator
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's start-up chatter is for XLA's developers
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.6")  # PyTorch needs some of the accelerator's memory too
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import jax
from absl import app, flags, logging

import growth
import jobs
import measuring
import paper_count
import race
import race_writing
import timed_metrics
import ways
import writing
from contestants import Lanes, chosen
from jaxvae import data
from jaxvae.asked import spec
from jaxvae.parallel.machine import num_cores, processor
from jaxvae.types import InputError, Program
from kept import Lines

SUITES = ("train", "ways", "anchors", "scale", "start", "metrics", "job", "race")
STUDY_STEPS = 300_000  # of a model of the 12,600-model study
START_REPEATS = 3

flags.DEFINE_list("suite", ["train"], f"Of {', '.join(SUITES)}.")
flags.DEFINE_list("objectives", ["beta_vae", "factor_vae"], "Objectives, by the names run_sweep.py takes.")
flags.DEFINE_list("architectures", ["conv"], "Architectures, likewise.")
flags.DEFINE_list("dtypes", ["float32"], "float32, bfloat16.")
flags.DEFINE_list("lanes", ["1", "8"], "Numbers of lanes.")
flags.DEFINE_list("scale_lanes", ["1", "2", "4", "8", "16"], "Numbers of lanes of the scale suite.")
flags.DEFINE_list("ways", list(ways.WAYS), f"Of {', '.join(ways.WAYS)}: ways to compute a sweep, for the ways suite.")
flags.DEFINE_list("ways_lanes", ["8", "1"], "Numbers of lanes of the ways suite, one after the other.")
flags.DEFINE_list("anchor_lanes", ["8"], "Numbers of lanes, and of PyTorch's models at once, of the anchors suite.")
flags.DEFINE_list("scale_devices", ["1", "2", "3", "4"], "Numbers of fake CPU devices of the scale suite.")
flags.DEFINE_list(
    "modes", ["auto"], "auto (the fastest, by a short measurement), vmap, map, split; several are compared."
)
flags.DEFINE_string("dataset", "sprites", "Data set, by the names run_sweep.py takes.")
flags.DEFINE_string("data_dir", None, "Where its files are, if it has any.")
flags.DEFINE_integer("batch_size", 64, "Images a lane sees in a step.")
flags.DEFINE_integer("latent_dim", 10, "Number of latents.")
flags.DEFINE_enum("peer", "none", ["none", "torch"], "Also time PyTorch, one model after another.")
flags.DEFINE_integer("repeats", 5, "Turns of each contestant.")
flags.DEFINE_float("seconds", 2.0, "Length of a turn.")
flags.DEFINE_list(
    "race",
    list(race.RUNS),
    f"Of {', '.join(race.RUNS)}: the runs of the race to make now; without a peer only {', '.join(race.OWN)}, ours. "
    "Of others the newest lines of OUT/results.jsonl are taken, of the same job, machine and versions.",
)
flags.DEFINE_float("minutes", None, "Begin nothing new after so many minutes.")
flags.DEFINE_integer("devices", None, "Fake devices on a CPU; by default one for each core, as run_sweep.py has it.")
flags.DEFINE_string("out", "runs/benchmark", "Folder for results.jsonl, table.md and the figures.")
flags.DEFINE_bool("quick", False, "A smoke run: small images, an mlp, short turns, where not given otherwise.")
FLAGS = flags.FLAGS

QUICK = {
    "dataset": "mini_sprites",
    "architectures": ["mlp"],
    "objectives": ["beta_vae"],
    "lanes": ["1", "2"],
    "scale_lanes": ["1", "2"],
    "ways_lanes": ["2"],
    "anchor_lanes": ["2"],
    "scale_devices": ["1", "2"],
    "repeats": 2,
    "seconds": 0.05,
}


def train_cell(
    lines: Lines, suite: str, program: Program, train: data.Dataset, numbers: list[int], modes: list[str], peers=None
) -> None:
    """Time one program with every number of lanes, and PyTorch, in turn; write a line for each.

    `peers` is as `torch_peers` is, None for no peer.
    """
    name = f"{suite}, {program.objective} {program.architecture} {program.dtype}, {_listed(numbers)} lanes"
    if not lines.begin(name, cell_of(suite, program, train) | {"lanes": numbers, "modes": modes, "peer": bool(peers)}):
        return
    about = {
        "suite": suite,
        "objective": program.objective,
        "architecture": program.architecture,
        "dtype": program.dtype,
        "image_shape": program.image_shape,
        "batch_size": program.batch_size,
        "dataset": train.name,
    }
    count = paper_count.count(program)
    # Parameters, gradients and moments of a lane, and what forward keeps for backward.
    lane_bytes = 4 * count.state_bytes // 3 + count.activation_bytes if count else 0
    contestants, shown, taken = {}, {}, 0
    for number, mode in itertools.product(numbers, modes):
        ours = {"implementation": "jaxvae", "lanes": number, "mode": mode}
        # All contestants live side by side; half of the memory is left for everything else.
        if taken + number * lane_bytes > measuring.memory() / 2:
            lines.add(about | ours | {"error": "left out, it would not fit in memory beside the others"})
            continue
        try:
            made = Lanes(program, train, number, mode, FLAGS.seconds)
            made.run(1)
        except jax.errors.JaxRuntimeError as error:
            lines.add(about | ours | {"error": str(error).splitlines()[0]})
            continue
        taken += number * lane_bytes
        contestants[f"jaxvae {number} {mode}"] = made.run
        shown[f"jaxvae {number} {mode}"] = ours | {"lanes": made.num_lanes, "mode": made.mode}
    if peers:
        for variant, run, facts in peers(lines, about, program, train):
            contestants[variant], shown[variant] = run, {"implementation": variant, "lanes": 1} | facts
    rates = measuring.in_turn(contestants, FLAGS.seconds, FLAGS.repeats)

    lane_steps = {name: [shown[name]["lanes"] * rate for rate in rates[name]] for name in rates}
    medians = {name: measuring.spread(rates)["median"] for name, rates in lane_steps.items()}
    best_peer = max((name for name in medians if not name.startswith("jaxvae")), key=medians.get, default=None)
    for name, found in lane_steps.items():
        line = about | shown[name] | measured(found, program, lines.common)
        if best_peer and name != best_peer:
            pairs = [ours / theirs for ours, theirs in zip(found, lane_steps[best_peer], strict=True)]
            line |= {"over": best_peer, "ratio": measuring.spread(pairs)}
        lines.add(line)
    lines.end()


def cell_of(suite: str, program: Program, train: data.Dataset) -> dict:
    """Return what tells the measurements of a program on a data set from others, JSON types."""
    return {"suite": suite, "program": program.to_json(), "dataset": train.name, "images": len(train)}


def _listed(found: list) -> str:
    return ", ".join(map(str, found))


def measured(lane_steps: list[float], program: Program, ceilings: dict) -> dict:
    """Return what a line says of the lane-steps per second of its turns: rates, cost, and shares of the ceilings."""
    count, batch_size, dtype = paper_count.count(program), program.batch_size, program.dtype
    rate = measuring.spread(lane_steps)
    line = {
        "images_per_s": measuring.spread([batch_size * r for r in lane_steps]),
        "lane_steps_per_s": rate,
        "ms_per_lane_step": measuring.spread([1e3 / r for r in lane_steps]),
        "repeats": len(lane_steps),
        "extrapolated_minutes_per_model": float(f"{STUDY_STEPS / rate['median'] / 60:.4g}"),  # to STUDY_STEPS
    }
    if count:
        line |= {
            "gflop_per_lane_step": count.flops / 1e9,
            "megabytes_per_lane_step": count.bytes / 1e6,
            "share_of_matmul": round(count.flops * rate["median"] / ceilings[f"matmul_{dtype}_flop_per_s"], 4),
            "share_of_bandwidth": round(count.bytes * rate["median"] / ceilings["bandwidth_bytes_per_s"], 4),
        }
    return line


def torch_peers(lines: Lines, about: dict, program: Program, train: data.Dataset):
    """Yield (name, run, facts) of PyTorch's variants of a program, each with the fastest of its settings.

    Eager on a CPU: one thread or one for each core; convolutions: either memory layout.
    """
    import peer_torch
    import torch_networks

    if program.objective not in peer_torch.OBJECTIVES or program.architecture not in torch_networks.ARCHITECTURES:
        print(f"no PyTorch peer of {program.objective} {program.architecture}", flush=True)
        return
    cuda = jax.default_backend() == "gpu"
    hypers = spec.expand(chosen(program), train.shape, len(train), train.factor_sizes)[0].rows()[0]
    pixels = peer_torch.torch.tensor(jax.device_get(train.pixels), device="cuda" if cuda else "cpu")
    layouts = (False, True) if program.architecture in torch_networks.CONVOLUTIONAL else (False,)
    cores = num_cores()
    peer_torch.forget()
    for compiled, tf32 in itertools.product((False, True), (False, True) if cuda else (False,)):
        variant = f"torch {'compile' if compiled else 'eager'}{' tf32' if tf32 else ''}"
        # Threads are compiled in, and compiling is slow.
        threads = (None,) if cuda else (cores,) if compiled or FLAGS.quick else {1, cores}
        found, failed = [], None
        for channels_last, number in itertools.product(layouts, threads):
            options = {"compiled": compiled, "tf32": tf32, "channels_last": channels_last, "threads": number}
            try:
                made = peer_torch.Peer(
                    program, pixels, train.binary, hypers, device="cuda" if cuda else "cpu", **options
                )
                steps = measuring.enough(made.run, FLAGS.seconds / 4)
                found.append((measuring.seconds_of(lambda m=made, n=steps: m.run(n), 3) / steps, made, options))
            except Exception as error:  # a compiler that is not there, an operation it lacks
                failed = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        if failed:
            lines.add(about | {"implementation": variant, "lanes": 1, "error": failed})
        if found:
            _, made, options = min(found, key=operator.itemgetter(0))
            yield variant, made.run, options


def train_suite(lines: Lines, train: data.Dataset) -> None:
    """Time every objective, architecture and dtype."""
    for program in programs(train):
        train_cell(lines, "train", program, train, [int(n) for n in FLAGS.lanes], FLAGS.modes, peers())


def peers():
    """Return what gives PyTorch's contestants, None where they are not asked for."""
    return torch_peers if FLAGS.peer == "torch" else None


def programs(train: data.Dataset) -> list[Program]:
    """Return every program that the flags name."""
    made = []
    for dtype in FLAGS.dtypes:
        what = spec.Spec(
            objectives=tuple(FLAGS.objectives),
            architectures=tuple(FLAGS.architectures),
            dtype=dtype,
            batch_size=FLAGS.batch_size,
            latent_dim=FLAGS.latent_dim,
        )
        made += [group.program for group in spec.expand(what, train.shape, len(train), train.factor_sizes)]
    return made


def ways_suite(lines: Lines, train: data.Dataset) -> None:
    """Time other ways to compute the same sweep beside today's, all of one number of lanes in turn."""
    for number, program in itertools.product((int(n) for n in FLAGS.ways_lanes), programs(train)):
        mode = growth.mode()
        cell = cell_of("ways", program, train) | {"lanes": number, "mode": mode, "ways": FLAGS.ways}
        if not lines.begin(f"ways of {program.objective} {program.architecture}, {number} lanes", cell):
            continue
        about = {"suite": "ways", "implementation": "jaxvae", "lanes": number, "mode": mode, "dataset": train.name}
        about |= {name: getattr(program, name) for name in ("objective", "architecture", "image_shape", "batch_size")}
        made: dict[str, Lanes] = {}
        for way in dict.fromkeys(["as_it_is", *FLAGS.ways]):
            try:
                made[way] = ways.build(way, program, train, number, mode, FLAGS.seconds)
                made[way].run(1)
            except jax.errors.JaxRuntimeError as error:
                made.pop(way, None)
                error = str(error).splitlines()[0]
                lines.add(about | {"way": way, "dtype": ways.WAYS[way].dtype or program.dtype, "error": error})
        rates = measuring.in_turn({way: one.run for way, one in made.items()}, FLAGS.seconds, FLAGS.repeats)
        for way, found in rates.items():
            line = about | {"way": way, "words": ways.WAYS[way].words, "dtype": made[way].program.dtype}
            line |= measured([made[way].num_lanes * rate for rate in found], made[way].program, lines.common)
            if way != "as_it_is" and "as_it_is" in rates:
                pairs = [other / ours for other, ours in zip(found, rates["as_it_is"], strict=True)]
                line |= {"over": "as_it_is", "ratio": measuring.spread(pairs)}
            lines.add(line)
        lines.end()


def anchor_suite(lines: Lines, train: data.Dataset) -> None:
    """Time PyTorch's own ways to train many small models beside ours: a step as a CUDA graph, models at once."""
    if FLAGS.peer != "torch":
        print("anchors are PyTorch's: add --peer=torch", flush=True)
        return
    for number, program in itertools.product((int(n) for n in FLAGS.anchor_lanes), programs(train)):
        anchors = functools.partial(torch_anchors, number)
        train_cell(lines, "anchors", program, train, [number], FLAGS.modes[:1], anchors)


def torch_anchors(number: int, lines: Lines, about: dict, program: Program, train: data.Dataset):
    """Yield (name, run, facts) of PyTorch's anchors of a program, with `number` models where they are at once."""
    import anchors_torch
    import peer_torch

    if program.objective not in peer_torch.OBJECTIVES or program.architecture not in peer_torch.ARCHITECTURES:
        print(f"no PyTorch peer of {program.objective} {program.architecture}", flush=True)
        return
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    hypers = spec.expand(chosen(program), train.shape, len(train), train.factor_sizes)[0].rows()[0]
    pixels = peer_torch.torch.tensor(jax.device_get(train.pixels), device=device)
    options = {"device": device, "tf32": device == "cuda", "threads": None if device == "cuda" else num_cores()}
    given = (program, pixels, train.binary, hypers)
    kinds = {
        "torch eager, loop": (peer_torch.Peer, {}, 1),
        "torch step as a CUDA graph": (anchors_torch.GraphPeer, {}, 1),
        "torch vmap": (anchors_torch.VmapPeer, {"models": number}, number),
        "torch vmap, compiled": (anchors_torch.VmapPeer, {"models": number, "compiled": True}, number),
    }
    peer_torch.forget()
    for name, (kind, own, lanes) in kinds.items():
        graph = kind is anchors_torch.GraphPeer
        reason = anchors_torch.why_not(program, graph=graph, cuda=device == "cuda") if "loop" not in name else ""
        if reason or (own.get("compiled") and FLAGS.quick):
            print(f"left out: {name} ({reason or 'compiling is slow'})", flush=True)
            continue
        try:
            made = kind(*given, **own, **options)
            made.run(2)
        except Exception as error:  # a compiler that is not there, an operation it lacks, memory
            text = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
            lines.add(about | {"implementation": name, "lanes": lanes, "error": text})
            continue
        yield name, made.run, options | own | {"lanes": lanes}


def start_suite(lines: Lines, train: data.Dataset) -> None:
    """Time the way to the first step in processes of their own: without kept programs, then with those just kept."""
    for program in programs(train):
        number = int(FLAGS.lanes[-1])
        about = {"suite": "start", "implementation": "jaxvae", "objective": program.objective, "lanes": number}
        about |= {"architecture": program.architecture, "dtype": program.dtype, "dataset": FLAGS.dataset}
        about["mode"] = "map" if jax.default_backend() == "cpu" else "vmap"
        asked = {name: about[name] for name in ("objective", "architecture", "dtype", "dataset", "lanes", "mode")}
        asked |= {"batch_size": FLAGS.batch_size, "devices": FLAGS.devices if jax.default_backend() == "cpu" else 0}
        stages: dict[str, list[dict]] = {"cold": [], "warm": []}
        name = f"start {program.objective} {program.architecture}"
        if not lines.begin(name, cell_of("start", program, train) | {"asked": asked}):
            continue
        for number_of_run in range(min(FLAGS.repeats, START_REPEATS)):
            if number_of_run and lines.late(name):
                break
            with tempfile.TemporaryDirectory() as kept:
                for cache in stages:
                    stages[cache].append(first_step(asked, kept))
        for cache, found in stages.items():
            if found:
                times = {stage: measuring.spread([run[stage] for run in found]) for stage in found[0]}
                lines.add(about | {"cache": cache, "repeats": len(found), "seconds": times})
        lines.end()


def first_step(asked: dict, kept: str) -> dict[str, float]:
    """Run first_step.py with a folder for compiled programs and return its seconds by stage."""
    # Every program is kept, however fast it compiles: otherwise a warm start depends on this machine's speed.
    keep = {"JAX_COMPILATION_CACHE_DIR": kept, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    # This process holds most of an accelerator's memory.
    keep |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    script = pathlib.Path(__file__).with_name("first_step.py")
    done = subprocess.run(
        [sys.executable, script, json.dumps(asked)], env=os.environ | keep, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"first_step.py: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def scale_suite(lines: Lines, train: data.Dataset) -> None:
    """Time one program with more and more of one thing: lanes, latents, pixels, images, steps, on a CPU devices."""
    program = programs(train)[0]
    numbers = [int(n) for n in FLAGS.scale_lanes]
    train_cell(lines, "scale", program, train, numbers, FLAGS.modes[:1])
    for scaled, cells in growth.variants(program, train, FLAGS.quick).items():
        grow_cells(lines, scaled, cells)
    grow_steps(lines, program, train)
    if jax.default_backend() != "cpu":
        return
    # Divisible by 1, 2, 3 and 4, so that no lane is trained for padding only.
    number = QUICK["scale_lanes"][-1] if FLAGS.quick else "12"
    for devices in FLAGS.scale_devices:
        cell = cell_of("scale", program, train) | {"devices": devices, "lanes": number}
        if not lines.begin(f"scale, {devices} devices", cell):
            continue
        with tempfile.TemporaryDirectory() as folder:
            own = {"suite": "train", "devices": devices, "lanes": number, "modes": "map", "out": folder}
            own |= {"objectives": program.objective, "architectures": program.architecture, "dtypes": program.dtype}
            own |= {n: FLAGS[n].value for n in ("dataset", "batch_size", "latent_dim", "repeats", "seconds")}
            own |= {"data_dir": FLAGS.data_dir} if FLAGS.data_dir else {}
            command = [sys.executable, __file__, *(f"--{n}={v}" for n, v in own.items()), *["--quick"] * FLAGS.quick]
            done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"with {devices} devices: {done.stderr.strip().splitlines()[-1]}")
            for text in (pathlib.Path(folder) / "results.jsonl").read_text(encoding="utf-8").splitlines():
                if json.loads(text)["suite"] == "train":
                    lines.add(json.loads(text) | {"suite": "scale", "scaled": "devices"}, whole=True)
        lines.end()


def grow_cells(lines: Lines, scaled: str, cells: list[growth.Cell]) -> None:
    """Time programs and data sets that differ in one thing, in turn; write a line for each."""
    number = int(FLAGS.lanes[-1])
    cell = {"suite": "scale", "scaled": scaled, "lanes": number, "mode": growth.mode()}
    cell["cells"] = [[one.value, one.program.to_json(), one.data.name, len(one.data)] for one in cells]
    if not lines.begin(f"scale, {scaled}", cell):
        return
    made = [Lanes(cell.program, cell.data, number, growth.mode(), FLAGS.seconds) for cell in cells]
    rates = measuring.in_turn(dict(enumerate(one.run for one in made)), FLAGS.seconds, FLAGS.repeats)
    for index, (cell, one) in enumerate(zip(cells, made, strict=True)):
        line = growth.about(cell.program, one) | {"scaled": scaled, "value": cell.value}
        line |= {"data_megabytes": round(cell.data.pixels.nbytes / 1e6, 1)}
        line |= {"megabytes_per_lane": round(one.lane_bytes() / 1e6, 1)}
        lines.add(line | measured([one.num_lanes * rate for rate in rates[index]], cell.program, lines.common))
    lines.end()


def grow_steps(lines: Lines, program: Program, train: data.Dataset) -> None:
    """Take more and more steps with the same lanes, as many a call as training does: their cost, the memory in use."""
    cell = cell_of("scale", program, train) | {"scaled": "steps", "lanes": int(FLAGS.lanes[-1]), "mode": growth.mode()}
    if not lines.begin("scale, steps", cell):
        return
    made, taken = Lanes(program, train, int(FLAGS.lanes[-1]), growth.mode(), FLAGS.seconds), 0
    made.run(growth.CALL)
    for total in growth.STEPS[: 2 if FLAGS.quick else None]:
        begin = time.perf_counter()
        for _ in range(taken, total, growth.CALL):
            made.run(growth.CALL)
        rate = made.num_lanes * (total - taken) / (time.perf_counter() - begin)
        taken = total
        line = growth.about(program, made) | {"scaled": "steps", "value": total}
        line |= {"megabytes_in_use": round(measuring.in_use() / 1e6, 1)}
        lines.add(line | measured([rate], program, lines.common))
    lines.end()


def metrics_suite(lines: Lines, _) -> None:
    """Time every metric with every number of lanes beside its restatement in NumPy and scikit-learn, where it has one.

    Compilation is the first call's excess over a later one.
    """
    numbers = [int(n) for n in FLAGS.lanes]

    def wanted(metric: str) -> bool:
        if lines.cell:
            lines.end()
        return lines.begin(f"metric {metric}", {"suite": "metrics", "metric": metric, "lanes": numbers})

    for line in timed_metrics.measure(numbers, FLAGS.repeats, FLAGS.seconds, FLAGS.quick, wanted):
        lines.add(line)
    if lines.cell:
        lines.end()


def job_suite(lines: Lines, _) -> None:
    """Time whole jobs from the command to the report, without kept programs and with them."""

    def wanted(job: str) -> bool:
        if lines.cell:
            lines.end()
        return lines.begin(job, {"suite": "job", "job": job})

    repeats = 1 if FLAGS.quick else min(FLAGS.repeats, START_REPEATS)
    for line in jobs.measure(repeats, FLAGS.quick, wanted):
        lines.add(line)
    if lines.cell:
        lines.end()


def race_suite(lines: Lines, _) -> None:
    """Run one job end to end, ours and theirs; what is not run now is reread."""
    job = race.QUICK if FLAGS.quick else race.Job()
    which = [name for name in FLAGS.race if name in race.OWN or FLAGS.peer == "torch"]
    before = race.kept_lines(lines.path, job, measuring.machine(), [name for name in race.RUNS if name not in which])
    # Those of the same code are there already, of every time that they were run.
    lines.all = [line for line in lines.all if line["suite"] != "race"]
    for line in before:
        lines.all.append(line | {"kept": True})
        print(race_writing.sentence(lines.all[-1]), flush=True)
    race.run(job, pathlib.Path(FLAGS.out), which, lines.add)


def main(_) -> None:
    """Measure the machine, then what the flags ask for."""
    logging.set_verbosity(logging.ERROR)
    if FLAGS.quick:
        for name, value in QUICK.items():
            if not FLAGS[name].present:
                setattr(FLAGS, name, value)
    FLAGS.devices = FLAGS.devices or num_cores()
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", FLAGS.devices)
    unknown = set(FLAGS.suite) - set(SUITES)
    if unknown:
        raise app.UsageError(f"--suite={','.join(unknown)}: known are {', '.join(SUITES)}")
    if set(FLAGS.race) - set(race.RUNS):
        raise app.UsageError(f"--race={','.join(FLAGS.race)}: known are {', '.join(race.RUNS)}")
    if FLAGS.peer == "torch":
        try:
            import torch  # noqa: F401
        except ImportError:
            raise app.UsageError("--peer=torch needs PyTorch, which is not installed") from None
    try:
        train = data.load(FLAGS.dataset, "train", FLAGS.data_dir)
        programs(train)
    except InputError as error:
        raise app.UsageError(str(error)) from None
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    ceilings = measuring.ceilings(FLAGS.quick, FLAGS.peer == "torch")
    settings = {name: FLAGS[name].value for name in ("repeats", "seconds", "quick", "devices")}
    lines = Lines(out / "results.jsonl", ceilings, settings, FLAGS.minutes, functools.partial(write_table, out))
    lines.add({"suite": "machine", "processor": processor(), "command": sys.argv})
    suites = {"train": train_suite, "ways": ways_suite, "anchors": anchor_suite, "scale": scale_suite}
    suites |= {"start": start_suite, "metrics": metrics_suite, "job": job_suite, "race": race_suite}
    # Asked to end, a run still writes down what it has measured; only figures are not drawn after every line.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        for name in FLAGS.suite:
            suites[name](lines, train)
    finally:
        write_table(out, lines.all)
        writing.save_figure(lines.all, out / "figure.png")
        writing.save_growth(lines.all, out / "growth.png")
        race_writing.save_figure([line for line in lines.all if line["suite"] == "race"], out / "race.png")
    print(f"\n{writing.table(lines.all)}\n{out}/results.jsonl, table.md, *.png")


def write_table(out: pathlib.Path, found: list[dict]) -> None:
    """Write table.md anew, whole."""
    (out / "table.md.new").write_text(writing.table(found), encoding="utf-8")
    (out / "table.md.new").replace(out / "table.md")


if __name__ == "__main__":
    app.run(main)
