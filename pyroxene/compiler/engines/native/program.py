"""A graph of several inputs and outputs as a function of the machine, called by pointer or from Python."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Sequence

import torch

from pyroxene.compiler.engines.native.build import close_with, load_library
from pyroxene.compiler.engines.native.emit import Program, emit
from pyroxene.compiler.engines.native.engine import Context
from pyroxene.compiler.engines.native.toolchain import DENSITY_FLAGS
from pyroxene.compiler.graph import LEAVES, Graph

__all__ = ["NativeProgram"]


class NativeProgram:
    """A graph as machine code; final.

    The C function is `void f(const double *const *inputs, double *const *outputs, const void *const *context)`. It
    allocates nothing and may run in any number of threads, each with a context of its own.

    Attributes:
        operations: how many of each kind the graph has.
        program: the emitted C.
        address: of the C function.

    Args:
        graph: not of one input and two outputs, which is `NativeFunction`'s form.

    Raises:
        CompilerError: there is no compiler, or it fails.
    """

    def __init__(self, graph: Graph) -> None:
        self.shapes = [node.shape for node in graph.outputs]
        self.operations = Counter(node.op for node in graph.nodes() if node.op not in LEAVES)
        self.data = list(graph.data)
        self.program: Program = emit(graph)
        self._library = load_library(self.program.source, name="program", flags=DENSITY_FLAGS)
        close_with(self, self._library)
        if self.program.pointers:
            from pyroxene.compiler.engines.native.pointers import addresses

            table = (ctypes.c_void_p * len(self.program.pointers))(*addresses(self.program.pointers))
            self._library.pyroxene_bind(table)
        function = self._library.pyroxene_call
        function.restype, function.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self._function = function
        self.address: int = ctypes.cast(function, ctypes.c_void_p).value or 0
        self._own = self.new_context()

    def new_context(self) -> Context:
        """Return workspace and data for one more thread."""
        return Context(self.program.workspace, self.data)

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
