"""What is checked before a trace is believed."""

from __future__ import annotations

import math
import re
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
from pyroxene.poutine.message import CondIndepStackFrame


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


@pytest.mark.parametrize(
    ("shape", "plates", "nesting", "fits"),
    [  # as in pyro-ppl 1.9.2
        ([], [], 0, True),
        ([3], [(-1, 3)], 1, True),
        ([], [(-1, 1)], 1, True),
        ([1], [(-1, 3)], 1, False),
        ([2], [(-1, 3)], 1, False),
        ([3], [(-1, -1)], 1, True),
        ([3, 2], [(-2, 3), (-1, 2)], 2, True),
        ([3, 2], [(-2, 3)], 2, True),  # right of a plate any size goes
        ([3, 2], [(-1, 2)], math.inf, False),  # left of all plates none does
        ([3, 2], [(-1, 2)], 1, True),  # but it may be enumeration's
        ([7, 1, 2], [(-1, 2)], 2, True),
        ([7, 5, 2], [(-1, 2)], 2, False),
        ([4, 5], [], 0, True),
        ([4], [(None, 9), (-1, 4)], 1, True),  # a loop takes no dimension
        ([2, 1, 1], [(-3, 2)], 1, False),
        ([], [(-1, 1), (-1, 1)], 2, False),
    ],
)
def test_shapes_and_plates(shape, plates, nesting, fits):
    frames = tuple(CondIndepStackFrame(f"p{i}", dim, size, 0) for i, (dim, size) in enumerate(plates))
    value = torch.zeros(shape)
    found = {"name": "x", "log_prob": value, "cond_indep_stack": frames, "fn": dist.Normal(value, 1.0), "value": value}
    if fits:
        check_site_shape(found, nesting)
        return
    with pytest.raises(ShapeError, match='at site "x"') as caught:
        check_site_shape(found, nesting)
    assert isinstance(caught.value, ValueError)


def test_two_plates_of_one_dim_are_named():
    frames = (CondIndepStackFrame("rows", -1, 2, 0), CondIndepStackFrame("columns", -1, 2, 0))
    with pytest.raises(ShapeError, match="two plates want dim -1") as caught:
        check_site_shape({"name": "x", "log_prob": torch.zeros(2), "cond_indep_stack": frames}, 2)
    assert caught.value.plate == "columns"


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


def normal(name, shape=(), event_dim=0, obs=None, **infer):
    pyro.sample(name, dist.Normal(torch.zeros(shape), 1.0).to_event(event_dim), obs=obs, infer=infer)


@pytest.mark.parametrize(
    ("model", "guide", "says"),
    [
        (lambda: normal("x"), lambda: normal("y"), "in guide but not model: ['y']"),
        (lambda: normal("x", obs=torch.tensor(0.0)), lambda: normal("x"), "which the model observes"),
        (lambda: normal("x"), lambda: None, "in model but not guide: ['x']"),
        (lambda: normal("x"), lambda: normal("x", obs=torch.tensor(0.0)), "observed vars in guide: ['x']"),
        (lambda: normal("x"), lambda: normal("x", is_auxiliary=True), "auxiliary vars in the model: ['x']"),
        (lambda: normal("x", (2,), 1), lambda: normal("x", (2,)), "event_dims disagree at site 'x': 1 vs 0"),
        (lambda: normal("x", (2,)), lambda: normal("x", (3,)), "shapes disagree at site 'x': (2,) vs (3,)"),
        (lambda: normal("x", (2,), 1), lambda: normal("x", (4, 2), 1), "shapes disagree at site 'x': (2,) vs (4, 2)"),
    ],
)
def test_what_does_not_fit_is_named(model, guide, says):
    with pytest.raises(GuideError, match=re.escape(says)) as caught:
        check_model_guide_match(traced(model), traced(guide))
    assert isinstance(caught.value, ValueError) and caught.value.site in ("x", "y")


def test_dimensions_of_enumeration_may_differ():
    model, guide = traced(lambda: normal("x", (5, 1, 2))), traced(lambda: normal("x", (2,)))
    check_model_guide_match(model, guide, 1)
    with pytest.raises(GuideError, match="shapes disagree"):
        check_model_guide_match(model, guide)


def test_a_site_that_the_model_enumerates_needs_no_guide():
    def model():
        pyro.sample("k", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    trace = pyro.poutine.trace(pyro.poutine.enum(model, first_available_dim=-1)).get_trace()
    check_model_guide_match(trace, traced(lambda: None), 0)


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
        check_traceenum_requirements(run(bad), run(good))  # the model's sites are eliminated in any order
    with pytest.warns(UserWarning, match=r"guide: site 'a' outside plates \['p'\] follows the enumerated site 'b'"):
        check_traceenum_requirements(run(good), run(bad))
