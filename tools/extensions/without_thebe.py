"""A Sphinx extension that takes sphinx-thebe's scripts off the pages.

jupyter-book always loads sphinx-thebe. The book does not use it (its notebooks run in Colab, on Binder or at home),
and its script is written twice into each page, where the second copy fails: THEBE_JS_URL is declared already.
"""

from sphinx.application import Sphinx

MARKS = ("THEBE_JS_URL", "sphinx-thebe")


def _is_thebe(file: object) -> bool:
    told = f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', {}).get('body', '')}"
    return any(mark in told for mark in MARKS)


def remove(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    for files in ("script_files", "css_files"):
        context[files] = [file for file in context.get(files, []) if not _is_thebe(file)]


def setup(app: Sphinx) -> dict[str, bool]:
    # Late, when every extension has added what it wants on the page.
    app.connect("html-page-context", remove, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
