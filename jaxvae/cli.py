"""Train, score and report a sweep from the command line. The only place that reads flags; no maths.

python run_sweep.py                                          the quickstart, on any CPU
python run_sweep.py --flagfile=experiments/NAME.flags        a study
"""

import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import shlex
import sys
import tempfile
import time
import zlib
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's start-up chatter is for XLA's developers

import jax
from absl import app, flags, logging

if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    # Lanes spread over CPU cores as over any devices; measured some 1.2 times faster than one device on all cores.
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))

import jaxvae
from jaxvae import data, evaluate, report
from jaxvae import saved as load
from jaxvae.parallel import hosts
from jaxvae.parallel.machine import cpu_facts, processor
from jaxvae.training import loop, spec, workdir
from jaxvae.types import InputError, Results

ROOT = pathlib.Path(__file__).resolve().parents[1]
DEFAULT = spec.Spec()
CHOOSING = ("flagfile", "dataset", "objective", "architecture", "sweep")
OF_SPEC = (  # flags that are fields of the spec as they are
    *("dataset", "data_dir", "likelihood", "latent_dim", "batch_size", "dtype"),
    *(
        "critic_width",
        "critic_depth",
        "num_clusters",
        "stem_width",
        "steps",
        "lr",
        "seed",
        "log_every",
        "eval_every",
        "lanes",
        "save_seconds",
    ),
)

flags.DEFINE_list("objective", list(DEFAULT.objectives), "Objectives, each a name or terms joined by '+'.")
flags.DEFINE_list("architecture", list(DEFAULT.architectures), "Architectures.")
flags.DEFINE_string("dataset", DEFAULT.dataset, f"Data set: {', '.join(data.DATASETS)}.")
flags.DEFINE_string("data_dir", None, "Folder of the data set's official files, or of TFDS; the .npz itself for npz.")
flags.DEFINE_multi_string(
    "sweep",
    [],
    "NAME=VALUES, repeatable; the grid is the product. Values: 1,2,4 or 0:5. OBJECTIVE:NAME=… for one only.",
)
flags.DEFINE_integer("steps", DEFAULT.steps, "Updates of every lane.")
flags.DEFINE_integer("batch_size", DEFAULT.batch_size, "Images a lane sees in a step.")
flags.DEFINE_integer("latent_dim", DEFAULT.latent_dim, "Number of latents; of nvae, at each place of each group.")
flags.DEFINE_float("lr", DEFAULT.lr, "Learning rate of lanes that do not sweep it.")
flags.DEFINE_integer("seed", DEFAULT.seed, "Seed of lanes that do not sweep it.")
flags.DEFINE_string("likelihood", DEFAULT.likelihood, "bernoulli or gaussian.")
flags.DEFINE_string("dtype", DEFAULT.dtype, "Arithmetic of the networks: float32 or bfloat16.")
flags.DEFINE_integer("critic_width", DEFAULT.critic_width, "Units a layer of FactorVAE's discriminator.")
flags.DEFINE_integer("critic_depth", DEFAULT.critic_depth, "Hidden layers of FactorVAE's discriminator.")
flags.DEFINE_integer("num_clusters", DEFAULT.num_clusters, "Clusters of VaDE's mixture.")
flags.DEFINE_list(
    "groups_per_scale",
    [str(number) for number in DEFAULT.groups_per_scale],
    "Groups of latents of nvae on each grid, the coarsest first, each half as fine as the next.",
)
flags.DEFINE_integer("stem_width", DEFAULT.stem_width, "Channels of nvae's first features, doubled at each halving.")
flags.DEFINE_list(
    "metrics", None, "Scores to compute; by default all that the data allows. On a finished sweep: to compute anew."
)
flags.DEFINE_integer("eval_every", DEFAULT.eval_every, "Steps between scores while training; 0: only at the end.")
flags.DEFINE_integer("log_every", DEFAULT.log_every, "Steps between rows of history.csv.")
flags.DEFINE_string("workdir", None, "Where everything is kept. Default: runs/OBJECTIVE_DATASET.")
flags.DEFINE_bool("resume", None, "Go on from what the workdir holds. Default: if it holds this very sweep.")
flags.DEFINE_bool("overwrite", False, "Delete the sweep that the workdir holds, and start anew.")
flags.DEFINE_string(
    "lanes", DEFAULT.lanes, "vmap, map, split, or auto: the one that a short measurement finds fastest."
)
flags.DEFINE_string(
    "max_lanes", DEFAULT.max_lanes, "Most lanes trained at the same time, or auto: as memory allows; more go in waves."
)
flags.DEFINE_float("save_seconds", DEFAULT.save_seconds, "Least seconds between two checkpoints.")
flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder where compiled programs are kept for the next run, or none. Default: $JAX_COMPILATION_CACHE_DIR, else "
    "jaxvae/xla in the user's cache folder.",
)
flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, when several processes train one sweep; goes with --num_processes and --process_id. "
    "Without the three, SLURM, Open MPI, a TPU pod or a Kubernetes job that has started several says so itself.",
)
flags.DEFINE_integer("num_processes", None, "How many processes; 1: this one alone, whatever the environment says.")
flags.DEFINE_integer("process_id", None, "Which process this is, from 0; process 0 prints and writes the results.")
FLAGS = flags.FLAGS


