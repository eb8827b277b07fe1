"""Random operations as functions of noise: recorded, native, and eager from given noise."""

from __future__ import annotations

import pytest
import torch
import torch.distributions as td

from pyroxene.compiler.capture import capture, capture_noisy
from pyroxene.compiler.compile import noisy_gradient_graph
from pyroxene.compiler.engines.native.program import NativeProgram
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.noise import GivenNoise
from pyroxene.errors import CaptureError

WIDE = torch.float64

DRAWS = {
    "Normal": lambda z: td.Normal(z[:2], z[2:4].exp()).rsample(),
    "MultivariateNormal": lambda z: td.MultivariateNormal(z[:2], scale_tril=torch.eye(2) * z[2].exp()).rsample(),
    "LowRank": lambda z: td.LowRankMultivariateNormal(z[:2], z[2:4, None], z[:2].exp()).rsample(),
    "LogNormal": lambda z: td.LogNormal(z[:2], z[2:4].exp()).rsample(),
    "Laplace": lambda z: td.Laplace(z[:2], z[2:4].exp()).rsample((3,)),
    "Cauchy": lambda z: torch.tanh(td.Cauchy(z[:2], z[2:4].exp()).rsample()),
    "HalfCauchy": lambda z: torch.tanh(td.HalfCauchy(z[:2].exp()).rsample()),
    "Exponential": lambda z: td.Exponential(z[:2].exp()).rsample(),
    "Weibull": lambda z: td.Weibull(z[:2].exp(), z[2:4].exp()).rsample(),
    "Uniform": lambda z: td.Uniform(z[:2], z[:2] + z[2:4].exp()).rsample(),
    "Gumbel": lambda z: td.Gumbel(z[:2], z[2:4].exp()).rsample(),
    "Kumaraswamy": lambda z: td.Kumaraswamy(z[:2].exp(), z[2:4].exp()).rsample(),
    "Pareto": lambda z: td.Pareto(z[:2].exp(), 3.0 + z[2:4].exp()).rsample(),
    "RelaxedBernoulli": lambda z: td.RelaxedBernoulli(z[0].exp(), logits=z[1:3]).rsample(),
    "Gamma": lambda z: td.Gamma(z[:2].exp(), z[2:4].exp()).rsample(),
    "small Gamma": lambda z: td.Gamma(z[:2].exp() * 0.1, z[2:4].exp()).rsample((3,)),
    "large Gamma": lambda z: td.Gamma(z[:2].exp() * 300.0, z[2:4].exp()).rsample((3,)),
    "InverseGamma": lambda z: td.InverseGamma(2.0 + z[:2].exp(), z[2:4].exp()).rsample(),
    "StudentT": lambda z: td.StudentT(3.0 + z[0].exp(), z[1:3], z[3].exp()).rsample(),
    "randn_like": lambda z: z + torch.randn_like(z) * torch.rand(4),
    "torch.normal": lambda z: torch.normal(0.5, 2.0, (4,)) * z,
    "torch.normal of tensors": lambda z: torch.normal(torch.zeros(4), torch.ones(4)) * z,
}


def total(draw):
    def function(z):
        return draw(z).sum() + (draw(z) * draw(z)).sum()

    return function


@pytest.fixture(autouse=True)
def unvalidated(monkeypatch):
    monkeypatch.setattr(td.Distribution, "_validate_args", False)


@pytest.mark.parametrize("name", DRAWS)
def test_native_and_eager_agree_on_the_same_noise(name):
    function = total(DRAWS[name])
    z = torch.tensor([0.3, -0.2, 0.1, 0.4], dtype=WIDE)
    noisy = noisy_gradient_graph(function, [z])
    generator = torch.Generator().manual_seed(3)
    numbers = {"normal": torch.randn, "uniform": torch.rand, "wide": torch.rand, "key": torch.rand}
    noise = torch.cat([numbers[d.kind](d.size, generator=generator, dtype=WIDE) for d in noisy.draws])
    assert noisy.noise_size == len(noise) > 0
    leaf = z.clone().requires_grad_(True)
    with GivenNoise(noise) as given:
        value = function(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
    assert given.used == len(noise)
    for other, other_gradient in (NativeProgram(noisy.graph)([z, noise]), evaluate(noisy.graph, [z, noise])):
        torch.testing.assert_close(other, value.detach(), rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(other_gradient, gradient, rtol=1e-10, atol=1e-11)


def test_draws_are_independent_of_each_other_and_of_the_generator():
    before = torch.get_rng_state()
    noisy = capture_noisy(lambda z: torch.randn(3).sum() * z[0] + torch.rand(2).sum(), [torch.ones(1, dtype=WIDE)])
    assert torch.equal(torch.get_rng_state(), before)
    assert [(d.kind, d.shape, d.start) for d in noisy.draws] == [("normal", (3,), 0), ("uniform", (2,), 3)]
    noise = torch.arange(5, dtype=WIDE)
    assert evaluate(noisy.graph, [torch.full((1,), 2.0, dtype=WIDE), noise])[0] == 2 * (0 + 1 + 2) + 3 + 4


def test_integers_may_be_arguments():
    data = torch.tensor([1.0, 10.0, 100.0])
    index = torch.tensor([2, 0])
    noisy = noisy_gradient_graph(lambda z, i: (z[0] * data[i]).sum(), [torch.ones(1, dtype=WIDE), index])
    program = NativeProgram(noisy.graph)
    z = torch.full((1,), 3.0, dtype=WIDE)
    assert program([z, index, torch.zeros(0)])[0] == 303.0
    value, gradient = program([z, torch.tensor([1, 1]), torch.zeros(0)])
    assert (value, gradient) == (60.0, 20.0)


def test_indices_that_are_kept_serve_gathers_and_their_gradients():
    index = torch.tensor([2, 0, 2])

    def function(z, i):
        rows = z[i]
        return (rows * rows.sum()).sum() + (z.cumsum(0)[i] * torch.randn(3)).sum()

    z = torch.tensor([0.3, -0.2, 0.1, 0.4], dtype=WIDE)
    noisy = noisy_gradient_graph(function, [z, index])
    noise = torch.tensor([0.5, -1.0, 2.0], dtype=WIDE)
    leaf = z.clone().requires_grad_(True)
    with GivenNoise(noise):
        value = function(leaf, index)
    value.backward()
    found, gradient = NativeProgram(noisy.graph)([z, index, noise])
    torch.testing.assert_close(found, value.detach())
    torch.testing.assert_close(gradient, leaf.grad)


def test_no_gradient_passes_a_detached_value():
    noisy = noisy_gradient_graph(lambda z: (z * z.detach() + torch.randn(2)).sum(), [torch.ones(2, dtype=WIDE)])
    z = torch.tensor([2.0, 3.0], dtype=WIDE)
    assert evaluate(noisy.graph, [z, torch.zeros(2, dtype=WIDE)])[1].tolist() == [2.0, 3.0]


def test_a_random_operation_without_a_form_is_refused():
    with pytest.raises(CaptureError, match="randperm draws random numbers"):
        capture_noisy(lambda z: z[torch.randperm(2)].sum(), [torch.ones(2, dtype=WIDE)])


def test_a_plain_capture_refuses_randomness_still():
    with pytest.raises(CaptureError, match="would freeze them"):
        capture(lambda z: z * torch.randn(1), [torch.ones(1, dtype=WIDE)])
