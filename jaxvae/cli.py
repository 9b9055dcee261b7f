"""Train, score and report a sweep from the command line. The only place that reads flags; no maths.

jaxvae                                          the quickstart, on any CPU
jaxvae --flagfile=experiments/NAME.flags        a study
jaxvae explore WORKDIR                          turn the latents of what was trained, in the browser
jaxvae --list                                   all there is to choose from, with its numbers and their ranges
jaxvae compare runs/a runs/b --out=runs/both    several finished sweeps in one report; see jaxvae compare --help
"""

import contextlib
import dataclasses
import importlib
import itertools
import os
import pathlib
import re
import shlex
import stat
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's start-up chatter is for XLA's developers

from absl import app, flags, logging

from jaxvae import catalogue, commands, data, ledger, plugins, study
from jaxvae.arguments import as_path
from jaxvae.asked import axes, extending, spec
from jaxvae.asked.declared import Declared, every_size
from jaxvae.data import telling
from jaxvae.parallel import hosts, live, terminal
from jaxvae.parallel.machine import device_name, keep_compiled, process_age, use_every_core
from jaxvae.training import loop
from jaxvae.types import InputError
from jaxvae.version import __version__
from jaxvae.workdir.records import read_spec

QUICKSTART = pathlib.Path(__file__).with_name("quickstart.flags")
DEFAULT = spec.Spec()
CHOOSING = ("flagfile", "dataset", "objective", "architecture", "sweep")
OF_A_FINISHED_SWEEP = ("metrics", "resume", "extend", "data_dir")  # beside a workdir alone: of what lies there
OF_SPEC = (  # flags that are fields of the spec as they are
    *("dataset", "data_dir", "likelihood", "latent_dim", "batch_size", "dtype", "steps", "lr", "seed"),
    *("validation", "log_every", "eval_every", "lanes", "save_seconds", "figure_format"),
)

flags.DEFINE_list("objective", list(DEFAULT.objectives), "Objectives, each a name or terms joined by '+'; see --list.")
flags.DEFINE_list("architecture", list(DEFAULT.architectures), "Architectures; see --list.")
flags.DEFINE_string("dataset", DEFAULT.dataset, f"Data set: {', '.join(data.DATASETS)}.")
flags.DEFINE_string("data_dir", None, "Folder of the data set's official files, or of TFDS; the .npz itself for npz.")
flags.DEFINE_multi_string(
    "sweep",
    [],
    "NAME=VALUES, repeatable; the grid is the product. Values: 1,2,4 or 0:5. OBJECTIVE:NAME=… for one only.",
)
flags.DEFINE_multi_string(
    "hold_out",
    [],
    "Images that no lane is trained on: 'shape=heart,x_position>15', those that all of it is true of; = != < <= > >=, "
    "repeatable. They stay in the set that lanes are scored on, and are scored apart too.",
)
flags.DEFINE_integer("steps", DEFAULT.steps, "Updates of every lane.")
flags.DEFINE_integer("batch_size", DEFAULT.batch_size, "Images a lane sees in a step.")
flags.DEFINE_integer("latent_dim", DEFAULT.latent_dim, "Number of latents; of nvae, at each place of each group.")
flags.DEFINE_float("lr", DEFAULT.lr, "Learning rate of lanes that do not sweep it.")
flags.DEFINE_integer("seed", DEFAULT.seed, "Seed of lanes that do not sweep it.")
flags.DEFINE_string("likelihood", DEFAULT.likelihood, "bernoulli or gaussian.")
flags.DEFINE_string("dtype", DEFAULT.dtype, "Arithmetic of the networks: float32 or bfloat16.")
flags.DEFINE_list(
    "metrics", None, "Scores to compute; by default all that the data allows. On a finished sweep: to compute anew."
)
flags.DEFINE_integer("eval_every", DEFAULT.eval_every, "Steps between scores while training; 0: only at the end.")
flags.DEFINE_float(
    "validation", DEFAULT.validation, "Share of the training images to hold out, chosen by --seed, and to score on."
)
flags.DEFINE_integer("log_every", DEFAULT.log_every, "Steps between rows of history.csv.")
flags.DEFINE_string("workdir", None, "Where everything is kept. Default: runs/OBJECTIVE_DATASET.")
flags.DEFINE_bool("resume", None, "Go on from what the workdir holds. Default: if it holds this very sweep.")
flags.DEFINE_enum(
    "resume_from",
    "latest",
    ["latest", "last_good"],
    "The checkpoint to go on from. last_good: where the latest is damaged, the one before it; what that costs is said.",
)
flags.DEFINE_bool(
    "extend",
    False,
    "Train what the sweep in the workdir lacks: more --steps, values of a --sweep, objectives or architectures. What "
    "no flag says stays as it is there; no lane that is there may change or go.",
)
flags.DEFINE_bool("overwrite", False, "Delete the sweep that the workdir holds, and start anew.")
flags.DEFINE_string(
    "lanes", DEFAULT.lanes, "vmap, map, split, or auto: the one that a short measurement finds fastest."
)
flags.DEFINE_string(
    "max_lanes", DEFAULT.max_lanes, "Most lanes trained at the same time, or auto: as memory allows; more go in waves."
)
flags.DEFINE_float("save_seconds", DEFAULT.save_seconds, "Least seconds between two checkpoints.")
flags.DEFINE_list(
    "log_to",
    list(DEFAULT.log_to),
    "Where else history, scores and pictures of the lanes go, a run for each: tensorboard, wandb, jsonl; see --list.",
)
flags.DEFINE_list(
    "figure_format",
    list(DEFAULT.figure_format),
    "Files of figures/: png, pdf and svg, several separated by commas; PNG, which the report shows, is always there.",
)
flags.DEFINE_list("plugins", [], "Files (my_terms.py) and modules (my_package.terms) to run first; they add to tables.")
flags.DEFINE_bool(
    "quick",
    False,
    "A few steps of a few lanes, in a workdir whose name ends in _quick: whether a study runs, not what it finds.",
)
flags.DEFINE_bool("quiet", False, "Print nothing but errors, and the path of the report when it is written.")
flags.DEFINE_bool("list", False, "Print every objective, term, architecture, data set, metric and plot, and stop.")
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


