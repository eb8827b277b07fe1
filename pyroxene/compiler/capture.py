"""Capture: a function of tensors, run once on real ones, becomes a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pyroxene.compiler.graph import Graph
from pyroxene.compiler.precision import WideFunctions
from pyroxene.compiler.recorder import CURRENT, Recorder

__all__ = ["capture"]


def capture(function: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor]) -> Graph:
    """Record a function of tensors as a graph.

    Args:
        function: pure; called once, on copies of the arguments.
        arguments: float64 tensors; what depends on them is recorded, and all else is constant.

    Returns:
        a graph with one input for each argument, and the function's result as output.

    Raises:
        CaptureError: the function branches on a value, reads one on the host, draws random numbers, writes to a tensor
            older than the call, or unrolls to too many operations. The message names the user's line.
        UnsupportedOperation: it uses an operation that has no rule.
    """
    recorder = Recorder()
    inputs = []
    for argument in arguments:
        copy = argument.detach().to(torch.float64).contiguous().clone()
        recorder.track(copy, recorder.b.input(tuple(copy.shape)))
        inputs.append(copy)
    token = CURRENT.set(recorder)
    try:
        with torch.no_grad(), WideFunctions(recorder.look), recorder:
            result = function(*inputs)
    finally:
        CURRENT.reset(token)
    results = (result,) if isinstance(result, torch.Tensor) else tuple(result)
    return recorder.b.graph([recorder.node(tensor) for tensor in results])
