"""How far results in float32 are from the same in float64."""

import numpy as np


def root_mean_square(framework, causal, outputs, exact):
    """The error of each form, and that of attnlib's as a multiple of the naive one's."""
    errors = {name: float(np.sqrt(np.mean((np.asarray(x) - exact) ** 2))) for name, x in outputs.items()}
    where = "causal" if causal else "full"
    answer = {f"{framework} {name}, {where}: error in float32": error for name, error in errors.items()}
    for name, error in errors.items():
        if name in ("explicit", "tiled", "fused"):
            answer[f"{framework} {name}, {where}: error against naive's"] = error / errors["naive"]
    return answer
