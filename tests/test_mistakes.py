"""Mistakes that users really make: each ends in an error that says where, expected, got and what to try.

One row a mistake. The function makes it; `site`, `plate` are what the message must name; `builtin` is the class that
Pyro raises, which programs may catch; `says` are words that the message must hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.density import log_density
from pyroxene.distributions import constraints
from pyroxene.errors import PyroxeneError
from pyroxene.infer import SVI, Predictive, Trace_ELBO, TraceMeanField_ELBO
from pyroxene.infer.autoguide import (
    AutoDiagonalNormal,
    AutoMultivariateNormal,
    AutoNormal,
    init_to_value,
)
from pyroxene.optim import Adam

NAN = float("nan")


@dataclass(frozen=True)
class Mistake:
    make: Callable[[], object]
    builtin: type[Exception]
    site: str | None = None
    plate: str | None = None
    says: tuple[str, ...] = ()


MISTAKES: dict[str, Mistake] = {}


def mistake(builtin, site=None, plate=None, says=()):
    def register(make):
        MISTAKES[make.__name__] = Mistake(make, builtin, site, plate, (says,) if isinstance(says, str) else tuple(says))
        return make

    return register


def empty_guide(*args, **kwargs):
    return None


def loss(model, guide=empty_guide, *args, **kwargs):
    return Trace_ELBO().loss(model, guide, *args, **kwargs)


# shapes and plates --------------------------------------------------------------------------------------------------


@mistake(ValueError, site="y", says=("log_prob of shape [3]", "plate"))
def undeclared_plate():
    def model():
        pyro.sample("y", dist.Normal(torch.zeros(3), 1.0), obs=torch.zeros(3))

    loss(model)


@mistake(ValueError, site="y", plate="data", says=("Shape mismatch", "3", "5"))
def wrong_batch_shape_in_a_plate():
    def model():
        with pyro.plate("data", 5):
            pyro.sample("y", dist.Normal(torch.zeros(3), 1.0), obs=torch.zeros(3))

    loss(model)


@mistake(ValueError, site="w", says=("event_dims disagree", "to_event"))
def guide_without_to_event():
    def model():
        pyro.sample("w", dist.Normal(torch.zeros(3), 1.0).to_event(1))

    def guide():
        pyro.sample("w", dist.Normal(torch.zeros(3), 1.0))

    loss(model, guide)


@mistake(ValueError, site="w", plate="rows", says="to_event")
def model_without_to_event():
    def model():
        with pyro.plate("rows", 4, dim=-1):
            pyro.sample("w", dist.Normal(torch.zeros(4, 3), 1.0))

    loss(model)


@mistake(ValueError, site="w", says=("shapes disagree", "(3,)", "(2,)"))
def guide_of_another_shape():
    def model():
        pyro.sample("w", dist.Normal(torch.zeros(3), 1.0).to_event(1))

    def guide():
        pyro.sample("w", dist.Normal(torch.zeros(2), 1.0).to_event(1))

    loss(model, guide)


@mistake(ValueError, site="y", plate="data", says=("broadcast", "(5,)", "(3,)"))
def observed_shape_that_cannot_broadcast():
    def model():
        with pyro.plate("data", 3):
            pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.zeros(5))

    loss(model)


@mistake(RuntimeError, site="p", says="Multiple sample sites named 'p'")
def plate_reused_at_another_size():
    def model():
        with pyro.plate("p", 3):
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.zeros(3))
        with pyro.plate("p", 4):
            pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.zeros(4))

    loss(model)


@mistake(ValueError, plate="p", says=("subsample_size", "10", "3"))
def subsample_larger_than_the_plate():
    pyro.plate("p", 3, subsample_size=10)


@mistake(ValueError, plate="p", says="size > 0")
def empty_plate():
    pyro.plate("p", 0)


@mistake(ValueError, plate="p", says=("no integer", "len(data)"))
def plate_of_the_data_itself():
    pyro.plate("p", torch.zeros(3).tolist())


@mistake(ValueError, plate="inner", says=("collide", "outer", "-1"))
def two_plates_at_one_dim():
    with pyro.plate("outer", 3, dim=-1), pyro.plate("inner", 4, dim=-1):
        pass


@mistake(ValueError, plate="p", says=("negative", "dim=-2"))
def plate_dim_from_the_left():
    with pyro.plate("p", 3, dim=1):
        pass


@mistake(ValueError, plate="p", says="already entered")
def plate_inside_itself():
    with pyro.plate("p", 3), pyro.plate("p", 3):
        pass


@mistake(ValueError, plate="p", says=("subsample_size", "model and guide"))
def model_and_guide_subsample_differently():
    def model():
        with pyro.plate("p", 10, subsample_size=4):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    def guide():
        with pyro.plate("p", 10, subsample_size=5):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    loss(model, guide)


@mistake(ValueError, site="scale", plate="p", says=("size 10", "event_dim"))
def parameter_that_does_not_fit_its_plate():
    def guide():
        with pyro.plate("p", 10, subsample_size=4):
            pyro.param("scale", torch.ones(7), event_dim=0)

    poutine.trace(guide).get_trace()


@mistake(ValueError, says="rightmost_dim < 0")
def plate_stack_from_the_left():
    with pyro.plate_stack("grid", (2, 3), rightmost_dim=1):
        pass


# names --------------------------------------------------------------------------------------------------------------


@mistake(RuntimeError, site="x", says=("Multiple sample sites named 'x'", "again"))
def name_used_twice():
    def model():
        for _ in range(2):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    loss(model, model)


@mistake(RuntimeError, site="x", says="param")
def one_name_for_a_parameter_and_a_variable():
    def model():
        pyro.param("x", torch.zeros(()))
        pyro.sample("x", dist.Normal(0.0, 1.0))

    loss(model, model)


# values -------------------------------------------------------------------------------------------------------------


@mistake(ValueError, site="y", says=("support", "-1"))
def value_outside_the_support():
    def model():
        pyro.sample("y", dist.Gamma(1.0, 1.0), obs=torch.tensor(-1.0))

    loss(model)


@mistake(ValueError, site="k", says="support")
def count_that_is_no_integer():
    def model():
        pyro.sample("k", dist.Poisson(2.0), obs=torch.tensor(1.5))

    loss(model)


@mistake(ValueError, site="k", plate="data", says="support")
def category_that_does_not_exist():
    def model():
        with pyro.plate("data", 2):
            pyro.sample("k", dist.Categorical(torch.ones(3)), obs=torch.tensor([0, 3]))

    loss(model)


@mistake(ValueError, site="y", plate="data", says=("nan", "missing values"))
def nan_in_the_data():
    def model():
        with pyro.plate("data", 3):
            pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor([0.0, NAN, 1.0]))

    loss(model)


@mistake(ValueError, site="x", says=("nan", "learning rate"))
def nan_in_a_parameter():
    pyro.param("loc", torch.zeros(()))
    pyro.param("loc").data.fill_(NAN)  # as a step of an optimiser that diverges does

    def model():
        pyro.sample("x", dist.Normal(pyro.param("loc"), 1.0))

    loss(model, model)


@mistake(ValueError, site="y", plate="data", says=("scale", "GreaterThan", "softplus"))
def negative_scale():
    def model():
        with pyro.plate("data", 2):
            pyro.sample("y", dist.Normal(0.0, torch.tensor(-1.0)), obs=torch.zeros(2))

    loss(model)


@mistake(ValueError, site="k", says="probs")
def negative_probability():
    def model():
        pyro.sample("k", dist.Categorical(torch.tensor([0.5, -0.1, 0.6])))

    loss(model, model)


@mistake(ValueError, site="x", says="covariance_matrix")
def covariance_that_is_not_positive_definite():
    def model():
        pyro.sample("x", dist.MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])))

    loss(model, model)


@mistake(ValueError, site="y", says=("float", "torch.as_tensor"))
def observation_that_is_no_tensor():
    def model():
        pyro.sample("y", dist.Normal(0.0, 1.0), obs=1.0)

    loss(model)


@mistake(ValueError, site="d", says=("torch.Tensor", "1.5"))
def deterministic_that_is_no_tensor():
    poutine.trace(lambda: pyro.deterministic("d", 1.5)).get_trace()


@mistake(TypeError, site="x", says=("not callable", "dist.Delta"))
def sample_without_a_distribution():
    poutine.trace(lambda: pyro.sample("x", 3.0)).get_trace()


@mistake(ValueError, site="y", says="bool")
def observation_mask_of_numbers():
    poutine.trace(
        lambda: pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.zeros(2), obs_mask=torch.ones(2))
    ).get_trace()


# model and guide ----------------------------------------------------------------------------------------------------


def two_sites():
    pyro.sample("a", dist.Normal(0.0, 1.0))
    pyro.sample("b", dist.Normal(0.0, 1.0))


@mistake(ValueError, site="b", says=("in model but not guide", "['a']"))
def model_site_missing_in_the_guide():
    loss(two_sites, lambda: pyro.sample("a", dist.Normal(0.0, 1.0)))


@mistake(ValueError, site="c", says=("in guide but not model", "is_auxiliary"))
def guide_site_missing_in_the_model():
    def guide():
        two_sites()
        pyro.sample("c", dist.Normal(0.0, 1.0))

    loss(two_sites, guide)


@mistake(ValueError, site="y", says="observe")
def guide_site_that_the_model_observes():
    def model():
        pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.zeros(()))

    loss(model, lambda: pyro.sample("y", dist.Normal(0.0, 1.0)))


@mistake(RuntimeError, site="a", says=("observed", "obs"))
def guide_with_observations():
    def guide():
        pyro.sample("a", dist.Normal(0.0, 1.0), obs=torch.zeros(()))
        pyro.sample("b", dist.Normal(0.0, 1.0))

    loss(two_sites, guide)


@mistake(ValueError, site="a", says="auxiliary")
def auxiliary_site_that_the_model_has():
    def guide():
        pyro.sample("a", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
        pyro.sample("b", dist.Normal(0.0, 1.0))

    loss(two_sites, guide)


@mistake(ValueError, site="k", says=("reparam", "TraceGraph_ELBO"))
def mean_field_elbo_of_a_discrete_guide():
    def model():
        pyro.sample("k", dist.Bernoulli(0.5))

    TraceMeanField_ELBO().loss(model, model)


@mistake(ValueError, site="k", says=("discrete", "got"))
def discrete_site_in_an_autoguide():
    AutoNormal(lambda: pyro.sample("k", dist.Poisson(3.0)))()


@mistake(ValueError, site="z", plate="p", says=("subsample", "AutoNormal"))
def autoguide_of_one_vector_over_a_subsampled_plate():
    def model():
        with pyro.plate("p", 10, subsample_size=3):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    AutoMultivariateNormal(model)()


@mistake(ValueError, says=("no latent variables", "empty guide"))
def autoguide_without_latent_variables():
    AutoDiagonalNormal(lambda: pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.zeros(())))()


@mistake(ValueError, site="z", says=("initial value", "(3,)", "init_to_value"))
def initial_value_of_another_shape():
    def model():
        with pyro.plate("p", 2):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    AutoNormal(model, init_loc_fn=init_to_value(values={"z": torch.zeros(3)}))()


# parameters ---------------------------------------------------------------------------------------------------------


@mistake(ValueError, says=("'w'", "another shape", "(3,)", "clear_param_store"))
def stale_parameter_of_another_shape():
    pyro.param("w", torch.zeros(3))
    pyro.param("w", torch.zeros(5))


@mistake(ValueError, says=("'w'", "another constraint", "clear_param_store"))
def stale_parameter_of_another_constraint():
    pyro.param("w", torch.ones(3))
    pyro.param("w", torch.ones(3), constraint=constraints.positive)


@mistake(ValueError, says=("'s'", "violates", "GreaterThan"))
def parameter_that_starts_outside_its_constraint():
    pyro.param("s", torch.tensor(-1.0), constraint=constraints.positive)


@mistake(ValueError, says=("'s'", "torch.tensor"))
def parameter_that_is_no_tensor():
    pyro.param("s", 1.0)


@mistake(KeyError, site="theta", says="initial value")
def parameter_without_a_first_value():
    pyro.param("theta")


@mistake(ValueError, site="not_a_module", says="torch.nn.Module")
def module_that_is_none():
    pyro.module("not_a_module", lambda x: x)


# handlers, algorithms, options --------------------------------------------------------------------------------------


@mistake(ValueError, says=("not callable", "by keyword"))
def handler_around_its_own_argument():
    poutine.scale(0.5)


@mistake(ValueError, says=("positive", "mask"))
def scale_of_zero():
    poutine.scale(scale=0.0)


@mistake(ValueError, says=("bool", ".bool()"))
def mask_of_numbers():
    poutine.mask(mask=torch.ones(3))


@mistake(ValueError, says="dict or a Trace")
def condition_on_a_tensor():
    poutine.condition(two_sites, data=torch.zeros(2))


@mistake(ValueError, says="twice")
def handler_inside_itself():
    handler = poutine.trace()
    with handler, handler:
        pass


@mistake(ValueError, says=("pyroxene.optim", "ELBO as a module"))
def svi_with_a_torch_optimiser():
    SVI(two_sites, two_sites, torch.optim.Adam([torch.zeros(1, requires_grad=True)]), Trace_ELBO())


@mistake(ValueError, says="num_steps >= 1")
def svi_run_without_a_number_of_steps():
    SVI(two_sites, two_sites, Adam({"lr": 0.1}), Trace_ELBO()).run(torch.zeros(3))


@mistake(ValueError, says="num_particles >= 1")
def elbo_without_particles():
    Trace_ELBO(num_particles=0)


@mistake(ValueError, says=("posterior_samples", "num_samples"))
def predictive_of_nothing():
    Predictive(two_sites)


@mistake(ValueError, says=("Sample size", "'a': 3", "'b': 4"))
def predictive_of_unequal_draws():
    Predictive(two_sites, {"a": torch.zeros(3), "b": torch.zeros(4)})


@mistake(ValueError, says=("typo", "return_sites"))
def predictive_of_an_unknown_site():
    Predictive(two_sites, num_samples=2, return_sites=["typo"])()


@mistake(ValueError, plate="p", says=("subsamples", "all the data"))
def density_of_a_subsampled_model():
    def model():
        with pyro.plate("p", 10, subsample_size=3):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    log_density(model)


@mistake(ValueError, says=("unknown setting", "validate_infer"))
def unknown_setting():
    pyro.settings.set(validate_everything=True)


@mistake(ValueError, says="init_scale > 0")
def autoguide_that_starts_without_spread():
    AutoNormal(two_sites, init_scale=0.0)


def test_there_are_enough_of_them():
    assert len(MISTAKES) >= 30


@pytest.mark.parametrize("name", MISTAKES)
def test_message(name):
    row = MISTAKES[name]
    with pytest.raises(PyroxeneError) as caught:
        row.make()
    error, text = caught.value, str(caught.value)
    assert isinstance(error, row.builtin)
    assert error.site == row.site and error.plate == row.plate, text
    for words in row.says:
        assert words.lower() in text.lower(), f"{words!r} is not in:\n{text}"
    assert error.source is not None and Path(error.source[0]) == Path(__file__), text
    first = row.make.__code__.co_firstlineno
    beyond = min(
        (
            other.make.__code__.co_firstlineno
            for other in MISTAKES.values()
            if other.make.__code__.co_firstlineno > first
        ),
        default=first + 40,
    )
    in_shared_model = error.source[2] == "two_sites"
    assert in_shared_model or first <= error.source[1] < beyond, f"line {error.source[1]} is not in {name}"
    assert "expected: " in text, text
    assert "got: " in text, text
    assert "try: " in text, text
    assert not pyro.poutine.runtime._PYRO_STACK
