"""What `import attnlib.numpy` costs beyond NumPy's own import, each in a fresh process, in turn."""

import statistics
import subprocess
import sys

TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def milliseconds(module):
    command = [sys.executable, "-c", TIMED.format(module)]
    return 1000 * float(subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout)


def values(quick):
    milliseconds("attnlib.numpy")  # the first one also writes the byte code
    rounds = [[milliseconds(m) for m in ("numpy", "attnlib.numpy")] for _ in range(1 if quick else 15)]
    return {
        "import numpy: milliseconds": statistics.median(numpy for numpy, _ in rounds),
        "import attnlib.numpy: milliseconds beyond NumPy's": statistics.median(ours - numpy for numpy, ours in rounds),
    }