def define_sizes() -> None:
    """Make a flag of every size that is declared and has none yet.

    Raises:
        InputError: a plug-in declares a size by the name of another flag.
    """
    for name, declared in every_size().items():
        if name in FLAGS:
            if FLAGS[name].help != _help(declared):
                raise InputError(f"a plug-in declares the size {name!r}, and --{name} is something else already")
        elif isinstance(declared.size.default, tuple):
            flags.DEFINE_list(name, None, _help(declared))
        else:
            flags.DEFINE_integer(name, None, _help(declared))


def _help(declared: Declared) -> str:
    size = declared.size
    default = ",".join(map(str, size.default)) if isinstance(size.default, tuple) else size.default
    return f"{size.meaning[:1].upper()}{size.meaning[1:]}: {size.range.words}. Default: {default}."


define_sizes()


def parse(argv: list[str]) -> list[str]:
    """Parse flags; without any that chooses a study it is the workdir's own, and where there is none the quickstart."""
    try:
        _check_flag_files(argv[1:])
        given = FLAGS.read_flags_from_files(list(argv[1:]), force_gnu=False)
        load_plugins(given)  # what they add has flags too
        if _names(given) & {"help", "helpshort"}:
            print(f"{__doc__}\n{FLAGS.module_help(define_sizes.__module__)}\n--helpfull lists flags of libraries too.")
            sys.exit(0)
        chosen = any(name in _names(argv[1:]) for name in (*CHOOSING, "helpfull", "list"))
        _check_digits(given)
        left = FLAGS([argv[0], *given])  # not argv: of a flag file that is a pipe there is nothing left
        if FLAGS.workdir == "":
            raise InputError("--workdir= names no folder; leave it out for runs/OBJECTIVE_DATASET")
        if not chosen and not holds_the_study():
            if FLAGS.workdir is not None and any(FLAGS[name].present for name in OF_A_FINISHED_SWEEP):
                raise InputError(
                    f"--workdir={FLAGS.workdir} holds no sweep, and no flag says what to train there: name the folder "
                    f"of a sweep, or choose one ({', '.join(f'--{name}' for name in CHOOSING)})"
                )
            FLAGS.unparse_flags()
            left = FLAGS([argv[0], f"--flagfile={QUICKSTART}", *given])
    except UnicodeDecodeError as error:  # what absl reads are flag files
        refuse(f"a --flagfile is not text in UTF-8 ({error})")
    except (flags.Error, InputError, OSError) as error:
        refuse(error)
    if left[1:]:
        refuse(f"{left[1]!r} is not a flag; flags begin with --")
    return left


def _names(arguments: list[str]) -> set[str]:
    return {argument.lstrip("-").partition("=")[0] for argument in arguments if argument.startswith("-")}


