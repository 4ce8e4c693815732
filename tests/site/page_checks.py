"""What must hold for a page in the browser. Each check returns what is wrong with it: nothing, when all is well."""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

PHONE = 360
# Without transitions: what is measured is where things come to rest.
READER = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", "reduced_motion": "reduce"}


class Listener:
    """Hears everything a page complains about or asks for, from before it is opened."""

    def __init__(self, page: Page, home: str) -> None:
        self.problems: list[str] = []
        self.home = home
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"script failed: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", lambda request: self.problems.append(f"request failed: {request.url}"))
        page.on("response", self._response)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def _request(self, request) -> None:
        if not request.url.startswith((self.home, "data:", "blob:")):
            self.problems.append(f"request to another host: {request.url}")

    def _response(self, response) -> None:
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url}")


def settle(page: Page) -> None:
    """Wait until scripts have run, formulas are set and fonts are there."""
    page.wait_for_load_state("load")
    page.evaluate(
        """async () => {
            await window.MathJax?.startup?.promise;
            await document.fonts.ready;
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        }"""
    )


_MATH = """() => {
    const problems = [];
    const article = document.querySelector('.bd-article');
    for (const box of article.querySelectorAll('.math')) {
        if (!box.querySelector('mjx-container mjx-math')) problems.push('not typeset: ' + box.textContent.trim());
    }
    for (const error of article.querySelectorAll('mjx-merror, [data-mjx-error]')) {
        problems.push('formula with an error: ' + (error.dataset.mjxError || error.textContent));
    }
    const walk = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode;
        if (node.parentElement.closest('pre, code, script, style, mjx-container')) continue;
        const text = node.textContent.trim();
        if (/\\$[^$]+\\$|\\\\\\(|\\\\\\[/.test(text)) problems.push('raw formula: ' + text);
    }
    return problems;
}"""


def math(page: Page, expected: bool = False) -> list[str]:
    """Every formula is typeset, none has an error, none is left as it was written."""
    problems = page.evaluate(_MATH)
    if expected and page.locator(".bd-article mjx-container").count() == 0:
        problems.append("the source has formulas, the page has none")
    return problems


_WIDTH = """(width) => {
    const problems = [];
    if (document.documentElement.scrollWidth > width) {
        problems.push(`the page is ${document.documentElement.scrollWidth} pixels wide`);
    }
    const inScrollBox = (element) => {
        for (let box = element.parentElement; box && box !== document.body; box = box.parentElement) {
            const flow = getComputedStyle(box).overflowX;
            if ((flow === 'auto' || flow === 'scroll') && box.getBoundingClientRect().right <= width + 1) return true;
        }
        return false;
    };
    for (const element of document.querySelectorAll('.bd-main *')) {
        const box = element.getBoundingClientRect();
        if (box.width === 0 || box.height <= 1 || box.right <= width + 1) continue;
        if (getComputedStyle(element).visibility === 'hidden' || inScrollBox(element)) continue;
        const name = element.tagName.toLowerCase() + (element.className ? '.' + element.className : '');
        problems.push(`${name} reaches to ${Math.round(box.right)} pixels: ${element.textContent.trim().slice(0, 60)}`);
    }
    return problems;
}"""


def width(page: Page) -> list[str]:
    """On a phone nothing is wider than the screen, but in a box that scrolls."""
    size = page.viewport_size
    page.set_viewport_size({"width": PHONE, "height": 740})
    settle(page)
    problems = page.evaluate(_WIDTH, PHONE)
    page.set_viewport_size(size)
    return problems


def alternative_texts(page: Page) -> list[str]:
    """Every image of the text says in words what it shows."""
    images = page.eval_on_selector_all(".bd-article img", "all => all.map(i => [i.getAttribute('src'), i.alt.trim()])")
    return [
        f"image without alternative text: {address}"
        for address, text in images
        # Sphinx fills a missing one with the file's own name.
        if len(text) < 10 or re.search(r"\.(png|svg|jpe?g)$|^_images|[0-9a-f]{20}", text)
    ]


# Code is thousands of little spans in a dozen colours: each pair of colours once, instead of each span.
_CODE_COLOURS = """() => {
    const channel = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [0.2126 * r, 0.7152 * g, 0.0722 * b].reduce((a, c) => a + c, 0);
    const luminance = colour => light(numbers(colour).slice(0, 3).map(value => channel(value / 255)));
    const ground = element => {
        for (let box = element; box; box = box.parentElement) {
            const colour = getComputedStyle(box).backgroundColor;
            if (!/^rgba\\(.*, 0\\)$/.test(colour)) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const pairs = new Map();
    for (const element of document.querySelectorAll('.bd-article pre, .bd-article pre *')) {
        if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
        const pair = [getComputedStyle(element).color, ground(element)];
        pairs.set(pair.join(' on '), [pair, element.textContent.trim()]);
    }
    const problems = [];
    for (const [name, [[front, back], text]] of pairs) {
        const [low, high] = [luminance(front), luminance(back)].sort((a, b) => a - b);
        const ratio = (high + 0.05) / (low + 0.05);
        const told = `${name} is ${ratio.toFixed(2)}: ${text.slice(0, 40)}`;
        if (ratio < 4.5) problems.push(`serious: contrast of code: ${told}`);
    }
    return problems;
}"""


