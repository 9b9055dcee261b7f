"""What the source must not say: what holds on one machine and not on the next, and what runs what it reads."""

import ast

import pytest

from conftest import ROOT

FILES = sorted([*(ROOT / "jaxvae").rglob("*.py"), *(ROOT / "experiments").rglob("*.py"), ROOT / "run_sweep.py"])

RUN_WHAT_THEY_READ = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

EXEMPT = {
    "jaxvae/saved/pretrained.py": "an Unpickler that knows a few names and calls nothing, which its tests attack",
    "jaxvae/report/drawing.py": "to and from a process that it has started itself",
    "experiments/benchmark/race_torch.py": "arrays of its own, to processes that it starts itself",
}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
            yield node, owner, function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def given(call) -> dict[str, str]:
    return {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_runs_nothing_that_it_reads_and_holds_anywhere(path):
    name, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    assert "allow_pickle=True" not in text
    for node in ast.walk(ast.parse(text)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert name in EXEMPT or not {module.split(".")[0] for module in modules} & RUN_WHAT_THEY_READ
    for call, owner, function in calls(path):
        where, options = f"{name}:{call.lineno}", given(call)
        assert (owner, function) != ("torch", "load"), f"{where}: it unpickles"
        if function == "load" and owner in ("np", "numpy"):
            assert options.get("allow_pickle") == "False", f"{where}: say that nothing is unpickled"
        if function in ("read_text", "write_text") and owner not in ("", "workdir"):
            assert "encoding" in options, f"{where}: files are UTF-8, whatever the locale is"
        if (function, owner) == ("open", ""):
            mode = ast.unparse(call.args[1]) if len(call.args) > 1 else options.get("mode", "'r'")
            assert "b" in mode or "encoding" in options, f"{where}: files are UTF-8, whatever the locale is"
        assert (owner, function) not in {
            ("time", "time"),
            ("time", "time_ns"),
        } or name == "jaxvae/workdir/mended.py", f"{where}: the system's clock jumps; perf_counter and monotonic do not"
        assert function != "sched_getaffinity" or name == "jaxvae/parallel/machine.py", f"{where}: not on every system"
        assert (function != "expanduser" or owner == "os.path") or name == "jaxvae/arguments.py", (
            f"{where}: pathlib's fails where there is no home, and arguments.as_path says so"
        )


def test_what_is_exempt_is_there():
    assert all((ROOT / name).exists() for name in EXEMPT)
