"""A step's loss and gradients as a graph of PyTorch's operations, with the random numbers it draws as inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from pyroxene.compiler.noise import is_random
from pyroxene.errors import CaptureError

__all__ = ["Recording", "record"]

LIMIT = 5000
"""Operations; torch.compile takes minutes beyond."""

_LIKE = ("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "new_empty", "new_zeros")


@dataclass(frozen=True)
class Recording:
    """A function of tensors without a branch; final.

    Attributes:
        program: from the inputs and the noise to what the function returns.
        noise: draws, as the function did and in its order, what the program takes after the inputs.
    """

    program: GraphModule
    noise: GraphModule


def record(function: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> Recording:
    """Record a function of tensors, gradients in it included, by one run.

    Args:
        function: from the inputs to a tuple of tensors; it may read other tensors, and the program reads them too.
        inputs: leaves among them stay what they are, so that the function may come by them in its own ways.

    Raises:
        CaptureError: it writes to tensors that are older than the run, or has too many operations.
        RuntimeError: it reads a number out of a tensor, or the like; the message is torch's.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # which imports sympy

    module = make_fx(function)(*inputs)
    if len(module.graph.nodes) > LIMIT:
        raise CaptureError(f"a step has more than {LIMIT} operations")
    _refuse_writes(module.graph)
    return _without_noise(module, inputs[0].device)


def _refuse_writes(graph: Graph) -> None:
    """Refuse writing in place to a tensor that was not made in the run."""
    for node in graph.nodes:
        for target in _written(node):
            if _origin(target).op in ("placeholder", "get_attr"):
                raise CaptureError(f"{node.target} writes to a tensor that is older than the step")


def _written(node: Node) -> Iterator[Node]:
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    for argument, declared in zip(node.args, node.target._schema.arguments):
        if isinstance(argument, Node) and declared.alias_info is not None and declared.alias_info.is_write:
            yield argument


def _origin(node: Node) -> Node:
    """Return where a view's memory comes from."""
    while isinstance(node.target, torch._ops.OpOverload) and node.all_input_nodes:
        if all(result.alias_info is None for result in node.target._schema.returns):
            break
        node = node.all_input_nodes[0]
    return node


def _without_noise(module: GraphModule, device: torch.device) -> Recording:
    """Take the random operations out of a graph, but for graphs in which one depends on the inputs."""
    draws = _free_draws(module.graph)
    noise = GraphModule(module, _only(module, draws, device))
    start = next(node for node in module.graph.nodes if node.op != "placeholder")
    for draw in draws:
        with module.graph.inserting_before(start):
            given = module.graph.placeholder(f"noise_{draw.name}")
        draw.replace_all_uses_with(given)
    for draw in reversed(draws):
        module.graph.erase_node(draw)
    module.graph.eliminate_dead_code()
    module.recompile()
    return Recording(module, noise)


def _free_draws(graph: Graph) -> list[Node]:
    """Return the random operations; none where one depends on the inputs, since all keep their order."""
    fixed: set[Node] = set()
    draws: list[Node] = []
    for node in graph.nodes:
        random = isinstance(node.target, torch._ops.OpOverload) and is_random(node.target)
        if node.op in ("call_function", "get_attr") and all(source in fixed for source in _read(node)):
            fixed.add(node)
            draws += [node] if random else []
        elif random:
            return []
    return draws


def _reads_shape_alone(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.name.partition("::")[2] in _LIKE


def _read(node: Node) -> list[Node]:
    """Return the tensors whose numbers an operation reads."""
    return [] if _reads_shape_alone(node) else node.all_input_nodes


def _only(module: GraphModule, draws: Sequence[Node], device: torch.device) -> Graph:
    """Return a graph without inputs that makes some nodes of another, in their order."""
    made = Graph()
    copies: dict[Node, Node] = {}

    def like(source: Node) -> Node:
        """Return a tensor of the shape of one that is not there."""
        meta, name = source.meta["tensor_meta"], f"_like_{source.name}"
        setattr(module, name, torch.empty_strided(meta.shape, meta.stride, dtype=meta.dtype, device=device))
        return made.get_attr(name)

    def copied(node: Node) -> Node:
        if node not in copies:
            new = like if _reads_shape_alone(node) else copied
            sources = {source: new(source) for source in node.all_input_nodes}
            copies[node] = made.node_copy(node, sources.__getitem__)
        return copies[node]

    made.output(tuple([copied(node) for node in draws]))
    return made
