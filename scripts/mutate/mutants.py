"""Mutants of a module: the same source with one small change each, of the kinds that mutmut knows.

Of each string one change is made, not three. Annotations, docstrings and decorators are left alone.
"""

import difflib
import hashlib
from dataclasses import dataclass

import libcst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string


@dataclass(frozen=True)
class Mutant:
    module: str
    line: int
    source: str
    diff: str

    @property
    def key(self) -> str:
        """The same for the same change of the same source: what has been tested once need not be again."""
        return hashlib.sha256(f"{self.module}\n{self.source}".encode()).hexdigest()[:16]


class Collector(libcst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ByteSpanPositionProvider)

    def __init__(self):
        self.found = []  # (line, span in bytes, node, what to put in its place)

    def on_visit(self, node):
        if isinstance(node, (libcst.Annotation, libcst.Decorator)):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                line = self.get_metadata(PositionProvider, node).start.line
                span = self.get_metadata(ByteSpanPositionProvider, node)
                changed = list(operator(node))[: 1 if operator is operator_string else None]
                self.found += [(line, span, node, new) for new in changed]
        return True


def mutants(module: str, code: str) -> list[Mutant]:
    wrapper = MetadataWrapper(libcst.parse_module(code))
    collector = Collector()
    wrapper.visit(collector)
    made = {}
    for line, span, node, new in collector.found:
        changed = replaced(wrapper.module, code, span, node, new)
        try:
            compile(changed, module, "exec")
        except SyntaxError:
            continue  # an argument's name left without a value, say
        if changed != code:
            made.setdefault(changed, Mutant(module, line, changed, difference(code, changed)))
    return list(made.values())


def replaced(module: libcst.Module, code: str, span, node, new) -> str:
    """The source with another node: spliced in where the node is found in the text, since deep_replace is slow."""
    text, old = code.encode(), module.code_for_node(node).encode()
    if text[span.start :].startswith(old):
        return (text[: span.start] + module.code_for_node(new).encode() + text[span.start + len(old) :]).decode()
    return module.deep_replace(node, new).code


def difference(old: str, new: str) -> str:
    """The lines that differ, after `-` and `+`."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))
