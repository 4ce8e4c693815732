"""Do the links within the built book lead somewhere? Read from the files, without a browser."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")
            elif name in ("href", "src") and value:
                self.links.append(value)


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def broken_links(folder: Path) -> list[str]:
    """Every link to a file that is not there, or to an anchor that its page does not have."""
    pages = {path: _read(path) for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts}
    problems = []
    for path, reader in pages.items():
        for link in dict.fromkeys(reader.links):
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            address, anchor = urldefrag(link)
            target = (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
            name = f"{path.relative_to(folder).as_posix()} links to {link}"
            if target.is_dir():
                target = target / "index.html"
            if not target.is_file():
                problems.append(f"{name}: there is no such file")
            elif anchor and target in pages and unquote(anchor) not in pages[target].anchors:
                problems.append(f"{name}: there is no such anchor")
    return problems
