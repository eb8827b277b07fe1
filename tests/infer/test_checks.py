"""What is checked before a trace is believed."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.errors import GuideError, ShapeError
from pyroxene.infer.checks import (
    check_model_guide_match,
    check_site_shape,
    check_traceenum_requirements,
    ignore_experimental_warning,
    ignore_jit_warnings,
    torch_isinf,
    torch_isnan,
    warn_if_inf,
    warn_if_nan,
)
from pyroxene.infer.importance_trace import get_importance_trace


def traced(program):
    trace = pyro.poutine.trace(program).get_trace()
    trace.compute_log_prob()
    return trace


def site(program, name="x"):
    return traced(program).nodes[name]


def test_shapes_that_plates_declare_pass():
    def model():
        with pyro.plate("rows", 3, dim=-2), pyro.plate("columns", 2, dim=-1):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    check_site_shape(site(model), math.inf)
    check_site_shape(site(model), 2)
    with pytest.raises(ShapeError, match="plate stack overflow"):
        check_site_shape({**site(model), "log_prob": torch.zeros(2)}, 1)


def test_a_plate_of_unknown_size_fits_everything():
    def model():
        with pyro.plate("p", dim=-1):
            pyro.sample("x", dist.Normal(torch.zeros(5), 1.0))

    check_site_shape(site(model), math.inf)


def test_dimensions_left_of_the_plates_are_enumeration_s():
    def model():
        with pyro.plate("p", 2, dim=-1):
            pyro.sample("x", dist.Normal(torch.zeros(7, 1, 2), 1.0))

    found = site(model)
    check_site_shape(found, 1)
    with pytest.raises(ShapeError, match="invalid log_prob shape"):
        check_site_shape(found, math.inf)


def test_a_batch_without_a_plate_is_named():
    with pytest.raises(ShapeError, match='at site "x", invalid log_prob shape') as caught:
        check_site_shape(site(lambda: pyro.sample("x", dist.Normal(torch.zeros(3), 1.0))), math.inf)
    assert caught.value.site == "x" and "plate('name', 3)" in str(caught.value)


def test_model_and_guide_that_fit_pass_and_plates_of_the_guide_alone_are_told():
    def model():
        pyro.sample("x", dist.Normal(0.0, 1.0))

    def guide():
        pyro.sample("u", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
        pyro.deterministic("d", torch.zeros(()))
        pyro.factor("f", torch.zeros(()), has_rsample=True)
        with pyro.plate("other", 2):
            pass
        pyro.sample("x", dist.Normal(0.0, 1.0))

    with pytest.warns(UserWarning, match=r"plate statements in guide but not model: \['other'\]"):
        check_model_guide_match(traced(model), traced(guide))
    with pytest.raises(GuideError, match="in model but not guide"):
        check_model_guide_match(traced(model), traced(lambda: None))


def test_get_importance_trace_replays_scores_and_detaches():
    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("p", 2):
            pyro.sample("y", dist.Normal(x, 1.0), obs=y)

    def guide(y):
        pyro.sample("x", dist.Normal(pyro.param("m", torch.tensor(1.0)), 1.0))

    args = (torch.zeros(2),)
    model_trace, guide_trace = get_importance_trace("flat", math.inf, model, guide, args, {})
    assert model_trace.nodes["x"]["value"] is guide_trace.nodes["x"]["value"]
    assert model_trace.nodes["x"]["value"].requires_grad and "score_parts" in guide_trace.nodes["x"]
    assert "p" not in model_trace.nodes and model_trace.nodes["y"]["log_prob"].shape == (2,)
    model_trace, _ = get_importance_trace("flat", math.inf, model, guide, args, {}, detach=True)
    assert not model_trace.nodes["x"]["value"].requires_grad


def test_nan_and_inf_are_told():
    assert torch_isnan(torch.tensor([0.0, math.nan])) and torch_isnan(math.nan) and not torch_isnan(1.0)
    assert torch_isinf(torch.tensor([0.0, -math.inf])) and torch_isinf(math.inf) and not torch_isinf(torch.zeros(2))
    with pytest.warns(UserWarning, match="Encountered NaN: loss"):
        warn_if_nan(torch.tensor(math.nan), "loss")
    with pytest.warns(UserWarning, match=r"Encountered \+inf: loss"):
        warn_if_inf(torch.tensor(math.inf), "loss")
    with pytest.warns(UserWarning, match="Encountered -inf"):
        warn_if_inf(-math.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = torch.tensor([1.0, math.inf, -math.inf])
        assert warn_if_inf(value, allow_posinf=True, allow_neginf=True) is value
        assert warn_if_nan(1.0) == 1.0


def test_warnings_of_torch_s_tracer_can_be_silenced():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ignore_jit_warnings():
            warnings.warn("traced", torch.jit.TracerWarning, stacklevel=1)
        with ignore_jit_warnings(["this one", ("that", UserWarning)]):
            warnings.warn("this one", torch.jit.TracerWarning, stacklevel=1)
            warnings.warn("that", UserWarning, stacklevel=1)
            with pytest.raises(torch.jit.TracerWarning):
                warnings.warn("another", torch.jit.TracerWarning, stacklevel=1)
        with ignore_experimental_warning():
            warnings.warn("torch.x is experimental and may change", UserWarning, stacklevel=1)


def test_enumeration_outside_after_inside_is_told():
    def good():
        pyro.sample("a", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
        with pyro.plate("p", 2):
            pyro.sample("b", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    def bad():
        with pyro.plate("p", 2):
            pyro.sample("b", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
        pyro.sample("a", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    def run(program):
        return pyro.poutine.trace(pyro.poutine.enum(program, first_available_dim=-2)).get_trace()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_traceenum_requirements(run(good), run(good))
    with pytest.warns(UserWarning, match="site 'a' outside plates"):
        check_traceenum_requirements(run(bad), run(good))
