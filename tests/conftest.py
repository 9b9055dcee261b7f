"""Four fake CPU devices for every test, set before JAX starts; what is compiled, and how; where real data lies."""

import os
import pathlib
import shutil
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"

import jax
import pytest

from jaxvae.parallel import machine

pytest_plugins = ["tiny_sweep", "tiny_explored"]

COUNT = "--xla_force_host_platform_device_count"
ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def few_compiled_programs():
    """Forget what was compiled before these many tests in one process have compiled more than Linux lets it map."""
    yield
    machine.forget_compiled(0.25)


@pytest.fixture(autouse=True)
def figures_drawn_here(monkeypatch):
    """Draw the figures of tiny sweeps in this process: tests fill all cores as it is."""
    monkeypatch.setattr("jaxvae.report.drawing.WORTHWHILE", 10_000)


def pytest_configure(config):
    """Compile a program once for all processes of this run, and quickly: compiling is most of what they do."""
    if config.option.markexpr == "not slow" and "optimization_level" not in os.environ["XLA_FLAGS"]:
        os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=1"  # what trains in earnest needs it
    if not hasattr(config, "workerinput"):
        compiled = tempfile.mkdtemp(prefix="compiled_by_tests_")
        config.add_cleanup(lambda: shutil.rmtree(compiled, ignore_errors=True))
        os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def xla_flags(devices: int | None = None) -> str:
    """Return XLA's flags for a process that a test starts: as many CPU devices, or as many as it chooses itself."""
    kept = [flag for flag in os.environ["XLA_FLAGS"].split() if not flag.startswith(COUNT)]
    return " ".join(kept + ([f"{COUNT}={devices}"] if devices else []))


@pytest.fixture(scope="session")
def test_data():
    """Return a function that gives the path of a real test file, or skips the test saying what is missing."""
    root = pathlib.Path(os.environ.get("JAXVAE_TEST_DATA", ROOT.parent / "shared" / "data"))

    def path(relative: str) -> pathlib.Path:
        if not (root / relative).exists():
            pytest.skip(f"real data {relative!r} is not under {root} (set JAXVAE_TEST_DATA)")
        return root / relative

    return path
