"""Files of results: whoever is interrupted leaves the old file as it was."""

import json
import os
from pathlib import Path


def write_bytes(file: Path, content: bytes) -> None:
    """All of it or nothing."""
    fresh = file.with_name(file.name + ".new")
    fresh.write_bytes(content)
    os.replace(fresh, file)


def write_json(file: Path, content: object) -> None:
    write_bytes(file, (json.dumps(content, indent=1) + "\n").encode())


def read(file: Path) -> list[dict]:
    """The results in a file; none if there is no such file yet."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def record(result: dict, file: Path) -> None:
    """Add a result to those of the file."""
    write_json(file, [*read(file), result])
