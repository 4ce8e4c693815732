"""The most memory that a call holds beyond what the process held before: Linux alone lets a process ask for that.

The system keeps the highest amount of memory that a process ever held. `getrusage` elsewhere gives it too, but only
Linux can set it back to the present, and without that a call is hidden behind whatever came before it.
"""

import ctypes
import gc
import re
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def supported():
    return STATUS.exists() and RESET.exists()


class Peak:
    """`with Peak() as peak: …`, then `peak.mib`: MiB at the highest point beyond what was held before; None where the
    system cannot tell.
    """

    mib = None

    def __enter__(self):
        if supported():
            gc.collect()
            libc = ctypes.CDLL(None)
            if hasattr(libc, "malloc_trim"):
                libc.malloc_trim(0)  # what was freed goes back to the system, or this call would find it for nothing
            RESET.write_text("5", encoding="ascii")
            self.before = _kib("VmRSS")
        return self

    def __exit__(self, *_):
        if supported():
            self.mib = max(0, _kib("VmHWM") - self.before) / 1024


def _kib(name):
    return int(re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(encoding="ascii"), re.MULTILINE)[1])
