"""Autocast: PyTorch's mixed precision, in which matrix products take float32 and give half precision.

The functions here ask their arguments to be of one type, which they are not in the middle of a model under autocast:
what comes from a `Linear` is in half precision, what comes from a `LayerNorm` is not.
"""

import torch


def autocasting(tensor):
    """Whether matrix products of this tensor are under autocast."""
    return isinstance(tensor, torch.Tensor) and torch.is_autocast_enabled(tensor.device.type)


def autocast(*tensors):
    """The tensors as autocast hands them to a matrix product; outside autocast, the tensors as they are."""
    if not autocasting(tensors[0]):
        return tensors
    dtype = torch.get_autocast_dtype(tensors[0].device.type)
    taken = (torch.float32, torch.float16, torch.bfloat16)  # float64 stays, as it does in PyTorch's own products
    return tuple(t.to(dtype) if getattr(t, "dtype", None) in taken else t for t in tensors)
