"""Rules for masks that choose elements: where these depend on data alone, what they choose is known when recording.

Each recording looks at its own data. A mask that depends on an argument chooses otherwise at each call: it is refused.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.graph import Graph, Node
from pyroxene.compiler.lowering.call import Call, rule
from pyroxene.compiler.strides import broadcast

__all__ = ["choice"]


def choice(b: Builder, mask: Node) -> torch.Tensor | None:
    """Return a mask's value; None where it depends on an argument."""
    return evaluate(Graph([], [mask], b.data), [])[0] if mask.fixed else None


@rule("masked_select")
def _masked_select(call: Call, x: Node, mask: Node) -> Any:
    b = call.b
    chosen = choice(b, mask)
    if chosen is None:
        return NotImplemented
    if call.out.numel() == 0:
        return call.full(0)
    places = torch.arange(x.size).reshape(x.shape).expand(broadcast(x.shape, mask.shape))
    return b.take(b.reshape(x, (x.size,)), b.table(places[chosen.expand(places.shape)]))


@rule("masked_scatter")
def _masked_scatter(call: Call, x: Node, mask: Node, source: Node) -> Any:
    b, shape = call.b, call.shape
    chosen = choice(b, mask)
    if chosen is None:
        return NotImplemented
    places = chosen.expand(shape).flatten().nonzero().flatten()
    if len(places) == 0:
        return b.expand(x, shape)
    values = b.view(source, (len(places),), (1,), 0)
    size = math.prod(shape)
    return b("where", b.expand(mask, shape), b.reshape(b.put(values, b.table(places), size), shape), b.expand(x, shape))
