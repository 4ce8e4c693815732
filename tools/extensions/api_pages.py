"""A Sphinx extension that writes the pages of attnlib's modules from their docstrings, NumPy's beside the others'.

A page `book/reference/api/NAME.md` holds a title and what a person has to say; the rest is added when it is read. The
sources are parsed and not imported: PyTorch and TensorFlow in one process disturb each other.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sphinx.application import Sphinx

PACKAGE = Path(__file__).resolve().parents[2] / "attnlib"
FOLDER = "book/reference/api/"
FRAMEWORKS = {"numpy": "NumPy", "torch": "PyTorch", "tensorflow": "TensorFlow"}
CALLS = {"__call__", "forward", "call"}
NO_PAGE = {"check", "exercises"}  # a command, and what the notebooks ask
FOLDED = 45  # lines of code; more are folded
FITS = 86  # characters of code on a desktop's page
Definition = ast.FunctionDef | ast.ClassDef
HELPERS = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


@cache
def modules() -> dict[str, dict[str, Path]]:
    """The file of every public module by framework, "" standing for none."""
    files = [(path, path.relative_to(PACKAGE).parts) for path in sorted(PACKAGE.rglob("*.py"))]
    found: dict[str, dict[str, Path]] = {}
    for framework in (*FRAMEWORKS, ""):
        for path, parts in files:
            if any(part[0] == "_" for part in parts) or NO_PAGE & {path.stem, *parts}:
                continue
            if (parts[0] if parts[0] in FRAMEWORKS else "") == framework:
                found.setdefault(path.stem, {})[framework] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def public(body: list[ast.stmt]) -> Iterator[Definition]:
    """What a reader uses: documented, with a name of its own; the call comes first. A base of layers is used too."""
    for node in sorted(body, key=lambda node: getattr(node, "name", "") not in CALLS):
        if isinstance(node, ast.ClassDef) and any(n.name in CALLS for n in public(node.body)):
            yield node
        elif isinstance(node, Definition) and (node.name[0] != "_" or node.name in CALLS) and ast.get_docstring(node):
            yield node


def exported(path: Path) -> set[str]:
    """What `import attnlib.numpy as attn` gives of a module."""
    package = tree(path.parent / "__init__.py").body
    return {name.name for node in package if isinstance(node, ast.ImportFrom) for name in node.names}


@cache
def pages() -> dict[str, str]:
    """The page and anchor of every public name."""
    names = {}
    for module, files in modules().items():
        names |= {n.name: f"{module}.md#{n.name.lower()}" for n in public(tree(next(iter(files.values()))).body)}
    return names


def address(name: str) -> str | None:
    """Where a name has its place, written alone or in full (`attnlib.measures.flat`); a module's is its page."""
    *path, last = name.split(".")
    if path[:1] != ["attnlib"]:
        return pages().get(name)
    if last in modules():
        return f"{last}.md"
    found = f"{path[-1]}.md#{last.lower()}" if path[-1] in modules() else pages().get(last)
    return found if found in pages().values() else None


def prose(text: str, own: str = "") -> str:
    """Text as Markdown: shapes are code, the name of what has a page is a link, and all else means nothing."""
    parts = re.split(r"(`[^`]+`|\[[a-z_., 0-9]+\])", " ".join(text.split()))
    for i, part in enumerate(parts):
        name = part.strip("`")
        if i % 2 == 0:
            parts[i] = re.sub(r"([\\_\[\]<>$|~^#&{}])", r"\\\1", part)
        else:
            place = address(name) if name != own else None
            parts[i] = f"[`{name}`]({place})" if place else f"`{name}`"
    return "".join(parts)


def arguments(node: Definition) -> list[str]:
    """A signature's parts as they are written, without `self`; those of a class are those that make one."""
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return arguments(made[0]) if made else [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign)]
    a = node.args
    positional = [*a.posonlyargs, *a.args]
    defaults = [*[None] * (len(positional) - len(a.defaults)), *a.defaults, *a.kw_defaults]
    parts = []
    for argument, default in zip([*positional, *a.kwonlyargs], defaults, strict=True):
        equals = " = " if argument.annotation else "="
        parts.append(ast.unparse(argument) + (equals + ast.unparse(default) if default else ""))
    if a.vararg or a.kwonlyargs:
        parts.insert(len(positional), f"*{ast.unparse(a.vararg) if a.vararg else ''}")
    if a.posonlyargs:
        parts.insert(len(a.posonlyargs), "/")
    return [part for part in parts if part not in ("self", "cls")] + ([f"**{a.kwarg.arg}"] if a.kwarg else [])