def parse(argv: list[str]) -> list[str]:
    """Parse flags; without any that chooses a study it is the workdir's own, and where there is none the quickstart."""
    given = {arg.lstrip("-").partition("=")[0] for arg in argv[1:] if arg.startswith("-")}
    chosen = bool(given & {*CHOOSING, "help", "helpfull", "helpshort"})
    try:
        left = FLAGS(argv)
        if not chosen and not holds_the_study():
            FLAGS.unparse_flags()
            left = FLAGS([argv[0], f"--flagfile={ROOT / 'experiments' / 'quickstart.flags'}", *argv[1:]])
    except flags.Error as error:
        refuse(error)
    if left[1:]:
        refuse(f"{left[1]!r} is not a flag; flags begin with --")
    return left


def holds_the_study() -> bool:
    """Return whether no flag chooses a study and the workdir has one."""
    chosen = any(FLAGS[name].present for name in CHOOSING if name != "flagfile")
    here = FLAGS.workdir is not None and (pathlib.Path(FLAGS.workdir) / "spec.json").exists()
    return here and not chosen and not FLAGS.overwrite


def refuse(error: Exception | str) -> None:
    """Print one line and exit with code 2."""
    print(f"run_sweep.py: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)


def spec_from_flags() -> spec.Spec:
    """Return the sweep that the flags ask for, or the workdir's own; raises InputError for what cannot be read."""
    if holds_the_study():
        return spec_from_workdir()
    return spec.Spec(
        objectives=tuple(FLAGS.objective),
        architectures=tuple(FLAGS.architecture),
        sweep=tuple(spec.parse_axis(text) for text in FLAGS.sweep),
        metrics=None if FLAGS.metrics is None else tuple(FLAGS.metrics),
        max_lanes=max_lanes(),
        groups_per_scale=groups_per_scale(),
        **{name: getattr(FLAGS, name) for name in OF_SPEC},
    )


def spec_from_workdir() -> spec.Spec:
    """Return the sweep in the workdir, with what flags say of how to run and score it."""
    saved = spec.from_json(workdir.read_json(pathlib.Path(FLAGS.workdir) / "spec.json"))
    given = {name: getattr(FLAGS, name) for name in OF_SPEC if FLAGS[name].present}
    if FLAGS["max_lanes"].present:
        given["max_lanes"] = max_lanes()
    if FLAGS["metrics"].present:
        given["metrics"] = tuple(FLAGS.metrics)
    return dataclasses.replace(saved, **given)


def groups_per_scale() -> tuple[int, ...]:
    """Return the flag as numbers; raises InputError for what is none."""
    if not all(number.strip().isdecimal() for number in FLAGS.groups_per_scale):
        raise InputError(f"--groups_per_scale={','.join(FLAGS.groups_per_scale)}: expected whole numbers, such as 2,2")
    return tuple(int(number) for number in FLAGS.groups_per_scale)


def max_lanes() -> int | str:
    """Return the flag as a number where it is one."""
    return int(FLAGS.max_lanes) if FLAGS.max_lanes.lstrip("-").isdecimal() else FLAGS.max_lanes


def keep_compiled(folder: str | None) -> None:
    """Keep compiled programs on disk, so that a run that needs them again starts at once.

    JAX tells programs, versions and accelerators apart, but not every CPU from the next: code made for one can crash on
    another that sees the same home. So the folder carries the CPU's abilities in its name.

    Args:
        folder: where; "none" for nowhere; by default where JAX has been told to, else the user's cache folder.
    """
    if folder == "none":
        jax.config.update("jax_enable_compilation_cache", False)
    if not jax.config.jax_enable_compilation_cache or (folder is None and jax.config.jax_compilation_cache_dir):
        return
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    abilities = " ".join([platform.machine(), *(cpu_facts("flags") or cpu_facts("Features"))[:1]])
    versions = "_".join(importlib.metadata.version(name) for name in ("jax", "jaxlib"))
    path = pathlib.Path(folder) if folder else home / "jaxvae" / "xla"
    path = path / f"{versions}_{zlib.crc32(abilities.encode()):08x}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)  # what lies in it is run as code
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        print(f"compiled programs are not kept: {path} cannot be written to ({error.strerror})")
        return
    jax.config.update("jax_compilation_cache_dir", str(path))
    # What compiles in less is read no faster than it is compiled.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def environment(
    path: pathlib.Path, num_lanes: int, batch_size: int, steps: int, started: str, trained: bool
) -> dict[str, Any]:
    """Return what the report says of machine, versions and cost; training time is summed over resumed runs.

    A sweep that was only scored now keeps what was said of its training.
    """
    run = workdir.read_json(path / "run.json")
    command = shlex.join(["python", *sys.argv])
    if not trained and "environment" in run:
        return run["environment"] | {"scored_again": started, "scored_again_on": device_name(), "scored_by": command}
    seconds = sum(run["seconds"].values())
    facts = {
        "device": device_name(),
        "device_count": jax.device_count(),
        **({"processes": hosts.count()} if hosts.count() > 1 else {}),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "orbax-checkpoint")},
        "jaxvae": jaxvae.__version__,
        "started": started,
        "wall_seconds": round(seconds, 1),
        "images_per_second": round(num_lanes * batch_size * steps / seconds) if seconds else None,
        "seconds_per_lane": round(seconds / num_lanes, 2),
        "lanes_mode": run["modes"],
        "command": command,
    }
    workdir.write_json(path / "run.json", run | {"environment": facts})
    return facts


