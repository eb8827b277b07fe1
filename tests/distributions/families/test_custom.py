"""CustomDist: what the functions are given, what is asked of them, and mistakes."""

from __future__ import annotations

import pickle

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions import constraints
from pyroxene.distributions.families.custom import CustomDist
from pyroxene.errors import CannotSampleError, ParameterError, SupportError, UnsupportedError, UsageError

F64 = torch.float64


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def log_density(value, loc, scale):
    return dist.Normal(loc, scale).log_prob(value)


def sampler(shape, loc, scale):
    return loc + scale * torch.randn(shape, dtype=loc.dtype)


def walk_density(value, steps):
    """A vector whose increments are normal with scales of their own."""
    increments = torch.cat([value[..., :1], value[..., 1:] - value[..., :-1]], -1)
    return dist.Normal(0.0, steps).log_prob(increments).sum(-1)


def walk_sampler(shape, steps):
    return (torch.randn((*shape, steps.shape[-1]), dtype=steps.dtype) * steps).cumsum(-1)


def number(value):
    return torch.tensor(value, dtype=F64)


def test_both_functions_make_a_distribution():
    loc = torch.randn(3, dtype=F64, requires_grad=True)
    d = CustomDist(log_density, sampler, has_rsample=True, loc=loc, scale=2.0)
    assert d.batch_shape == (3,) and d.event_shape == ()
    assert d.parameters["scale"].dtype == F64
    value = d.rsample((4,))
    assert value.shape == (4, 3)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), loc)[0], torch.full((3,), 4.0, dtype=F64))
    assert not d.sample().requires_grad
    torch.testing.assert_close(d.log_prob(value), dist.Normal(loc, 2.0).log_prob(value))


def test_parameters_with_an_event_and_expansion():
    steps = torch.rand(2, 4, dtype=F64) + 0.5
    vector = {"steps": constraints.independent(constraints.positive, 1)}
    d = CustomDist(
        walk_density,
        walk_sampler,
        support=constraints.real_vector,
        event_shape=(4,),
        parameter_constraints=vector,
        steps=steps,
    )
    assert d.batch_shape == (2,) and d.event_shape == (4,)
    wide = d.expand((3, 2))
    assert type(wide) is CustomDist and wide.sample((5,)).shape == (5, 3, 2, 4)
    value = d.sample()
    factor = torch.tril(torch.ones(4, 4, dtype=F64)) * steps.unsqueeze(-2)
    exact = dist.MultivariateNormal(torch.zeros(4, dtype=F64), scale_tril=factor)
    torch.testing.assert_close(d.log_prob(value), exact.log_prob(value))
    torch.testing.assert_close(wide.log_prob(value), exact.log_prob(value).expand(3, 2))
    shapes = CustomDist.infer_shapes(walk_density, event_shape=(4,), parameter_constraints=vector, steps=(2, 4))
    assert shapes == (d.batch_shape, d.event_shape)


def test_one_function_alone():
    observed = CustomDist(log_density, loc=0.0, scale=1.0)
    assert observed.log_prob(torch.zeros(2)).shape == (2,)
    with pytest.raises(CannotSampleError, match="no sampler"):
        observed.sample()
    simulated = CustomDist(sampler=sampler, loc=torch.zeros(2), scale=1.0)
    assert simulated.sample((3,)).shape == (3, 2) and not simulated.has_rsample
    with pytest.raises(UnsupportedError, match="no log density"):
        simulated.log_prob(torch.zeros(2))
    with pytest.raises(NotImplementedError, match="reparameterised"):
        simulated.rsample()


def test_a_density_that_does_not_depend_on_the_parameters_is_expanded():
    d = CustomDist(lambda value, rate: -value, rate=torch.ones(3))
    assert d.log_prob(torch.tensor(1.0)).shape == (3,)


def test_pickles_where_its_functions_do():
    d = CustomDist(log_density, sampler, loc=number(0.3), scale=number(2.0))
    twin = pickle.loads(pickle.dumps(d))
    assert torch.equal(twin.log_prob(number(1.0)), d.log_prob(number(1.0)))


def test_float32_and_integers():
    d = CustomDist(log_density, sampler, loc=torch.tensor(0.0), scale=2)
    assert d.parameters["scale"].dtype == torch.float32
    assert d.sample().dtype == torch.float32
    assert CustomDist(lambda value, n: value * n, n=3).parameters["n"].dtype == torch.int64


def test_mistakes():
    with pytest.raises(UsageError, match="neither"):
        CustomDist(rate=1.0)
    with pytest.raises(UsageError, match="reparameterised"):
        CustomDist(log_density, has_rsample=True, loc=0.0, scale=1.0)
    with pytest.raises(UsageError, match="no parameter"):
        CustomDist(log_density, parameter_constraints={"rate": constraints.positive}, loc=0.0, scale=1.0)
    with pytest.raises(ParameterError, match="scale"):
        CustomDist(
            log_density,
            parameter_constraints={"scale": constraints.positive},
            validate_args=True,
            loc=0.0,
            scale=-1.0,
        )
    with pytest.raises(UsageError, match="another shape"):
        CustomDist(sampler=lambda shape, loc: loc.new_zeros(7), loc=torch.zeros(2)).sample()
    with pytest.raises(SupportError):
        CustomDist(log_density, support=constraints.positive, validate_args=True, loc=0.0, scale=1.0).log_prob(
            torch.tensor(-1.0)
        )
