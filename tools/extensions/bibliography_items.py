"""A Sphinx extension that makes the entries of a bibliography items of the list they stand in.

docutils writes `<div role="list">` around entries of the role doc-biblioentry, which is deprecated and not an item of a
list to a screen reader: axe calls it critical. The role to use instead is listitem (Digital Publishing WAI-ARIA 1.1).
"""

from sphinx.application import Sphinx


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    if 'class="citation-list"' in context.get("body", ""):
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
