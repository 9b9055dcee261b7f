"""Code of others that adds to the tables of terms, architectures, metrics, data sets and plots. Runs it when asked to.

A plug-in is a file or a module that puts entries into TERMS, OBJECTIVES, ARCHITECTURES, METRICS, DATASETS, PLOTS or
LOGGERS. The folder of a sweep says which ones it was trained with; it is never reason enough to run one.
"""

import contextlib
import importlib
import importlib.util
import pathlib
import sys
import zlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from jaxvae import data, metrics, models, objectives
from jaxvae.arguments import as_path
from jaxvae.asked.spec import Spec, ask_for_plugins
from jaxvae.loggers import LOGGERS
from jaxvae.report.plots import PLOTS
from jaxvae.types import InputError, Table

TABLES: tuple[Table, ...] = (
    *(objectives.TERMS, objectives.OBJECTIVES, models.ARCHITECTURES),
    *(metrics.METRICS, data.DATASETS, PLOTS, LOGGERS),
)

_loaded: dict[str, ModuleType] = {}  # what it is recorded as -> module


def load(names: Iterable[str]) -> tuple[str, ...]:
    """Run plug-ins, each once in a process, and return what to record them as: absolute paths, names of modules.

    Args:
        names: files ("my_terms.py") and modules ("my_package.terms"); a module may lie in the current folder.

    Raises:
        InputError: one is not there or fails; what it had added by then is taken out again.
    """
    return tuple(_load(name.strip()) for name in names if name.strip())


def _load(name: str) -> str:
    is_file = name.endswith(".py") or "/" in name
    path = as_path("--plugins", name).resolve()
    recorded = str(path) if is_file else name
    if recorded in _loaded:
        return recorded
    if is_file and not path.is_file():
        raise InputError(f"--plugins={name}: there is no file {path}")
    before = [dict(table.data) for table in TABLES]
    try:
        _loaded[recorded] = _run_file(path) if is_file else _import(name)
    except Exception as error:
        for table, entries in zip(TABLES, before, strict=True):
            table.data = entries
        reason = " ".join(str(error).split())[:300] or "no reason given"
        where = f" in line {line}" if is_file and (line := _line(error, path)) else ""
        raise InputError(f"--plugins={name} fails{where}: {type(error).__name__}: {reason}") from error
    return recorded


def _run_file(path: pathlib.Path) -> ModuleType:
    name = f"jaxvae_plugin_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    given = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(given)
    try:
        given.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import(name: str) -> ModuleType:
    with contextlib.ExitStack() as stack:
        if "" not in sys.path and str(pathlib.Path.cwd()) not in sys.path:
            # An installed command looks for modules beside itself, not in the current folder.
            sys.path.insert(0, str(pathlib.Path.cwd()))
            stack.callback(sys.path.remove, str(pathlib.Path.cwd()))
        return importlib.import_module(name)


def _line(error: Exception, path: pathlib.Path) -> int | None:
    """Return the line of a file that was running when an error was raised."""
    if isinstance(error, SyntaxError):
        return error.lineno
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def missing(spec: Spec) -> str:
    """Return what to say where something that a sweep uses is unknown; "" where all plug-ins it names have been run."""
    return ask_for_plugins([name for name in spec.plugins if name not in _loaded and name not in sys.modules])


def used(spec: Spec) -> tuple[str, ...]:
    """Return the plug-ins to record for a sweep: those it names, and where else an entry that it uses comes from."""
    names = {*(spec.metrics or ()), *spec.log_to, spec.dataset}
    for name in (*spec.objectives, *spec.architectures):
        names |= {name, *name.split("+")}
    files = {module.__name__: recorded for recorded, module in _loaded.items()}
    added = [entry for table in TABLES for name, entry in table.added.items() if name in names]
    modules = [module for entry in added for module in _modules(entry)]
    return tuple(dict.fromkeys([*spec.plugins, *(files.get(module, module) for module in modules)]))


def _modules(entry: Any) -> list[str]:
    """Return the modules that define what an entry is made of, jaxvae's own left out."""
    if isinstance(entry, objectives.Objective):
        return [module for term in entry.terms for module in _modules(term)]
    function = next((getattr(entry, n) for n in ("penalty", "build", "function", "load") if hasattr(entry, n)), entry)
    module = getattr(function, "__module__", None) or ""
    return [] if module.split(".")[0] == "jaxvae" or not module else [module]
