"""A graph of several inputs and outputs as a function of the machine, called by pointer or from Python."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Sequence

import torch

from pyroxene.compiler.engines.native.emitted import Emitted
from pyroxene.compiler.graph import LEAVES, Graph

__all__ = ["NativeProgram"]


class NativeProgram(Emitted):
    """A graph as machine code; final.

    The C function is `void f(const double *const *inputs, double *const *outputs, const void *const *context)`.

    Attributes:
        operations: how many of each kind the graph has.

    Args:
        graph: not of one input and two outputs, which is `NativeFunction`'s form.

    Raises:
        CompilerError: there is no compiler, or it fails.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, "program", "pyroxene_call", None, [ctypes.c_void_p] * 3)
        self.shapes = [node.shape for node in graph.outputs]
        self.operations = Counter(node.op for node in graph.nodes() if node.op not in LEAVES)

    def __call__(self, arguments: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the outputs, float64; one thread at a time.

        Args:
            arguments: a tensor for each input; numbers of every kind enter as float64.
        """
        given = [argument.detach().to(torch.float64).contiguous() for argument in arguments]
        results = [torch.empty(shape, dtype=torch.float64) for shape in self.shapes]
        inputs = (ctypes.c_void_p * len(given))(*[tensor.data_ptr() for tensor in given])
        outputs = (ctypes.c_void_p * len(results))(*[tensor.data_ptr() for tensor in results])
        self._function(inputs, outputs, self._own.pointer)
        return results
