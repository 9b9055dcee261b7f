"""Four fake CPU devices for every test, set before JAX starts; what is compiled, and how; where real data lies."""

import gc
import os
import pathlib
import shutil
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"

import jax
import pytest

pytest_plugins = ["tiny_sweep"]

COUNT = "--xla_force_host_platform_device_count"
ROOT = pathlib.Path(__file__).resolve().parent.parent

# Each compiled program maps some memory, and Linux kills a process that asks for more than 65,530 maps.
MAPS = pathlib.Path("/proc/self/maps")
MANY_MAPS = 15_000


@pytest.fixture(scope="module", autouse=True)
def few_compiled_programs():
    """Forget at the end of a file what was compiled, where the process holds a good part of the maps it may have."""
    yield
    if MAPS.exists() and len(MAPS.read_bytes().splitlines()) > MANY_MAPS:
        jax.clear_caches()
        gc.collect()


def pytest_configure(config):
    """Compile a program once for all processes of this run, and quickly: compiling is most of what they do."""
    if config.option.markexpr == "not slow" and "optimization_level" not in os.environ["XLA_FLAGS"]:
        os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"  # what trains in earnest needs it
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
