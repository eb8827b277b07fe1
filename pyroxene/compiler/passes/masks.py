"""Stores boolean data as numbers: compilers make no vectors of loops that read bytes beside doubles."""

from __future__ import annotations

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import POINTWISE, Graph, Node
from pyroxene.compiler.passes.fold import compact
from pyroxene.compiler.passes.rewrite import rewrite

__all__ = ["widen_masks"]

LARGEST = 2**19
"""Elements of a mask that is widened: to 4 MiB."""


def widen_masks(graph: Graph) -> Graph:
    """Return an equal graph that reads float64 data where another reads masks. Loops' bodies are widened too."""
    data = list(graph.data)
    wide: dict[int, tuple[Node, Node]] = {}  # by mask in the new graph: it, so that it lives, and its numbers
    slots: dict[int, int] = {}

    def numbers(b: Builder, mask: Node) -> Node:
        slot = mask.attributes[0]
        if slot not in slots:
            slots[slot] = len(b.data)
            b.data.append(b.data[slot].to(torch.float64))
        return b.make("data", (), (slots[slot],), mask.shape, "f")

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op not in POINTWISE and node.op != "view":
            return None
        if not any(source.kind == "b" for source in inputs):
            return None
        sources = []
        for source in inputs:
            if source.op == "data" and source.kind == "b" and source.size <= LARGEST:
                read = b("as_bool", numbers(b, source))
                wide[id(read)] = read, read.inputs[0]
                source = read
            sources.append(source)
        if node.op == "view" and id(sources[0]) in wide:  # a view of numbers, made a mask where it is read
            read = b("as_bool", b.view(wide[id(sources[0])][1], node.shape, *node.attributes))
            wide[id(read)] = read, read.inputs[0]
            return read
        return b.rebuild(node, tuple(sources))

    return compact(rewrite(Graph(graph.inputs, graph.outputs, data), rule))