def _values(arguments: list[str]) -> list[tuple[str, str]]:
    """Return (name, value) of every argument of the form --name=value or --name value."""
    found = []
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-"):
            found.append((name, value if equals else following))
    return found


def _check_flag_files(arguments: list[str]) -> None:
    """Refuse a flag file without a name, which absl passes over, and a device, which never ends.

    A pipe is taken: shells make one of <(command).
    """
    for name, value in _values(arguments):
        if name != "flagfile":
            continue
        if not value.strip():
            raise InputError("--flagfile= names no file; leave it out for the quickstart")
        path = os.path.expanduser(value.strip())
        if path == os.devnull:
            continue
        if os.path.exists(path) and (stat.S_ISCHR(os.stat(path).st_mode) or stat.S_ISBLK(os.stat(path).st_mode)):
            raise InputError(f"--flagfile={value} is a device, and no file of flags")


def _check_digits(arguments: list[str]) -> None:
    """Refuse numbers in digits other than 0-9, some of which Python would read and others not."""
    for name, value in _values(arguments):
        parser = FLAGS[name].parser if name in FLAGS else None
        if isinstance(parser, (flags.IntegerParser, flags.FloatParser)) and not value.isascii():
            raise InputError(f"--{name}={value}: expected a number, in the digits 0 to 9")


def load_plugins(arguments: list[str]) -> None:
    """Run the plug-ins that --plugins names, and give their sizes flags.

    Raises:
        InputError: one is not there or fails.
    """
    for name, value in _values(arguments):
        if name == "plugins":
            plugins.load(value.split(","))
    define_sizes()


def holds_the_study() -> bool:
    """Return whether no flag chooses a study, or flags only add to one, and the workdir has one."""
    chosen = any(FLAGS[name].present for name in CHOOSING if name != "flagfile")
    here = FLAGS.workdir is not None and (as_path("--workdir", FLAGS.workdir) / "spec.json").exists()
    return here and (not chosen or FLAGS.extend) and not FLAGS.overwrite and not FLAGS.quick


def refuse(error: Exception | str) -> None:
    """Print one line and exit with code 2."""
    sys.exit(commands.refuse(command_name(), error))


def command_name() -> str:
    """Return what this command was called as."""
    name = pathlib.Path(sys.argv[0]).name
    return name if name == "run_sweep.py" else "jaxvae"


def spec_from_flags() -> spec.Spec:
    """Return the sweep that the flags ask for, or the workdir's own; raises InputError for what cannot be read."""
    if holds_the_study():
        return spec_from_workdir()
    sweep = tuple(spec.parse_axis(text) for text in FLAGS.sweep)
    axes.check_meant(sweep, FLAGS.objective)
    chosen = spec.Spec(
        objectives=tuple(FLAGS.objective),
        architectures=tuple(FLAGS.architecture),
        sweep=sweep,
        hold_out=tuple(FLAGS.hold_out),
        metrics=metrics(),
        max_lanes=max_lanes(),
        sizes=sizes(),
        log_to=log_to(),
        plugins=plugins.load(FLAGS.plugins),
        **{name: getattr(FLAGS, name) for name in OF_SPEC},
    )
    chosen = dataclasses.replace(chosen, plugins=plugins.used(chosen))
    return spec.quick(chosen) if FLAGS.quick else chosen


def folder(chosen: spec.Spec) -> pathlib.Path:
    """Return where everything of this sweep is kept."""
    path = FLAGS.workdir or f"runs/{'_'.join(chosen.objectives)}_{chosen.dataset}"
    return as_path("--workdir", path + "_quick" * FLAGS.quick)


def spec_from_workdir() -> spec.Spec:
    """Return the sweep in the workdir, with what flags say of how to run and score it."""
    saved = spec.from_json(read_spec(as_path("--workdir", FLAGS.workdir)))
    given: dict[str, Any] = {name: getattr(FLAGS, name) for name in OF_SPEC if FLAGS[name].present}
    if FLAGS["max_lanes"].present:
        given["max_lanes"] = max_lanes()
    if FLAGS["metrics"].present:
        given["metrics"] = metrics()
    if FLAGS["log_to"].present:
        given["log_to"] = log_to()
    if FLAGS["hold_out"].present:
        given["hold_out"] = tuple(FLAGS.hold_out)
    if FLAGS["plugins"].present:
        given["plugins"] = tuple(dict.fromkeys([*saved.plugins, *plugins.load(FLAGS.plugins)]))
    if not FLAGS.extend:
        return dataclasses.replace(saved, sizes={**saved.sizes, **sizes()}, **given)
    given["sizes"] = sizes()
    given |= {f"{name}s": tuple(FLAGS[name].value) for name in ("objective", "architecture") if FLAGS[name].present}
    chosen = extending.more(saved, given | {"sweep": tuple(spec.parse_axis(text) for text in FLAGS.sweep)})
    return dataclasses.replace(chosen, plugins=plugins.used(chosen))


