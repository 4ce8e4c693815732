"""The normal form holds nothing of the machine, and normalising it again changes nothing."""

import base64
import io

import nbformat
import pytest
from PIL import Image, PngImagePlugin

from tools.normalise import PNG_SIGNATURE, normalise, output_problems, strip_png


def notebook(*outputs, **metadata):
    cell = nbformat.v4.new_code_cell("x", outputs=list(outputs), execution_count=3, metadata=metadata)
    return nbformat.v4.new_notebook(cells=[cell])


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def png() -> bytes:
    remarks = PngImagePlugin.PngInfo()
    remarks.add_text("Software", "Matplotlib version 3, made by someone")
    file = io.BytesIO()
    Image.new("RGB", (5, 3), "teal").save(file, "png", pnginfo=remarks)
    return file.getvalue()


def messy():
    picture = {"image/png": base64.encodebytes(png()).decode("ascii"), "text/plain": "<Figure>"}
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "bar"}
    nb = notebook(
        stream("a\r\n"),
        stream("10%\r100%\n"),
        nbformat.v4.new_output("display_data", data=picture, metadata={"needs_background": "light"}),
        nbformat.v4.new_output("display_data", data=widget),
        nbformat.v4.new_output("execute_result", data={"text/plain": "3"}, execution_count=7),
        papermill={"duration": 1},
        collapsed=True,
    )
    nb.cells[0].metadata["tags"] = ["hide-cell", "hide-cell"]
    nb.metadata["widgets"] = {"state": {}}
    nb.metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    nb.cells.append(nbformat.v4.new_markdown_cell("text\r\n\n"))
    nb.cells[1]["id"] = nb.cells[0]["id"]
    return nb


def test_what_a_run_leaves_is_taken_out():
    cell, text = normalise(messy()).cells
    assert [output.output_type for output in cell.outputs] == ["stream", "display_data", "execute_result"]
    assert cell.outputs[0].text == "a\n100%\n"
    assert cell.outputs[1].metadata == {}
    assert cell.outputs[2].execution_count == cell.execution_count == 3
    assert cell.metadata == {"tags": ["hide-cell"]}
    assert text.source == "text"
    assert text.id != cell.id
    assert normalise(messy()).metadata == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def test_it_is_idempotent():
    once = normalise(messy())
    assert normalise(once) == once
    assert once != messy()


def test_new_ids_are_the_same_every_time():
    nb = messy()
    assert normalise(nb) == normalise(nb)


def test_a_png_keeps_its_pixels_and_loses_its_remarks():
    stripped = strip_png(png())
    assert b"Matplotlib" in png()
    assert b"Matplotlib" not in stripped
    assert Image.open(io.BytesIO(stripped)).tobytes() == Image.open(io.BytesIO(png())).tobytes()
    assert stripped.startswith(PNG_SIGNATURE)


@pytest.mark.parametrize(
    "text",
    ["<A at 0x7f60cc97c150>", "/home/me/x", "/Users/me/x", r"C:\Users\me", "/tmp/abc", "lib/site-packages/numpy"],
)
def test_what_tells_of_the_machine_is_a_problem(text):
    assert output_problems(normalise(notebook(stream(text))))


@pytest.mark.parametrize("text", ["0x1F is 31", "a/b/c", "either / or", "10:30", "∂L/∂q", "x: [0, 1]"])
def test_innocent_text_is_not(text):
    assert output_problems(normalise(notebook(stream(text)))) == []
