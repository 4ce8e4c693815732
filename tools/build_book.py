"""Build the book into _build/html, warnings being errors, and say where to open it.

python -m tools.build_book
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tools.paths import BUILD, ROOT

HTML = BUILD / "html"


def main() -> int:
    # From nothing: a page that is gone from the book, or a warning of last time, must not survive in a cache.
    for stale in (HTML, BUILD / ".doctrees"):
        shutil.rmtree(stale, ignore_errors=True)
    flags = ["--warningiserror", "--nitpick", "--keep-going", "--all", "--quiet"]
    # The program of this environment, whether or not it has been activated.
    program = shutil.which("jupyter-book", path=str(Path(sys.executable).parent))
    done = subprocess.run([program, "build", *flags, str(ROOT)], cwd=ROOT)
    if done.returncode or not (HTML / "index.html").exists():
        print("error: the book was not built; the warnings above say why", file=sys.stderr)
        return 1
    print(f"The book is at {(HTML / 'index.html').as_uri()}")
    print("To read it as a site: make serve")
    return 0


if __name__ == "__main__":
    sys.exit(main())