# axe-core looks at every element; without the inner ones of code and formulas it takes seconds instead of a minute.
_SIMPLIFY = """() => {
    window.simplified = [...document.querySelectorAll('.bd-article pre, .bd-article mjx-container')]
        .map(box => [box, [...box.childNodes], box.textContent]);
    for (const [box, , text] of window.simplified) box.replaceChildren(text || 'x');
}"""
_RESTORE = """() => {
    for (const [box, nodes] of window.simplified) box.replaceChildren(...nodes);
}"""


def accessibility(page: Page, colours_only: bool = False) -> list[str]:
    """axe-core's serious and critical findings, and code that is too pale."""
    # Without preload: it loads style sheets a second time, from addresses that are not theirs.
    options = {"resultTypes": ["violations"], "preload": False}
    if colours_only:
        options["runOnly"] = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
    pale = page.evaluate(_CODE_COLOURS)
    page.evaluate(_SIMPLIFY)
    results = Axe().run(page, options=options)
    page.evaluate(_RESTORE)
    return pale + [
        f"{found['impact']}: {found['id']}: {node['html'][:160]} ({'; '.join(c['message'] for c in node['any'])})"
        for found in results.response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def folded_cells(page: Page) -> list[str]:
    """Every folded cell opens by a click and closes by the keyboard."""
    problems = []
    for number, fold in enumerate(page.locator(".bd-article details.hide").all(), start=1):
        content = fold.locator(":scope > :not(summary)").first
        summary = fold.locator("> summary")
        if not summary.inner_text().strip():
            problems.append(f"folded cell {number} does not say what is inside")
        if content.is_visible():
            problems.append(f"folded cell {number} is open from the start")
            continue
        summary.click()
        if not content.is_visible():
            problems.append(f"folded cell {number} does not open by a click")
            continue
        summary.focus()
        page.keyboard.press("Enter")
        if content.is_visible():
            problems.append(f"folded cell {number} does not close by the keyboard")
    return problems


def launch_links(page: Page, name: str, config: dict) -> list[str]:
    """The Colab and Binder buttons open this notebook, in the repository that _config.yml names."""
    repository = config["repository"]
    owner_and_name = repository["url"].removeprefix("https://github.com/").strip("/")
    file = f"{repository['path_to_book'].strip('/')}/{name}.ipynb".lstrip("/")
    wanted = {
        f"https://colab.research.google.com/github/{owner_and_name}/blob/{repository['branch']}/{file}",
        f"https://mybinder.org/v2/gh/{owner_and_name}/{repository['branch']}?urlpath=lab/tree/{file}",
    }
    links = page.eval_on_selector_all(".dropdown-launch-buttons a", "all => all.map(a => a.href)")
    problems = [f"no launch button leads to {address}" for address in wanted - set(links)]
    return problems + [f"a launch button leads to {address}" for address in set(links) - wanted]


_CELLS = """() => [...document.querySelectorAll('.bd-article div.cell')].map(cell => ({
    text: [...cell.querySelectorAll('.cell_output pre')].map(pre => pre.textContent).join(''),
    source: cell.querySelector('.cell_input pre')?.textContent ?? null,
    images: cell.querySelectorAll('.cell_output img').length,
    tables: cell.querySelectorAll('.cell_output table').length,
}))"""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def _squeeze(text: str) -> str:
    return "".join(_COLOURS.sub("", text).split())


def stored_outputs(page: Page, notebook: dict) -> list[str]:
    """The page shows each cell and the outputs stored with it: nothing is lost, added or older."""
    shown = page.evaluate(_CELLS)
    stored = [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "remove-cell" not in cell["metadata"].get("tags", [])
    ]
    if len(shown) != len(stored):
        return [f"the notebook has {len(stored)} code cells, the page shows {len(shown)}"]
    problems = []
    for number, (cell, on_page) in enumerate(zip(stored, shown, strict=True), start=1):
        tags = cell["metadata"].get("tags", [])
        if "remove-input" not in tags and _squeeze(cell["source"]) != _squeeze(on_page["source"] or ""):
            problems.append(f"code cell {number} differs from the notebook's")
        if "remove-output" in tags:
            continue
        text, images, tables = "", 0, 0
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data or "image/svg+xml" in data:
                images += 1
            elif "text/html" in data:
                tables += data["text/html"].count("<table")
            else:
                text += output.get("text", "") or data.get("text/plain", "") or "\n".join(output.get("traceback", []))
        if _squeeze(text) != _squeeze(on_page["text"]):
            problems.append(f"code cell {number}: stored {text.strip()[:80]!r}, shown {on_page['text'].strip()[:80]!r}")
        if images != on_page["images"]:
            problems.append(f"code cell {number}: {images} figures stored, {on_page['images']} shown")
        if tables != on_page["tables"]:
            problems.append(f"code cell {number}: {tables} tables stored, {on_page['tables']} shown")
    return problems