def sizes() -> dict[str, int | tuple[int, ...]]:
    """Return the sizes that flags give; raises InputError for what is no whole number."""
    given = {}
    for name, declared in every_size().items():
        value = getattr(FLAGS, name)
        if isinstance(value, list):
            if not all(re.fullmatch("[0-9]+", number.strip()) for number in value):
                example = ",".join(map(str, declared.size.default))
                raise InputError(f"--{name}={','.join(value)}: expected whole numbers, such as {example}")
            value = tuple(int(number) for number in value)
        if value is not None:
            given[name] = value
    return given


def max_lanes() -> int | str:
    """Return the flag as a number where it is one."""
    return int(FLAGS.max_lanes) if re.fullmatch("-?[0-9]{1,18}", FLAGS.max_lanes) else FLAGS.max_lanes


def log_to() -> tuple[str, ...]:
    """Return the loggers that the flag names, each once."""
    return tuple(dict.fromkeys(name.strip() for name in FLAGS.log_to if name.strip()))


def metrics() -> tuple[str, ...] | None:
    """Return the metrics that the flag names, None for all; raises InputError where it is given and names none."""
    if FLAGS.metrics is None:
        return None
    if not all(name.strip() for name in FLAGS.metrics) or not FLAGS.metrics:
        raise InputError(f"--metrics={','.join(FLAGS.metrics)} names a metric that has no name; leave it out for all")
    return tuple(dict.fromkeys(FLAGS.metrics))


def main(_) -> None:
    """Check, train, score, report."""
    logging.set_verbosity(logging.ERROR)
    if FLAGS.list:
        print(catalogue.catalogue())
        return
    use_every_core()
    with ledger.opened({"start": process_age()}):
        _run()


def _run() -> None:
    """Do what the flags say."""
    path, say = None, _nothing if FLAGS.quiet else terminal.line
    try:
        hosts.initialise(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id, say)
        with contextlib.ExitStack() as stack:
            if not hosts.is_first():
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(hosts.as_one())
            chosen = spec_from_flags()
            path = folder(chosen)
            say(f"jaxvae {__version__} on {device_name()}")
            if not FLAGS.quiet:
                telling.show(say)
            stack.enter_context(live.heard_by(say))
            keep_compiled(FLAGS.compilation_cache, say)
            job = study.check_named(chosen, shlex.join(["python", *sys.argv]))
            go_back = FLAGS.resume_from == "last_good"
            how = {"resume": FLAGS.resume, "overwrite": FLAGS.overwrite, "extend": FLAGS.extend}
            study.run(job, path, **how, go_back=go_back, say=say)
            if FLAGS.quiet:
                terminal.line(path / "report.html")
    except hosts.Left as left:
        if str(left):
            print(f"{command_name()}: {left}", file=sys.stderr)
        sys.exit(left.code)
    except InputError as error:
        refuse(error)
    except OSError as error:  # a full disk, say; what failed to write has forgotten where
        refuse(error if error.filename or not error.strerror else f"{error.strerror}, in {path}")
    except loop.Interrupted as stop:
        if hosts.is_first():
            terminal.line(f"saved in {path}; the same command goes on from there")
        sys.exit(128 + stop.args[0])
    except KeyboardInterrupt:
        if hosts.is_first():
            print("stopped; what was trained is saved, the same command goes on from there", file=sys.stderr)
        sys.exit(130)


def _nothing(_: str) -> None:
    """Say nothing."""


COMMANDS: dict[str, tuple[str, str]] = {
    "compare": ("jaxvae.study.compare_command", "several finished sweeps in one report"),
    "explore": ("jaxvae.explore.__main__", "turn a model's latents in the browser"),
}
"""What `jaxvae NAME …` does besides training: NAME -> (module with main(arguments) -> exit code, in a few words)."""


def run_command() -> None:
    """Be the command `jaxvae`."""
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        sys.exit(importlib.import_module(COMMANDS[sys.argv[1]][0]).main(sys.argv[2:]))
    with terminal.steadied():
        app.run(main, flags_parser=parse)
