"""The browser that reads the built pages: one that is installed already, nothing is downloaded."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge"]

# Where Windows and macOS keep them, off the PATH.
PLACES = [
    *(
        Path(os.environ[variable]) / rest
        for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
        if variable in os.environ
        for rest in ("Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe")
    ),
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    Path("/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge"),
]

# The browser talks to the local server and to nobody else, not even on its own account.
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-dev-shm-usage",
]


class NoBrowserError(RuntimeError):
    """There is no Chromium, Chrome or Edge on this machine."""


def find_browser() -> Path:
    """The browser named in BROWSER_PATH, else the first Chromium, Chrome or Edge that is installed."""
    named = os.environ.get("BROWSER_PATH")
    if named:
        if not Path(named).is_file():
            raise NoBrowserError(f"BROWSER_PATH is {named!r}, and there is no file of that name")
        return Path(named)
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    for place in PLACES:
        if place.is_file():
            return place
    raise NoBrowserError(
        "the tests of the built pages need Chromium, Chrome or Edge, and none was found. Install one "
        "(Debian and Ubuntu: apt-get install chromium), or name it in the environment variable BROWSER_PATH"
    )


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless browser, closed at the end."""
    path = find_browser()
    # Chromium's sandbox refuses to start for root, as in a container.
    as_root = sys.platform != "win32" and os.geteuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[*QUIET, *(["--no-sandbox"] if as_root else [])]
        )
        try:
            yield browser
        finally:
            browser.close()