def block(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}\n```\n"


def tight(text: str) -> str:
    """Columns of formulas moved together, where a line of them would not fit otherwise."""
    lines = text.splitlines()
    width = max(map(len, lines))
    if width <= FITS:
        return text
    lines = [line.ljust(width) for line in lines]
    empty = "".join(" " if {line[i] for line in lines} == {" "} else "x" for i in range(width))
    for gap in reversed(list(re.finditer(r"(?<=x) {4,}", empty))):
        lines = [line[: gap.start() + 3] + line[gap.end() :] for line in lines]
    return "\n".join(map(str.rstrip, lines))


def signature(shown: str, node: Definition) -> str:
    parts = arguments(node)
    if "property" in map(ast.unparse, node.decorator_list):
        return block(shown)
    returns = getattr(node, "returns", None)
    arrow = f" -> {ast.unparse(returns)}" if returns else ""
    line = f"{shown}({', '.join(parts)}){arrow}"
    if len(line) > 76:
        inside = textwrap.indent(textwrap.fill(", ".join(parts), 72, break_long_words=False), "    ")
        line = f"{shown}(\n{inside}\n){arrow}"
    return block(line)


def items(node: ast.Module | Definition) -> list[tuple[str, str]]:
    """A docstring as (label, text), its source last.

    Labels: arguments, "Raises", "Source"; "" for prose, "-" for what is listed and "text" for formulas.
    """
    doc, parts = ast.get_docstring(node) or "", [] if isinstance(node, ast.Module) else arguments(node)
    names = "|".join(re.escape(part.lstrip("*").split("=")[0].split(":")[0]) for part in parts if part != "*") or "(?!)"
    label = rf"(?:(?:{names})(?:, (?:{names}))*|Source): (?=\S)|Raises (?=ValueError)"
    found = []
    for paragraph in re.split(r"\n\n(?! )|(?<=\S)\n\n(?= )", doc):
        if paragraph.startswith("    "):
            found.append(("text", textwrap.dedent(paragraph)))
            continue
        if paragraph.startswith("- "):
            found += [("-", " ".join(item.split())) for item in re.split(r"(?:^|\n)- ", paragraph)[1:]]
            continue
        # A sentence that begins a line speaks of something else than the one before.
        paragraph = re.sub(r"(?<=\.)\n(?=[A-Z`])", "\0", paragraph).replace("\n", " ")
        text, mark, source = paragraph.partition("Source: ")
        for part in filter(None, map(str.strip, re.split(rf"\0|(?<=[.;] )(?={label})", text))):
            match = re.match(label, part)
            rest = part[match.end() :] if match else part
            found.append((match[0].strip().rstrip(":") if match else "", re.sub(r";$", ".", rest)))
        if mark:
            found.append(("Source", source.replace("\0", " ")))
    return sorted(found, key=lambda item: item[0] == "Source")


def described(found: list[tuple[str, str]], own: str = "") -> str:
    out = []
    for label, text in found:
        if label == "text":
            out.append(block(tight(text), "text"))
        elif label == "-":
            out.append(f"- {prose(text, own)}\n")
        elif label:
            term = f"**{label}**" if label in ("Raises", "Source") else ", ".join(f"`{n}`" for n in label.split(", "))
            text = re.sub(r"^ValueError", "`ValueError`", text[0].upper() + text[1:])
            out.append(f"{term}\n: {prose(text, own)}\n")
        else:
            out.append(prose(text, own) + "\n")
    return "\n".join(out)


def listing(path: Path, node: Definition) -> str:
    """A definition without the docstrings that the page shows, with the helpers that stand before it."""
    lines, body = path.read_text(encoding="utf-8").splitlines(), tree(path).body
    shown = list(public(body))
    before = [n for n in body if n.end_lineno < node.lineno and (n in shown or not isinstance(n, HELPERS))]
    first = before[-1].end_lineno if before else 0
    last = len(lines) if node == shown[-1] else node.end_lineno
    dropped = set()
    for definition in (node, *(public(node.body) if isinstance(node, ast.ClassDef) else [])):
        if ast.get_docstring(definition):
            text = definition.body[0]
            blank = text.end_lineno < len(lines) and not lines[text.end_lineno].strip()
            dropped |= set(range(text.lineno, text.end_lineno + 1 + blank))
    return "\n".join(lines[i - 1] for i in range(first + 1, last + 1) if i not in dropped).strip("\n")


def source(listings: dict[str, str]) -> str:
    text = "".join(map(block, listings.values()))
    if len(listings) > 1:
        tab = ":::{{tab-item}} {}\n:sync: {}\n\n{}:::\n"
        text = "".join(tab.format(FRAMEWORKS[name], name, block(code)) for name, code in listings.items())
        text = f"::::{{tab-set}}\n:sync-group: framework\n\n{text}::::\n"
    longest = max(len(code.splitlines()) for code in listings.values())
    return f":::::{{dropdown}} Source code ({longest} lines)\n\n{text}:::::\n" if longest > FOLDED else text


