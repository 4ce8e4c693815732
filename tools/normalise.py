"""Normal form of a notebook: two runs of the same cells give the same bytes, on any machine, by any user.

What a run leaves behind (times, machine names, widget state, the writer of a PNG) is taken out. What cannot
be taken out without changing what the reader sees (an address in memory, a path, a warning) is listed by
`output_problems`.
"""

import base64
import hashlib
import os
import re
import struct
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# All that a cell or a notebook may say about itself; papermill, editors and Colab write the rest.
KEPT_CELL_METADATA = ("mystnb", "tags")
KEPT_NOTEBOOK_METADATA = ("mystnb",)
WIDGET = "application/vnd.jupyter.widget-view+json"
VALID_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def cell_id(*parts: object) -> str:
    """An id made from what it names, the same on every machine."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8")).hexdigest()[:8]


def read_notebook(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def dumps(notebook: NotebookNode) -> str:
    """The text of a notebook file: sorted keys, one space, a newline at the end."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write the normal form in one step: a reader of the file sees the old or the new one, never half."""
    text = dumps(normalise(notebook))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # mkstemp makes a private file; a notebook is as readable as the one it replaces.
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def normalise(notebook: NotebookNode) -> NotebookNode:
    """A copy in normal form. Execution counts stay: a notebook that was run out of order must show it."""
    notebook = nbformat.from_dict(notebook)
    kept = {key: notebook.metadata[key] for key in KEPT_NOTEBOOK_METADATA if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict(METADATA | kept)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: set[str] = set()
    notebook.cells = [_cell(cell, index, seen) for index, cell in enumerate(notebook.cells)]
    return notebook


def _cell(cell: NotebookNode, index: int, seen: set[str]) -> NotebookNode:
    source = cell.source.replace("\r\n", "\n").rstrip()
    identity = cell.get("id", "")
    while not VALID_ID.fullmatch(identity) or identity in seen:
        identity = cell_id(index, identity, source)
    seen.add(identity)
    metadata = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if cell.metadata.get(key)}
    if "tags" in metadata:
        metadata["tags"] = list(dict.fromkeys(metadata["tags"]))
    new = {"cell_type": cell.cell_type, "id": identity, "metadata": metadata, "source": source}
    if cell.cell_type == "code":
        new["execution_count"] = cell.execution_count
        new["outputs"] = _outputs(cell)
    elif cell.get("attachments"):
        new["attachments"] = cell.attachments
    return nbformat.from_dict(new)


def _outputs(cell: NotebookNode) -> list[dict]:
    outputs: list[dict] = []
    for output in cell.outputs:
        kind = output.output_type
        if kind == "stream":
            previous = outputs[-1] if outputs else {}
            if previous.get("output_type") == "stream" and previous["name"] == output.name:
                previous["text"] += output.text
            else:
                outputs.append({"output_type": kind, "name": output.name, "text": output.text})
        elif kind == "error":
            # The traceback holds the machine's paths and escape codes; its last line is what a reader needs.
            line = f"{output.ename}: {output.evalue}" if output.evalue else output.ename
            outputs.append({"output_type": kind, "ename": output.ename, "evalue": output.evalue, "traceback": [line]})
        elif WIDGET not in output.data:  # a widget is a picture of a session that has ended
            data = {mime: _data(mime, value) for mime, value in output.data.items()}
            new = {"output_type": kind, "data": data, "metadata": _image_sizes(output)}
            if kind == "execute_result":
                new["execution_count"] = cell.execution_count
            outputs.append(new)
    for output in outputs:
        if output["output_type"] == "stream":
            output["text"] = _as_shown(output["text"])
    return [output for output in outputs if output.get("text") != ""]


def _image_sizes(output: NotebookNode) -> dict:
    sizes = {}
    for mime, about in output.metadata.items():
        if mime.startswith("image/") and isinstance(about, dict):
            sizes[mime] = {key: about[key] for key in ("height", "width") if key in about}
    return {mime: size for mime, size in sizes.items() if size}


def _as_shown(text: str) -> str:
    """What a terminal shows in the end: a carriage return starts its line anew."""
    text = text.replace("\r\n", "\n")
    return re.sub(r"^.*\r(?=[^\n])", "", text, flags=re.MULTILINE)


def _data(mime: str, value: object) -> object:
    if mime == "image/png":
        return base64.b64encode(strip_png(base64.b64decode(value))).decode("ascii")
    return value


def strip_png(image: bytes) -> bytes:
    """A PNG without its remarks (the program that wrote it, the time): the pixels stay as they are."""
    if not image.startswith(PNG_SIGNATURE):
        raise ValueError("image/png output is not a PNG")
    kept, place = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while place < len(image):
        (length,) = struct.unpack(">I", image[place : place + 4])
        kind = image[place + 4 : place + 8]
        end = place + 12 + length
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"):
            kept.append(image[place:end])
        place = end
    return b"".join(kept)


# What no output may hold: it is different on the next machine, or it tells whose machine this was.
FORBIDDEN = {
    "an address in memory": re.compile(r"\b0x[0-9a-fA-F]{7,16}\b"),
    "a path of the machine it ran on": re.compile(
        r"/home/\w|/Users/\w|/root/|/tmp/\w|/var/folders/|\b[A-Z]:\\\w|site-packages|ipykernel_\d|\.venv\b"
    ),
}


def output_problems(notebook: NotebookNode) -> list[str]:
    """What must not be stored: errors no tag announces, anything on stderr, addresses, machine paths."""
    problems = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            where = f"cell {number}"
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                problems.append(f"{where}: stores an error ({output.ename}: {output.evalue})")
            if output.output_type == "stream" and output.name == "stderr":
                problems.append(f"{where}: wrote to stderr: {output.text.strip()[:300]}")
            for text in output_texts(output):
                problems += [
                    f"{where}: its output holds {what}: {found.group()}"
                    for what, pattern in FORBIDDEN.items()
                    if (found := pattern.search(text))
                ]
    return problems


def output_texts(output: NotebookNode) -> list[str]:
    """The texts of one output, of any kind; pictures left out."""
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return [*output.traceback]
    return [
        value
        for mime, value in output.data.items()
        if isinstance(value, str) and mime not in ("image/png", "image/jpeg")
    ]
