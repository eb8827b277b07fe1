"""A value with its gradient as machine code: at one point, or at several in one pass."""

from __future__ import annotations

import ctypes
import math
import time
from collections import Counter
from typing import Any

import torch

from pyroxene.compiler.engines.native.emitted import Emitted
from pyroxene.compiler.flatten import flatten, restore
from pyroxene.compiler.graph import LEAVES, Graph, nested
from pyroxene.compiler.passes.batch import batch
from pyroxene.compiler.passes.layout import by_columns
from pyroxene.compiler.passes.masks import widen_masks

__all__ = ["NativeBatch", "NativeFunction"]


def _restore(flat: dict[str, Any]) -> NativeFunction:
    return NativeFunction(restore(flat))


class NativeBatch(Emitted):
    """A function at several points in one pass, as machine code; final. `NativeFunction.batched` makes it.

    The C function is `void f(const double *z, double *values, double *gradients, void *context)`, z and gradients of
    shape (width, dim).

    Attributes:
        width: how many points.
    """

    def __init__(self, graph: Graph, width: int, dim: int) -> None:
        super().__init__(graph, "batch", "pyroxene_batch", None, [ctypes.c_void_p] * 4)
        self.width = width
        self.dim = dim

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values (width,) and gradients (width, dim) at points (width, dim); one thread at a time."""
        z = z.detach().to(torch.float64).contiguous()
        values, gradients = torch.empty(self.width, dtype=torch.float64), torch.empty_like(z)
        with self._one_thread():
            self._function(z.data_ptr(), values.data_ptr(), gradients.data_ptr(), self._own.pointer)
        return values, gradients


class NativeFunction(Emitted):
    """Value and gradient of a scalar function of one vector, as machine code; final.

    The C function is `double f(const double *z, double *gradient, void *context)`.

    Attributes:
        dim: the length of the vector.
        operations: how many of each kind the graph has.
        longest_loop: how many steps the longest of its loops has; 0 without one.
    """

    def __init__(self, graph: Graph) -> None:
        """Emit, build and bind a graph of one input, whose outputs are a scalar and its gradient.

        Raises:
            CompilerError: there is no compiler, or it fails.
        """
        graph = widen_masks(by_columns(graph))
        super().__init__(graph, "density", "pyroxene_density", ctypes.c_double, [ctypes.c_void_p] * 3)
        self._graph = graph
        self._batches: dict[int, NativeBatch] = {}
        (argument,) = graph.inputs
        self.dim = math.prod(argument.shape)
        loops = [node.attributes[1] for inner in nested(graph) for node in inner.nodes() if node.op == "scan"]
        self.longest_loop = max(loops, default=0)
        self.operations = Counter(node.op for node in graph.nodes() if node.op not in LEAVES)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the graph with its data; another process builds it anew, or finds it in its cache."""
        return _restore, (flatten(self._graph),)

    def batched(self, width: int) -> NativeBatch:
        """Return the function at so many points, two or more, in one pass; built at the first request.

        Raises:
            CompilerError: the compiler fails.
        """
        if width not in self._batches:
            self._batches[width] = NativeBatch(batch(self._graph, width), width, self.dim)
        return self._batches[width]

    def seconds_per_call(self, z: torch.Tensor, budget: float = 0.05) -> float:
        """Return how long one call takes inside C, in seconds: the least of five runs that fill a budget of seconds."""
        z = z.detach().to(torch.float64).contiguous()
        gradient = torch.empty(self.dim, dtype=torch.float64)
        repeat = self._library.pyroxene_repeat
        repeat.restype, repeat.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long]

        def measure(times: int) -> float:
            start = time.perf_counter()
            repeat(z.data_ptr(), gradient.data_ptr(), self._own.pointer, times)
            return (time.perf_counter() - start) / times

        with self._one_thread():
            times = max(1, int(budget / 5 / max(measure(3), 1e-9)))
            return min(measure(times) for _ in range(5))

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the value, a float64 scalar, and the gradient, float64 of shape (dim,); one thread at a time."""
        z = z.detach().to(torch.float64).contiguous()
        gradient = torch.empty(self.dim, dtype=torch.float64)
        with self._one_thread():
            value = self._function(z.data_ptr(), gradient.data_ptr(), self._own.pointer)
        return torch.tensor(value, dtype=torch.float64), gradient
