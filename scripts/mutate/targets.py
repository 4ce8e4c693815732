"""Which modules are mutated, and which tests concern each."""

import re
from pathlib import Path

from tools.paths import ROOT

PACKAGE = ROOT / "attnlib"
TESTS = ROOT / "tests" / "library"
FRAMEWORKS = ("numpy", "torch", "tensorflow")

# Test files, without their `test_`, for a module of this name in each framework, the quick and telling ones first.
# Of a module that is not named here, as `local`, these: local, mirror, torch_local, tensorflow_local.
CONCERN = {
    "_autocast": "torch_autocast torch_linear torch_local torch_positions torch_multihead tiled_torch",
    "backward": "backward_errors softmax multihead multihead_rotary tiled tiled_numpy attention",
    "cache": "multihead multihead_rotary torch_multihead tensorflow_multihead",
    "dense": "errors mirror properties tiled attention torch_agreement torch_autocast tensorflow_layers",
    "feed_forward": "blocks mirror torch_blocks tensorflow_blocks",
    "layers": "errors mirror scores attention torch_agreement torch_autocast tensorflow_layers",
    "local": "local mirror torch_local tensorflow_layers",
    "masks": "masks errors mirror attention tensorflow_layers",
    "multihead": "multihead mirror multihead_rotary torch_multihead tensorflow_multihead",
    "patches": "patches mirror torch_blocks tensorflow_blocks",
    "scores": "errors mirror scores attention torch_agreement torch_autocast tensorflow_layers",
    "softmax": "softmax errors mirror properties attention torch_autocast",
    "tiled": "tiled mirror tiled_numpy tiled_torch tiled_tensorflow multihead torch_multihead",
}
# What looks at all mechanisms, after the module's own.
EVERY = "torch_repr layer_properties initial_parameters half_precision torch_compiled tensorflow_xla"
# What is asked of arguments is asked in every mechanism; first in that which a module of checks is for.
CHECKED = {
    "kernels": "linear",
    "multi_head": "multihead",
    "positional": "positions multihead_rotary",
    "windows": "patterns local",
}
CHECKS = """errors scores masks softmax patterns positions local linear multihead tiled attention mirror
    multihead_rotary recurrent blocks patches
    torch_multihead torch_blocks torch_local torch_positions torch_autocast
    tensorflow_multihead tensorflow_positions tensorflow_linear tiled_tensorflow tensorflow_layers"""


def modules() -> list[str]:
    """`numpy/softmax`, `_checks/shapes`, …: what is mutated. Lists of names are not."""
    found = [path for folder in ("_checks", *FRAMEWORKS) for path in (PACKAGE / folder).glob("*.py")]
    names = [path.relative_to(PACKAGE).with_suffix("").as_posix() for path in found if path.stem != "__init__"]
    return sorted(names)


def source(module: str) -> Path:
    return PACKAGE / f"{module}.py"


def frameworks(module: str) -> tuple[str, ...]:
    """Under which frameworks a mutant is tested, until one finds it.

    Checks serve all three. PyTorch's results are compared with NumPy's, so its tests hold the specification too.
    """
    home = module.partition("/")[0]
    if home == "numpy":
        return ("numpy", "torch")
    return (home,) if home in FRAMEWORKS else FRAMEWORKS


def tests(module: str, framework: str) -> list[str]:
    """The test files, in the order in which they are run."""
    home, _, name = module.partition("/")
    if home in FRAMEWORKS:
        names = CONCERN.get(name, f"{name} mirror torch_{name} tensorflow_{name}")
    else:
        names = f"{CHECKED.get(name, '')} {CHECKS}"
    names += f" {EVERY}"
    others = "|".join(other for other in FRAMEWORKS if other != framework)
    paths = [
        TESTS / f"test_{each}.py" for each in dict.fromkeys(names.split()) if not re.search(rf"(^|_)({others})", each)
    ]
    found = [str(path) for path in paths if path.exists()]
    if not found:
        raise SystemExit(f"error: {module}: say in {Path(__file__).name} which tests concern it")
    return found
