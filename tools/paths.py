"""Where things are, and which notebooks the book has."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
BUILD = ROOT / "_build"
VARIATIONS = ROOT / "tests" / "notebooks" / "variations"


def notebooks() -> list[Path]:
    """Every notebook of the book, in a fixed order, without editors' checkpoints."""
    found = (path for path in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    return sorted(found)


def name_of(notebook: Path) -> str:
    """How messages name a notebook: its path from the repository's root, with forward slashes."""
    path = Path(notebook).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()
