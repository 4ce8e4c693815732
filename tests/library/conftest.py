"""One table of tests for three frameworks: `pytest tests/library --framework numpy|torch|tensorflow`.

PyTorch and TensorFlow can crash each other in one process, so each run tests one of them, always against the NumPy
specification. A test module says where it belongs in a line `FRAMEWORK = "…"`: "torch", "tensorflow", or "each";
without one it runs with NumPy alone.
"""

import os
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import coverage
import frameworks
import hypothesis
import numpy as np
import pytest

# Examples are drawn the same way in every run: a red test is red for everybody.
hypothesis.settings.register_profile("book", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("book")

COMPILED = re.compile(r"compil|graph|test_fit")
# Coverage is of the tests and their workers, not of what these start in turn, such as PyTorch's compilers.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


def pytest_addoption(parser):
    parser.addoption("--framework", choices=list(frameworks.ALL), default="numpy")
    parser.addoption("--numpy", metavar="VERSION", help="stop unless this version of NumPy is what is tested")


def pytest_configure(config):
    wanted = config.getoption("--numpy")
    if wanted and not f"{np.__version__}.".startswith(f"{wanted}."):
        raise pytest.UsageError(f"NumPy {wanted} was asked for, this is {np.__version__} in {np.__file__}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Tests of compiled code are not measured: compilers are slow when traced, and other tests run the same lines."""
    measured = coverage.Coverage.current() if COMPILED.search(item.name) else None
    if measured:
        measured.stop()
    try:
        return (yield)
    finally:
        if measured:
            measured.start()


def pytest_ignore_collect(collection_path, config):
    if collection_path.suffix == ".py" and collection_path.name.startswith("test_"):
        found = re.search(r'^FRAMEWORK = "(\w+)"', collection_path.read_text(encoding="utf-8"), re.MULTILINE)
        home = found[1] if found else "numpy"
        if home not in ("each", config.getoption("--framework")):
            return True
    return None


@pytest.fixture(scope="session")
def fw(request):
    """The framework under test; see `frameworks.py`."""
    return frameworks.ALL[request.config.getoption("--framework")]()


@pytest.fixture
def tiled_calls(fw, monkeypatch):
    """A list that grows with each call of tiled attention: what comes out does not tell it from the explicit form."""
    calls, original = [], fw.attn.tiled_attention

    def counted(*arrays, **options):
        calls.append(options)
        return original(*arrays, **options)

    for module in ("dense", "multihead"):
        monkeypatch.setattr(f"attnlib.{fw.name}.{module}.tiled_attention", counted, raising=False)
    return calls
