"""The three subpackages are one interface: the same names, signatures and documentation, in the same modules."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import attnlib
import attnlib.numpy as spec

FRAMEWORK = "each"
PACKAGE = Path(attnlib.__file__).parent
MIRRORS = ["torch", "tensorflow"]

# What only one framework has, each with its reason.
ONLY_IN_NUMPY = {"backward"}  # the others differentiate by themselves
ONLY_WHERE_TRAINED = {"monitor.py"}  # looks into a model in training; not exported, and the same in both that have it
EXTRA_PARAMETERS = {
    # A new tensor needs to know where to live.
    ("torch", "causal_mask"): {"device"},
    ("torch", "sliding_window_mask"): {"device"},
    ("torch", "block_local_mask"): {"device"},
    ("torch", "strided_mask"): {"device"},
    ("torch", "global_token_mask"): {"device"},
    ("torch", "sinusoidal_positions"): {"device"},
    ("torch", "relative_position_buckets"): {"device"},
    ("torch", "alibi_slopes"): {"device"},
    ("torch", "alibi_bias"): {"device"},
    ("torch", "rotary_permutation"): {"device"},
    # Keras names its layers and sets their dtype through keyword arguments, and fills masks by name. In training
    # (which Keras tells a call of, and PyTorch a module) weights may be dropped; NumPy's layers only compute.
    ("tensorflow", "__init__"): {"kwargs", "dropout"},
    ("tensorflow", "call"): {"query_mask", "key_mask", "value_mask", "x_mask", "memory_mask", "mask", "training"},
    ("torch", "__init__"): {"dropout"},
}
# How large a tile is changes the time alone, and each has the one that was fastest (scripts/bench): with all heads at
# once PyTorch wants smaller ones, and TensorFlow's product of matrices more rows.
OWN_DEFAULTS = {("torch", "tiled_attention"): {"k_tile"}, ("tensorflow", "tiled_attention"): {"q_tile"}}
# Where the documentation goes on after the common part.
LONGER = {
    ("torch", "scaled_dot_product_attention"),
    ("tensorflow", "call"),
    ("torch", "MultiHeadAttention"),
    ("tensorflow", "MultiHeadAttention"),
    *((mirror, layer) for mirror in MIRRORS for layer in ("FeedForward", "EncoderBlock", "DecoderBlock")),
}
CALL = {"numpy": "__call__", "torch": "forward", "tensorflow": "call"}


def parameters(function, extra=frozenset(), own=frozenset()):
    return [
        (p.name, p.kind, p.name in own or p.default)
        for p in inspect.signature(function).parameters.values()
        if p.name not in extra
    ]


def test_names(fw):
    assert set(fw.attn.__all__) == set(spec.__all__) - (ONLY_IN_NUMPY if fw.name != "numpy" else set())
    assert sorted(fw.attn.__all__) == fw.attn.__all__


@pytest.mark.parametrize("name", sorted(set(spec.__all__) - ONLY_IN_NUMPY))
def test_signatures_and_documentation(fw, name):
    mine, theirs = getattr(spec, name), getattr(fw.attn, name)
    if inspect.isfunction(mine):
        pairs = [(name, mine, theirs)]
    else:
        assert_same_documentation(fw, name, mine, theirs)
        pairs = [("__init__", mine.__init__, theirs.__init__)]
        if hasattr(theirs, CALL[fw.name]):
            pairs.append(("call", mine.__call__, getattr(theirs, CALL[fw.name])))
        else:  # not a layer: its methods are what it is used by
            pairs += [
                (n, f, getattr(theirs, n)) for n, f in vars(mine).items() if inspect.isfunction(f) and n[0] != "_"
            ]
    for what, a, b in pairs:
        extra = EXTRA_PARAMETERS.get((fw.name, what), set()) - set(inspect.signature(a).parameters)
        own = OWN_DEFAULTS.get((fw.name, what), set())
        assert parameters(b, extra, own) == parameters(a, own=own), what
        if what != "__init__":
            assert_same_documentation(fw, what, a, b)


def assert_same_documentation(fw, what, a, b):
    ours, doc = inspect.getdoc(a), inspect.getdoc(b)
    if (fw.name, what) in LONGER:
        first, _, _ = ours.partition("impl:")
        assert doc.startswith(first.rstrip()), what
    else:
        assert doc == ours, what


@pytest.mark.parametrize("mirror", MIRRORS)
def test_modules_hold_the_same_definitions_in_the_same_order(mirror):
    def definitions(path):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        kinds = (ast.FunctionDef, ast.ClassDef)
        return [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]

    files = {p.name for p in (PACKAGE / "numpy").glob("*.py")} - {"backward.py"}
    # A module of its own whose name begins with an underscore serves the framework alone, as does its autocast.
    theirs = {p.name for p in (PACKAGE / mirror).glob("*.py") if p.stem == "__init__" or p.name[0] != "_"}
    assert theirs == files | ONLY_WHERE_TRAINED
    for name in files:
        assert definitions(PACKAGE / mirror / name) == definitions(PACKAGE / "numpy" / name), name
    for name in ONLY_WHERE_TRAINED:
        assert definitions(PACKAGE / mirror / name) == definitions(PACKAGE / MIRRORS[0] / name), name


@pytest.mark.parametrize("module", ["attnlib", "attnlib.numpy", "attnlib.exercises"])
def test_importing_loads_no_framework(module):
    code = f"import {module}, sys; print([m for m in ('torch', 'tensorflow', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_docstring_says_shapes_and_errors(fw):
    for name in set(fw.attn.__all__) - ONLY_IN_NUMPY:
        doc = inspect.getdoc(getattr(fw.attn, name))
        assert "Raises ValueError" in doc or name == "DotProductAttention", name


def test_every_module_has_a_page_in_the_reference():
    """book/reference/api/NAME.md, listed in _toc.yml: a title is enough, the rest is made from the docstrings."""
    paths = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    not_read = {"check.py", "exercises"}  # a command, and what the notebooks ask
    private = {part for path in paths for part in path.parts if part[0] == "_"}
    modules = {path.stem for path in paths if not (not_read | private) & set(path.parts)}
    written = {path.stem for path in (PACKAGE.parent / "book" / "reference" / "api").glob("*.md")}
    assert written == modules | {"index"}
