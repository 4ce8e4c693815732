"""What was built, from what, and a server for it."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from tools.paths import BUILD, ROOT

HTML = BUILD / "html"
STALE = "run `make book` (or `python -m tools.check book`) before the tests of the built pages"


def config() -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def pages() -> list[str]:
    """Every page of the contents, in their order, as paths without suffix."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))

    def files(entry: dict) -> Iterator[str]:
        for key in ("root", "file"):
            if key in entry:
                yield entry[key]
        for key in ("parts", "chapters", "sections"):
            for below in entry.get(key, []):
                yield from files(below)

    return list(files(contents))


def source(page: str) -> Path:
    """The file that a page was written in."""
    for suffix in (".ipynb", ".md"):
        path = ROOT / (page + suffix)
        if path.is_file():
            return path
    raise FileNotFoundError(f"_toc.yml lists {page}, and there is no .ipynb or .md of that name")


def differences(html: Path = HTML) -> list[str]:
    """Where the built pages are not those of the sources beside them; empty when they are."""
    if not (html / "index.html").is_file():
        return [f"nothing is built in {html}"]
    found = []
    for page in pages():
        path = source(page)
        name = page + (".ipynb" if path.suffix == ".ipynb" else path.suffix)
        copy = html / "_sources" / name
        if not copy.is_file() or not (html / f"{page}.html").is_file():
            found.append(f"{page} is not built")
        elif copy.read_bytes() != path.read_bytes():
            found.append(f"{page} has changed since it was built")
    for path in sorted((ROOT / "book" / "_static").iterdir()):
        copy = html / "_static" / path.name
        if not copy.is_file() or copy.read_bytes() != path.read_bytes():
            found.append(f"{path.name} has changed since it was built")
    return found


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """A line a request would drown the test's own."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a local server for one folder."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
