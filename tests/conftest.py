"""Four fake CPU devices for every test, set before JAX starts; where real data for tests lies."""

import os
import pathlib

os.environ["JAX_PLATFORMS"] = "cpu"
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"

# What one run compiled must not decide what another tests; subprocesses that test the cache turn it on.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import pytest

pytest_plugins = ["tiny_sweep"]

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def test_data():
    """Return a function that gives the path of a real test file, or skips the test saying what is missing."""
    root = pathlib.Path(os.environ.get("JAXVAE_TEST_DATA", ROOT.parent / "shared" / "data"))

    def path(relative: str) -> pathlib.Path:
        if not (root / relative).exists():
            pytest.skip(f"real data {relative!r} is not under {root} (set JAXVAE_TEST_DATA)")
        return root / relative

    return path
