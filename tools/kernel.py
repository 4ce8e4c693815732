"""The surroundings of a kernel: the same for storing outputs, for nbval and for the variations.

A reader's own settings (start-up files, matplotlibrc, keras.json, a GPU) must not decide what a page shows.
"""

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def settings(folder: Path, workers: int = 1) -> dict[str, str]:
    """Environment variables for a kernel: `folder` is its own and empty, `workers` share the processors."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    variables = {
        # Jupyter: the kernel of this environment, whatever kernel the user has installed elsewhere.
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_PATH": "",
        "IPYTHONDIR": str(folder / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Libraries: their defaults, and no more threads than there are processors.
        "KERAS_HOME": str(folder / "keras"),
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
    }
    if matplotlib := importlib.util.find_spec("matplotlib"):
        variables["MATPLOTLIBRC"] = str(Path(matplotlib.origin).parent / "mpl-data" / "matplotlibrc")
    return variables


# What makes the libraries compute as on a processor without AVX-512: sums in another order, so other last digits.
# Training carries them forward; what a page shows must not depend on them.
OLDER_PROCESSOR = {
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}


@contextmanager
def surroundings(workers: int = 1) -> Iterator[None]:
    """Set them in this process, whose environment every kernel inherits, and take them back."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="kernel-", ignore_cleanup_errors=True) as folder:
        # What the set-up cell sets by default must come from the set-up cell.
        for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "MPLBACKEND", "PYTHONWARNINGS"):
            os.environ.pop(name, None)
        os.environ.update(settings(Path(folder), workers))
        profile = Path(folder) / "ipython" / "profile_default"
        profile.mkdir(parents=True)
        # A kernel otherwise warns, each time, that its sockets on localhost are not encrypted.
        (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 40\n", encoding="utf-8")
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
