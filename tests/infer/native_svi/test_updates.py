"""The optimisers' rules in C against torch's, on the same gradients."""

from __future__ import annotations

import copy

import numpy
import pytest
import torch

from pyroxene import optim
from pyroxene.compiler.compile import noisy_gradient_graph
from pyroxene.compiler.engines.native.program import NativeProgram
from pyroxene.errors import CaptureError
from pyroxene.infer.native_svi.loop import Loop
from pyroxene.infer.native_svi.updates import Updates

OPTIMISERS = {
    "SGD": lambda: optim.SGD({"lr": 0.1, "weight_decay": 0.01, "maximize": True}),
    "momentum": lambda: optim.SGD({"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "nesterov": lambda: optim.SGD({"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "Adam": lambda: optim.Adam({"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    "amsgrad": lambda: optim.Adam({"lr": 0.1, "amsgrad": True, "betas": (0.5, 0.7)}),
    "AdamW": lambda: optim.AdamW({"lr": 0.1, "weight_decay": 0.2}),
    "decoupled Adam": lambda: optim.Adam({"lr": 0.1, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    "ClippedAdam": lambda: optim.ClippedAdam({"lr": 0.1, "lrd": 0.9, "clip_norm": 0.5, "weight_decay": 0.1}),
    "centred ClippedAdam": lambda: optim.ClippedAdam({"lr": 0.1, "centered_variance": True}),
    "RMSprop": lambda: optim.RMSprop({"lr": 0.1, "weight_decay": 0.1}),
    "RMSprop with all": lambda: optim.RMSprop({"lr": 0.1, "centered": True, "momentum": 0.5, "maximize": True}),
    "Adagrad": lambda: optim.Adagrad(
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}
    ),
    "clipped by norm": lambda: optim.Adam({"lr": 0.1}, {"clip_norm": 0.4}),
    "clipped by value": lambda: optim.SGD({"lr": 0.1}, {"clip_norm": 5.0, "clip_value": 0.2}),
}


@pytest.fixture(scope="module")
def program():
    noisy = noisy_gradient_graph(lambda z, i: z.sum(), [torch.zeros(5, dtype=torch.float64), torch.zeros(1)])
    return NativeProgram(noisy.graph)


def gradients(generator):
    return torch.randn(2, 2, generator=generator, dtype=torch.float64), torch.randn(
        1, generator=generator, dtype=torch.float64
    )


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_rule_is_torch_s(name, program):
    optimiser = OPTIMISERS[name]()
    generator = torch.Generator().manual_seed(3)
    leaves = [
        torch.randn(2, 2, generator=generator, dtype=torch.float64).requires_grad_(True),
        torch.randn(1, generator=generator, dtype=torch.float64).requires_grad_(True),
    ]
    for leaf, gradient in zip(leaves, gradients(generator)):
        leaf.grad = gradient
    optimiser(leaves)
    updates = Updates(optimiser, leaves)
    loop = Loop(program, 5, [], [], {}, [], 1)
    loop.set_groups(updates.rows, updates.starts)
    twins = [leaf.detach().clone().requires_grad_(True) for leaf in leaves]
    other = OPTIMISERS[name]()
    other.set_state(optimiser.get_state())
    starts = [int(start) for start in updates.starts]
    loop.set_mirrors(
        [
            *((loop.parameters, start, leaf) for start, leaf in zip(starts, updates.leaves)),
            *updates.mirrors(loop.vectors),
        ]
    )
    for _ in range(4):
        updates.read()
        loop.find_mirrors()
        given = gradients(generator)
        loop.gradient[:] = numpy.concatenate([gradient.reshape(-1).numpy() for gradient in given])
        loop.update()
        updates.write()
        for twin, gradient in zip(twins, given):
            twin.grad = gradient.clone()
        other(twins)
        for leaf, twin in zip(leaves, twins):
            torch.testing.assert_close(leaf, twin, rtol=1e-12, atol=1e-13)
    mine, theirs = optimiser.get_state(), other.get_state()
    for one, two in zip(mine.values(), theirs.values()):
        assert one["param_groups"][0]["lr"] == pytest.approx(two["param_groups"][0]["lr"], rel=1e-12)
        for key, value in two["state"].get(0, {}).items():
            torch.testing.assert_close(one["state"][0][key], value, rtol=1e-12, atol=1e-13)


def test_what_has_no_rule_is_refused():
    leaf = torch.zeros(2, requires_grad=True)
    leaf.grad = torch.ones(2)
    adamax = optim.Adamax({"lr": 0.1})
    adamax([leaf])
    with pytest.raises(CaptureError, match="Adamax has no form in C"):
        Updates(adamax, [leaf])
    with pytest.raises(CaptureError, match="no optimiser of pyroxene.optim"):
        Updates(lambda leaves: None, [leaf])


def test_parameters_of_unequal_age_are_refused():
    old, young = (torch.zeros(1, requires_grad=True) for _ in range(2))
    old.grad, young.grad = torch.ones(1), None
    adam = optim.Adam({"lr": 0.1})
    adam([old, young])
    young.grad = torch.ones(1)
    adam([old, young])
    with pytest.raises(CaptureError, match="different numbers of steps"):
        Updates(adam, [old, young])


def test_an_optimiser_that_is_rearranged_is_noticed():
    leaf = torch.zeros(2, requires_grad=True)
    leaf.grad = torch.ones(2)
    adam = optim.Adam({"lr": 0.1})
    adam([leaf])
    updates = Updates(adam, [leaf])
    assert updates.is_current
    adam.set_state(copy.deepcopy(adam.get_state()))
    assert not updates.is_current
