"""Loops recorded once: graph, adjoint and machine code against a Python loop and autograd."""

from __future__ import annotations

import pytest
import torch

from pyroxene.compiler.capture import capture
from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.graph import verify
from pyroxene.compiler.precision import double_precision
from pyroxene.compiler.scan import scan
from pyroxene.errors import CaptureError, ShapeError

torch.set_num_threads(1)
STEPS = 7
X = torch.randn(STEPS, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(STEPS, 3, generator=torch.Generator().manual_seed(1))
POSITIVE = ROWS[0] > 0
A = torch.randn(3, 3, generator=torch.Generator().manual_seed(2)) * 0.3


def recurrence(z, reverse=False):
    def step(carry, part, at):
        state, total = carry
        state = torch.tanh(z[0] * state + z[1] * part[0])
        return [state, total + (z[2:5] * state).exp()], [state * part[0], total]

    last, outputs = scan(step, [z[5], torch.zeros(3)], [X], STEPS, reverse)
    return last[0] * last[1].sum() + (outputs[0] * X).sum() + (outputs[1] ** 2).sum() * 0.01


def backwards(z):
    return recurrence(z, reverse=True)


def only_outputs(z):
    _, outputs = scan(lambda carry, part, at: ([], [(part[0] * z[0]).sin()]), [], [X], STEPS)
    return outputs[0].sum()


def only_carry(z):
    last, _ = scan(lambda carry, part, at: ([carry[0] * 0.9 + z[:3]], []), [torch.zeros(3)], [], STEPS)
    return (last[0] ** 2).sum()


def slices_of_unknowns(z):
    def step(carry, part, at):
        return [carry[0] + part[0].exp() * at(ROWS[:6].sum(1))], [carry[0] * part[0]]

    last, outputs = scan(step, [torch.zeros(())], [z], 6)
    return last[0] + (outputs[0] ** 2).sum()


def matrices(z):
    def step(carry, part, at):
        state = torch.tanh(A @ carry[0] + z[:3] * part[0])
        return [state], [torch.logsumexp(state * z[3:6], 0)]

    last, outputs = scan(step, [z[:3]], [ROWS], STEPS)
    return last[0].sum() + outputs[0].sum()


def forward_algorithm(z):
    transition = torch.log_softmax(z[:4].reshape(2, 2), -1)

    def step(carry, part, at):
        emission = -0.5 * (part[0] - z[4:6]) ** 2
        return [torch.logsumexp(carry[0][:, None] + transition, 0) + emission], []

    last, _ = scan(step, [torch.zeros(2)], [X], STEPS)
    return torch.logsumexp(last[0], 0)


def masks(z):
    def step(carry, part, at):
        state = torch.tanh(carry[0] + z[3:6] * part[0]).clone()
        state[POSITIVE] = state[POSITIVE] * 0.5
        return [state], [state[~POSITIVE].exp()]

    last, outputs = scan(step, [z[:3]], [ROWS], STEPS)
    return last[0][POSITIVE].sum() + outputs[0].sum()


def branches(z):
    def step(carry, part, at):
        return [torch.where(carry[0] > 0, carry[0] * z[0], carry[0] - z[1]).clamp(-3, 3) + part[0]], []

    last, _ = scan(step, [z[2]], [X], STEPS)
    return last[0] ** 2


def nested(z):
    def outer(carry, part, at):
        def inner(state, piece, at):
            return [state[0] * z[0] + piece[0] * part[0]], [state[0].exp()]

        last, outputs = scan(inner, [carry[0]], [ROWS[0]], 3)
        return [torch.tanh(last[0])], [outputs[0].sum()]

    last, outputs = scan(outer, [z[1]], [X], STEPS)
    return last[0] + outputs[0].sum()


def two_loops(z):
    def first(carry, part, at):
        return [carry[0] * 0.5 + z[0] * part[0]], [carry[0]]

    def second(carry, part, at):
        return [carry[0] + (part[0] * z[1]).exp()], []

    _, path = scan(first, [z[2]], [X], STEPS)
    last, _ = scan(second, [torch.zeros(())], [path[0]], STEPS)
    return last[0]


def integers(z):
    """Slices and carries of integers and truth values, and slices as indices."""
    table = z[:6].reshape(2, 3)

    def step(carry, part, at):
        state, count = carry
        group, is_on = part
        state = torch.where(is_on, 0.9 * state + z[group], 0.5 * state + table[count % 2, group])
        return [state, count + group], [table[:, group] * state, count % 2 == 0]

    slices = [torch.tensor([0, 2, 1, 1, 2, 0, 1]), torch.tensor([True, False, True, True, False, False, True])]
    last, (path, is_even) = scan(step, [torch.zeros(()), torch.tensor(0)], slices, STEPS)
    return last[0] + (path * is_even[:, None]).sum() + last[1] * z[0]


def an_element(z):
    """What a step collects is one element of what it carries."""

    def step(carry, part, at):
        state = carry[0] * z[0] + torch.stack([z[1], carry[0][0] * z[2], z[3]])
        return [state], [state[1]]

    _, outputs = scan(step, [z[3:]], [], STEPS)
    return outputs[0].sum()


FUNCTIONS = [
    an_element,
    integers,
    recurrence,
    backwards,
    only_outputs,
    only_carry,
    slices_of_unknowns,
    matrices,
    forward_algorithm,
    branches,
    masks,
    nested,
    two_loops,
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=[f.__name__ for f in FUNCTIONS])
def test_scan(function):
    z = torch.linspace(-0.6, 0.8, 6, dtype=torch.float64)
    graph = gradient_graph(function, z)
    verify(graph)
    assert any(node.op == "scan" for node in graph.nodes())
    native = NativeFunction(graph)
    for scale in (1.0, 0.5, -0.7):
        leaf = (z * scale).requires_grad_()
        with double_precision():
            value = function(leaf)
            (gradient,) = torch.autograd.grad(value, leaf)
        for other, other_gradient in (evaluate(graph, [z * scale]), native.value_and_grad(z * scale)):
            assert other.item() == pytest.approx(value.item(), rel=1e-11)
            assert (other_gradient - gradient).abs().max() <= 1e-11 * max(1.0, gradient.abs().max().item())


def test_the_graph_does_not_grow_with_the_steps():
    def function(length):
        data = torch.randn(length)

        def density(z):
            last, _ = scan(lambda c, x, at: ([torch.tanh(c[0] * z[0] + x[0])], []), [z[1]], [data], length)
            return last[0]

        return density

    z = torch.zeros(2, dtype=torch.float64)
    short, long = (gradient_graph(function(length), z) for length in (5, 5000))
    assert len(short.nodes()) == len(long.nodes())


def test_a_carry_that_changes_shape_is_refused():
    def function(z):
        last, _ = scan(lambda c, x, at: ([torch.cat([c[0], z[:1]])], []), [z[:2]], [X], STEPS)
        return last[0].sum()

    z = torch.zeros(6, dtype=torch.float64)
    with pytest.raises(ShapeError, match="changes the shape"):
        function(z)
    with pytest.raises(ShapeError, match="changes the shape"):
        capture(function, [z])


def test_a_body_that_writes_outside_is_refused():
    def function(z):
        store = z * 2

        def step(carry, part, at):
            store[0] = carry[0]
            return [carry[0] + 1], []

        scan(step, [z[0]], [X], STEPS)
        return store.sum()

    with pytest.raises(CaptureError, match="writes to a tensor of outside"):
        capture(function, [torch.zeros(6, dtype=torch.float64)])
