"""The parameters cell: the knobs of a notebook, `steps: int = 300  # optimiser steps`, one a line.

papermill only warns of an unknown parameter and accepts any value. Here both are errors.
"""

import ast
import re
from dataclasses import dataclass

from nbformat import NotebookNode

LINE = re.compile(r"(?P<name>[a-z][a-z0-9_]*): (?P<type>[a-z]+) = (?P<value>\S.*?)  # \S.*")
TYPES = {"int": int, "float": float, "bool": bool, "str": str}


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    value: object


def fits(value: object, type_name: str) -> bool:
    """Whether the value is of the type as a reader would say it: 3 is a float too, True is no integer."""
    if type_name == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if type_name == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[type_name])


def declared(notebook: NotebookNode) -> dict[str, Parameter]:
    """What the one cell tagged `parameters` declares; ValueError names the line that is not in the form."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"exactly one cell must be tagged `parameters`, found {len(cells)}")
    found: dict[str, Parameter] = {}
    for line in cells[0].source.splitlines():
        parts = LINE.fullmatch(line)
        if not parts:
            raise ValueError(f"a line of the parameters cell must read `name: type = value  # comment`, got {line!r}")
        name, type_name = parts["name"], parts["type"]
        if type_name not in TYPES:
            raise ValueError(f"parameter {name!r}: the type must be one of {', '.join(TYPES)}, got {type_name!r}")
        try:
            value = ast.literal_eval(parts["value"])
        except (ValueError, SyntaxError):
            raise ValueError(f"parameter {name!r}: its value must be a literal, got {parts['value']!r}") from None
        if not fits(value, type_name):
            raise ValueError(f"parameter {name!r} is declared {type_name} but is {value!r}")
        if name in found:
            raise ValueError(f"parameter {name!r} is declared twice")
        found[name] = Parameter(name, type_name, value)
    return found


def check_values(notebook: NotebookNode, values: dict[str, object]) -> None:
    """ValueError if a value is for no declared parameter, or does not fit its type."""
    known = declared(notebook)
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown parameter {name!r}; the notebook declares: {', '.join(known) or 'none'}")
        if not fits(value, known[name].type):
            raise ValueError(f"parameter {name!r} must be {known[name].type}, got {value!r}")