def device_name() -> str:
    """Return what the first device is called."""
    device = jax.devices()[0]
    return processor() if device.platform == "cpu" else device.device_kind


def main(_) -> None:
    """Check, train, score, report."""
    logging.set_verbosity(logging.ERROR)
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        hosts.initialise(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
        with contextlib.ExitStack() as stack:
            if not hosts.is_first():
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            stack.enter_context(hosts.as_one())
            sweep = spec_from_flags()
            train = data.load(sweep.dataset, "train", sweep.data_dir)
            groups = spec.expand(sweep, train.shape, len(train), train.factor_sizes)
            evaluate.choose_metrics(sweep.metrics, train)
            keep_compiled(FLAGS.compilation_cache)
            path = pathlib.Path(FLAGS.workdir or f"runs/{'_'.join(sweep.objectives)}_{sweep.dataset}")
            if hosts.is_first():
                stack.enter_context(workdir.claim(path, sweep, resume=FLAGS.resume, overwrite=FLAGS.overwrite))
            run(sweep, groups, train, path, started)
    except hosts.Left as left:
        if str(left):
            print(f"run_sweep.py: {left}", file=sys.stderr)
        sys.exit(left.code)
    except (InputError, OSError) as error:  # a full disk is an OSError
        refuse(error)
    except loop.Interrupted as stop:
        if hosts.is_first():
            print(f"saved in {path}; the same command goes on from there")
        sys.exit(128 + stop.args[0])
    except KeyboardInterrupt:
        if hosts.is_first():
            print("stopped; what was trained is saved, the same command goes on from there", file=sys.stderr)
        sys.exit(130)


def run(sweep: spec.Spec, groups: list[spec.Group], train: data.Dataset, path: pathlib.Path, started: str) -> None:
    """Train, score and report a checked sweep in its own folder."""
    num_lanes = sum(group.num_lanes for group in groups)
    programs = f" of {len(groups)} programs" if len(groups) > 1 else ""
    print(f"{train}\n{num_lanes} lane{'s' * (num_lanes > 1)}{programs}, {sweep.steps:,} steps each -> {path}")
    split = data.DATASETS[sweep.dataset].evaluation_split
    scored_on = train if split == "train" else data.load(sweep.dataset, split, sweep.data_dir)
    watch = evaluate.watch(sweep.metrics, scored_on, is_training_set=scored_on is train)
    trained = loop.fit(sweep, groups, train, path, watch=watch)

    facts = environment(path, num_lanes, sweep.batch_size, sweep.steps, started, trained)
    results = evaluate.evaluate(load.load_sweep(path), scored_on, facts | {"evaluated_on": f"{split} split"})
    hosts.by_first(publish, results, path)


def publish(results: Results, path: pathlib.Path) -> None:
    """Write a scored sweep's table, figures and report into its folder, and print the table."""
    workdir.Table(path / "results.csv", results.columns).rewrite(results.lanes)
    figures = report.save_figures(results, path / "figures")
    report.write_report(results, path / "report.html", figures)
    print(report.terminal_table(results))
    for metric, reason in results.omitted.items():
        print(f"left out: {metric} ({reason})")
    print(f"report: {path / 'report.html'}")


def run_command() -> None:
    """Be the command `jaxvae`."""
    app.run(main, flags_parser=parse)
