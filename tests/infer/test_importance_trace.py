"""One particle: the guide's run, the model's along it, and their log densities."""

from __future__ import annotations

import math

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine, settings
from pyroxene.distributions.testing.fakes import NonreparameterizedNormal
from pyroxene.errors import GuideError, ShapeError
from pyroxene.infer import get_importance_trace


def model(y, scale=1.0):
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    with pyro.plate("p", 4, subsample_size=2) as index:
        pyro.sample("y", dist.Normal(x, scale), obs=y[index])


def guide(y, scale=1.0):
    pyro.sample("x", dist.Normal(pyro.param("m", torch.tensor(1.0)), scale))


def traces(detach=False, graph_type="flat", guide=guide):
    return get_importance_trace(graph_type, math.inf, model, guide, (torch.zeros(4),), {"scale": 0.5}, detach)


def test_the_model_runs_along_the_guide():
    model_trace, guide_trace = traces()
    x = guide_trace.nodes["x"]["value"]
    assert model_trace.nodes["x"]["value"] is x and x.requires_grad
    assert model_trace.nodes["x"]["log_prob"].item() == pytest.approx(dist.Normal(0.0, 1.0).log_prob(x).item())
    assert guide_trace.nodes["x"]["log_prob"].item() == pytest.approx(dist.Normal(1.0, 0.5).log_prob(x).item())
    expected = 2 * dist.Normal(x, 0.5).log_prob(torch.zeros(2))  # two of four stand for all
    assert torch.allclose(model_trace.nodes["y"]["log_prob"], expected)
    assert model_trace.nodes["y"]["log_prob_sum"].item() == pytest.approx(expected.sum().item())


def test_score_parts_say_how_a_site_is_differentiated():
    parts = traces()[1].nodes["x"]["score_parts"]
    assert parts.score_function == 0 and parts.entropy_term is parts.log_prob

    def by_score(y, scale):
        pyro.sample("x", NonreparameterizedNormal(pyro.param("m", torch.tensor(1.0)), scale))

    parts = traces(guide=by_score)[1].nodes["x"]["score_parts"]
    assert torch.equal(parts.score_function, parts.log_prob)


def test_draws_of_indices_are_left_out_of_both():
    def plated(y, scale):
        guide(y, scale)
        with pyro.plate("p", 4, subsample_size=2):
            pass

    for run in traces(guide=plated):
        assert "p" not in run.nodes and "x" in run.nodes


def test_values_may_carry_no_gradient():
    model_trace, guide_trace = traces(detach=True)
    assert not model_trace.nodes["x"]["value"].requires_grad
    assert guide_trace.nodes["x"]["log_prob"].requires_grad  # the density still depends on the parameter


def test_dense_traces_have_edges():
    model_trace, _ = traces(graph_type="dense")
    assert model_trace.graph_type == "dense" and list(model_trace.edges) == [("x", "y")]


def test_the_draws_are_those_of_pyro():
    """The guide draws first, then the model's plate; by torch's generator."""
    pyro.set_rng_seed(7)
    noise, index = torch.randn(()), torch.randperm(4)[:2]
    pyro.set_rng_seed(7)
    y = torch.arange(4.0)
    model_trace, _ = get_importance_trace("flat", math.inf, model, guide, (y,), {})
    assert model_trace.nodes["x"]["value"].item() == pytest.approx(1 + noise.item())
    assert torch.equal(model_trace.nodes["y"]["value"], y[index])


def test_checks_can_be_switched_off():
    def other(y, scale):
        guide(y, scale)
        pyro.sample("extra", dist.Normal(torch.zeros(2), 1.0))

    with pytest.raises(GuideError, match="in guide but not model"):
        traces(guide=other)
    with settings.context(validate_infer=False):
        assert "extra" in traces(guide=other)[1].nodes

    def wide(y, scale):
        pyro.sample("x", dist.Normal(torch.zeros(3), scale))

    with pytest.raises((GuideError, ShapeError), match="x"):
        traces(guide=wide)


def test_a_bad_shape_is_found_in_the_guide_s_own_sites():
    def auxiliary(y, scale):
        guide(y, scale)
        pyro.sample("u", dist.Normal(torch.zeros(2), 1.0), infer={"is_auxiliary": True})

    with pytest.raises(ShapeError, match='at site "u"'):
        traces(guide=auxiliary)


def test_a_trace_around_it_sees_the_parameters():
    with poutine.trace(param_only=True) as around:
        traces()
    assert list(around.trace.nodes) == ["m"]