def documented(shown: str, nodes: dict[str, Definition]) -> str:
    """Signature and docstring of one thing, and what the other frameworks add to them."""
    (first, node), *others = nodes.items()
    out = [signature(shown, node), described(items(node), node.name)]
    if first not in ("numpy", ""):
        out.insert(0, f"Not in NumPy. In {FRAMEWORKS[first]}:\n" if others else f"In {FRAMEWORKS[first]} only.\n")
    added: dict[str, list[str]] = {}
    for framework, other in others:
        text = differences(shown, node, other)
        added.setdefault(text, []).append(FRAMEWORKS[framework])
    for text, frameworks in added.items():
        if text:
            out.append(f"**In {' and '.join(frameworks)}**{text}")
    return "\n".join(out)


def differences(shown: str, node: Definition, other: Definition) -> str:
    """What another framework's arguments and docstring have beyond those of the first."""
    parts = [part for part in arguments(node) if part not in ("*", "/")]
    theirs = [part for part in arguments(other) if part not in ("*", "/")]
    names, their_names = ([part.split("=")[0] for part in some] for some in (parts, theirs))
    also = [f"`{part}`" for part, name in zip(theirs, their_names, strict=True) if name not in names]
    instead = [f"`{part}`" for part in theirs if part.split("=")[0] in names and part not in parts]
    found = items(node)
    extra = [item for item in items(other) if item not in found]
    head = (f" also {', '.join(also)}" if also else "") + (f" {', '.join(instead)}" if instead else "")
    if set(names) - set(their_names):
        return ":\n\n" + signature(shown, other) + "\n" + described(extra, node.name)
    if not head and not extra:
        return ""
    return f"{head}{':' if extra else '.'}\n\n" + described(extra, node.name)


def section(files: dict[str, Path], name: str) -> str:
    # A private base need not be there in every framework.
    nodes = {f: n for f, path in files.items() for n in public(tree(path).body) if n.name == name}
    spec, path = next(iter(nodes.values())), next(iter(files.values()))
    out = [f"## {prose(name) if name[0] != '_' else 'What the layers share'}\n"]
    if name[0] == "_":
        out.append(described(items(spec)))
    else:
        out.append(f"```{{index}} {name}\n```\n")  # for the general index, where the glossary's terms are
        if path.parent.name in FRAMEWORKS and path.stem != "backward" and name not in exported(path):
            out.append(f"Not exported: `from attnlib.{path.parent.name}.{path.stem} import {name}`.\n")
        out.append(documented(name, nodes))
    methods: dict[str, dict[str, Definition]] = {}
    for framework, node in nodes.items() if isinstance(spec, ast.ClassDef) else ():
        for method in public(node.body):
            methods.setdefault("__call__" if method.name in CALLS else method.name, {})[framework] = method
    for method, found in methods.items():
        called = method == "__call__"
        out.append(f"### Calling {name.strip('_')}\n" if called else f"### {prose(method)}\n")
        out.append(documented("layer" if called else f"{name}.{method}", found))
    return "\n".join([*out, source({f: listing(files[f], node) for f, node in nodes.items()})])


def page(module: str) -> str:
    (_, path), *others = modules()[module].items()
    found = items(tree(path))
    out = [described(found)]
    extra = {FRAMEWORKS[f]: [item for item in items(tree(its))[1:] if item not in found] for f, its in others}
    shared = [item for item in next(iter(extra.values()), []) if all(item in its for its in extra.values())]
    if len(extra) < 2 or "text" in dict(shared):  # a formula stays with the sentence before it
        shared = []
    own = {framework: [item for item in its if item not in shared] for framework, its in extra.items()}
    for frameworks, added in ({" and ".join(extra): shared} | own).items():
        if added:
            out += [f"**In {frameworks}:**\n", described(added)]
    names = [node.name for node in public(tree(path).body)]
    if path.parent.name in FRAMEWORKS and path.stem != "backward":
        names.sort(key=lambda name: name[0] != "_" and name not in exported(path))  # helpers at the end
    return "\n".join([*out, *(section(modules()[module], name) for name in names)])


def contents() -> str:
    """What there is, a module a line."""
    out = []
    for module, files in modules().items():
        body = tree(next(iter(files.values())))
        links = (f"[`{n.name}`]({module}.md#{n.name.lower()})" for n in public(body.body) if n.name[0] != "_")
        out.append(f"[{module}]({module}.md)\n: {prose(items(body)[0][1])} {', '.join(links)}\n")
    return "\n".join(out)


def write(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname.startswith(FOLDER):
        name = docname.removeprefix(FOLDER)
        source[0] += "\n" + (contents() if name == "index" else page(name))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
