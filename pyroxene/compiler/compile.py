"""The door of the compiler: a pure scalar function of one vector becomes its value and gradient as machine code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pyroxene.compiler.adjoint import value_and_gradient
from pyroxene.compiler.capture import capture, capture_noisy
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.graph import Graph, verify
from pyroxene.compiler.noise import NoisyGraph
from pyroxene.compiler.passes.divide import share_divisors
from pyroxene.compiler.passes.expand import expand
from pyroxene.compiler.passes.fold import fold
from pyroxene.compiler.passes.gather import gather_early

__all__ = ["compile_native", "gradient_graph", "noisy_gradient_graph"]


def gradient_graph(function: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor) -> Graph:
    """Return the graph of a function's value and gradient, after all passes.

    Args:
        function: pure; from a float64 vector to a scalar.
        z: a point to record it at.

    Raises:
        CaptureError: see `capture`.
    """
    graph = capture(function, [z])
    verify(graph)
    graph = value_and_gradient(gather_early(graph))
    verify(graph)
    return fold(share_divisors(expand(graph)))


def compile_native(function: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor) -> NativeFunction:
    """Return a function's value and gradient as machine code.

    Args:
        function: pure; from a float64 vector to a scalar.
        z: a point to record it at.

    Raises:
        CaptureError: the function cannot be recorded.
        CompilerError: there is no compiler, or it fails.
    """
    return NativeFunction(gradient_graph(function, z))


def noisy_gradient_graph(function: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor]) -> NoisyGraph:
    """Return the graph of a random function's value and of its gradient by its first argument, after all passes.

    Args:
        function: from some tensors, the first a float64 vector, to a scalar; it may draw random numbers.
        arguments: tensors to record it at.

    Raises:
        CaptureError: see `capture_noisy`.
    """
    noisy = capture_noisy(function, arguments)
    verify(noisy.graph)
    graph = value_and_gradient(gather_early(noisy.graph))
    graph = Graph(graph.inputs, graph.outputs[:2], graph.data)
    verify(graph)
    return NoisyGraph(fold(share_divisors(expand(graph))), noisy.draws)
