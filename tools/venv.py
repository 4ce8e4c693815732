"""Make .venv and install what is pinned into it; nothing to do if that was done already.

    python -m tools.venv

Runs with any Python from 3.11 on, before anything is installed: standard library only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv"
PYTHON = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = HOME / "installed-from"
OLDEST = HOME / "oldest"
SOURCES = ("requirements.txt", "requirements-oldest.txt", "constraints.txt", "pyproject.toml")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def fingerprint() -> str:
    """Of what is to be installed."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def install() -> None:
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    pins = ["-r", str(ROOT / "requirements.txt"), "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *pins], check=True)
    # Its build tools are among what has just been installed: nothing is fetched for it.
    subprocess.run([*pip, "--no-build-isolation", "--no-deps", "-e", str(ROOT)], check=True)
    oldest = ["--target", str(OLDEST), "--upgrade", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, *oldest, "-r", str(ROOT / "requirements-oldest.txt")], check=True)


def install_browser() -> None:
    """The tests of the built pages need Chromium or Chrome. Where we may, we install it; elsewhere it is said how."""
    if sys.platform != "linux" or any(map(shutil.which, BROWSERS)):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"check": True, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        # Without a font a page has no widths to check; Chromium only recommends one.
        packages = ["chromium", "fonts-liberation"]
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], **quiet)
    else:
        print("note: no Chromium or Chrome found; `make test` needs one for the tests of the built pages")


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - older ones get here too, and must be told
        print(f"error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    install_browser()
    wanted = fingerprint()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return 0
    if not PYTHON.exists():
        print("making .venv")
        venv.create(HOME, with_pip=True, symlinks=os.name != "nt")
    print("installing what requirements.txt pins (some minutes, once)", flush=True)
    try:
        install()
    except subprocess.CalledProcessError as error:
        print(f"error: installation failed: {error}", file=sys.stderr)
        return 1
    STAMP.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
