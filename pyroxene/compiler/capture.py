"""Capture: a function of tensors, run once on real ones, becomes a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from pyroxene.compiler.graph import Graph, Node
from pyroxene.compiler.noise import NoisyGraph, gather_noise
from pyroxene.compiler.precision import WideFunctions
from pyroxene.compiler.recorder import CURRENT, Recorder, UnsupportedOperation
from pyroxene.compiler.scalar_index import without_host_read

__all__ = ["capture", "capture_noisy"]


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
    outputs = _record(recorder, function, arguments)
    return recorder.b.graph(outputs)


def capture_noisy(function: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor]) -> NoisyGraph:
    """Record a function that draws random numbers as a pure graph of its arguments and of the noise.

    Args:
        function: pure, but for numbers drawn from torch's generator; called once, on copies of the arguments.
        arguments: tensors; those of integers or booleans are recorded as such, and enter the graph as float64.

    Raises:
        CaptureError: as `capture`; or a random operation is not made of normals or uniforms, or stands in a loop.
        UnsupportedOperation: it uses an operation that has no rule.
    """
    recorder = Recorder(random=True)
    outputs = _record(recorder, function, arguments)
    assert recorder.draws is not None
    nodes = [node for _, node in recorder.draws]
    graph = Graph([*recorder.b.inputs, *nodes], outputs, recorder.b.data)
    return gather_noise(graph, [draw for draw, _ in recorder.draws])


class _Functions(WideFunctions):
    """What a program calls, before torch takes it apart: widened, refused, or put in a way that can be recorded."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder.look)
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") == "__getitem__":
            found = without_host_read(args[1], self.recorder.is_tracked)
            if found is not None:
                index, left_behind = found
                return args[0][index].squeeze(left_behind)
        return super().__torch_function__(func, types, args, kwargs)


def _record(recorder: Recorder, function: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor]) -> list[Node]:
    """Run a function under a recorder, and return the nodes of its results."""
    inputs = []
    for argument in arguments:
        node = recorder.b.input(tuple(argument.shape))
        if argument.is_floating_point():
            copy = argument.detach().to(torch.float64).contiguous().clone()
        else:
            copy = argument.contiguous().clone()
            node = recorder.b("as_bool" if argument.dtype == torch.bool else "as_int", node)
        recorder.track(copy, node)
        inputs.append(copy)
    token = CURRENT.set(recorder)
    try:
        with torch.no_grad(), _Functions(recorder), recorder:
            result = function(*inputs)
    finally:
        CURRENT.reset(token)
    results = (result,) if isinstance(result, torch.Tensor) else tuple(result)
    outputs = [recorder.node(tensor) for tensor in results]
    elsewhere = next((tensor.device for tensor in recorder.b.data if tensor.device.type != "cpu"), None)
    if elsewhere is not None:
        raise UnsupportedOperation(f"a tensor is on the device {elsewhere}; machine code runs on the CPU")
    return outputs
