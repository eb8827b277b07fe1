"""Conditional distributions and transforms: what `condition` returns, and what it shares."""

from __future__ import annotations

import pickle

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.distributions import transforms as T
from pyroxene.distributions.conditional import (
    ConditionalComposeTransformModule,
    ConditionalDistribution,
    ConditionalTransform,
    ConditionalTransformedDistribution,
    ConditionalTransformModule,
    ConstantConditionalDistribution,
    ConstantConditionalTransform,
)
from pyroxene.infer import SVI, Trace_ELBO

BASE = dist.Normal(torch.zeros(3), torch.ones(3)).to_event(1)
CONTEXT = torch.tensor([0.5, -1.0])


class Shifted(ConditionalDistribution):
    """A normal distribution whose mean is the context's first entry."""

    def condition(self, context: torch.Tensor) -> dist.Normal:
        return dist.Normal(context[..., :1].expand(context.shape[:-1] + (3,)), 1.0).to_event(1)


class Scaled(ConditionalTransform):
    """A scale which is the exponential of the context's last entry."""

    def condition(self, context: torch.Tensor) -> T.AffineTransform:
        return T.AffineTransform(0.0, context[..., -1:].exp())


@pytest.mark.parametrize("cls", [ConditionalDistribution, ConditionalTransform, ConditionalTransformModule])
def test_abstract(cls: type) -> None:
    with pytest.raises(TypeError, match="condition"):
        cls()


def test_constants_ignore_the_context() -> None:
    exp = T.ExpTransform()
    assert ConstantConditionalDistribution(BASE).condition(CONTEXT) is BASE
    assert ConstantConditionalTransform(exp).condition(CONTEXT) is exp


def test_base_and_transforms_may_each_depend_on_the_context() -> None:
    flow = ConditionalTransformedDistribution(Shifted(), [Scaled(), T.ExpTransform()])
    d = flow.condition(CONTEXT)
    assert isinstance(d, dist.TransformedDistribution) and d.event_shape == (3,)
    value = torch.tensor([0.1, 1.0, 2.0])
    scale = CONTEXT[1].exp()
    expected = dist.Normal(CONTEXT[0] * scale, scale).log_prob(value.log()) - value.log()
    torch.testing.assert_close(d.log_prob(value), expected.sum())
    contexts = torch.randn(4, 2)
    assert flow.condition(contexts).log_prob(value).shape == (4,)
    torch.testing.assert_close(flow.condition(contexts).log_prob(value)[1], flow.condition(contexts[1]).log_prob(value))


def test_one_transform_needs_no_list() -> None:
    flow = ConditionalTransformedDistribution(BASE, Scaled())
    torch.testing.assert_close(flow.condition(torch.zeros(2)).log_prob(torch.ones(3)), BASE.log_prob(torch.ones(3)))


def test_clear_cache_reaches_the_plain_transforms() -> None:
    plain = T.planar(3)
    flow = ConditionalTransformedDistribution(BASE, [T.conditional_radial(3, 2), plain])
    flow.condition(CONTEXT).rsample()
    assert plain._cached_x_y[0] is not None
    flow.clear_cache()
    assert plain._cached_x_y == (None, None) and plain._cached_jacobian is None


def test_chains_register_their_parts() -> None:
    torch.manual_seed(0)
    parts = [T.conditional_planar(3, 2), Scaled(), T.radial(3), T.Permute([2, 0, 1])]
    chain = ConditionalComposeTransformModule(parts)
    assert {id(p) for p in chain.parameters()} == {id(p) for i in (0, 2) for p in parts[i].parameters()}
    x = torch.randn(5, 3)
    conditioned = chain.condition(CONTEXT)
    assert isinstance(conditioned, T.ComposeTransformModule)
    y = x
    for part in parts:
        y = (part.condition(CONTEXT) if isinstance(part, ConditionalTransform) else part)(y)
    torch.testing.assert_close(conditioned(x), y)
    assert conditioned.log_abs_det_jacobian(x, y).shape == (5,)
    clone = pickle.loads(pickle.dumps(chain))
    torch.testing.assert_close(clone.condition(CONTEXT)(x), y)
    assert ConditionalComposeTransformModule(parts[:1], cache_size=1).condition(CONTEXT)._cache_size == 1
    assert chain.inv.inv is chain


def test_the_inverse_shares_parameters() -> None:
    flow = T.conditional_planar(3, 2)
    inverse = flow.inv
    assert isinstance(inverse, ConditionalTransformModule)
    assert {id(p) for p in inverse.parameters()} == {id(p) for p in flow.parameters()}
    x = torch.randn(3)
    torch.testing.assert_close(inverse.condition(CONTEXT)(flow.condition(CONTEXT)(x)), x, atol=1e-5, rtol=0)


def test_a_conditional_flow_learns_to_use_the_context() -> None:
    pyroxene.set_rng_seed(0)
    torch.manual_seed(0)
    context = torch.randn(60, 1)
    data = 2 * context + 0.3 * torch.randn(60, 2)
    transform = T.conditional_affine_coupling(2, 1, [16])
    chain = ConditionalComposeTransformModule([transform, T.Permute([1, 0]), T.conditional_affine_coupling(2, 1, [16])])
    base = dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)
    flow = ConditionalTransformedDistribution(base, [chain])

    def model() -> None:
        pyroxene.module("flow", chain)
        with pyroxene.plate("data", len(data)):
            pyroxene.sample("x", flow.condition(context), obs=data)

    svi = SVI(model, lambda: None, pyroxene.optim.Adam({"lr": 0.02}), Trace_ELBO())
    losses = [svi.step() for _ in range(30)]
    assert losses[-1] < losses[0] - 30
    assert set(pyroxene.get_param_store().keys()) == {f"flow$$${name}" for name, _ in chain.named_parameters()}
