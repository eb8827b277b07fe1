"""The estimators: values from analysis, unbiased gradients, particles, plates, and one contract for all three."""

from __future__ import annotations

import copy
import math

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine, settings
from pyroxene.distributions.testing.fakes import NonreparameterizedNormal
from pyroxene.errors import GuideError, UsageError
from pyroxene.infer import (
    ELBO,
    JitTrace_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    Trace_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)
from pyroxene.infer.elbo import ELBOModule
from pyroxene.infer.elbo.trace_graph import TrackNonReparam, _compute_downstream_costs
from pyroxene.infer.importance_trace import get_importance_trace

ESTIMATORS = [Trace_ELBO, TraceMeanField_ELBO, TraceGraph_ELBO]
Y = torch.tensor([0.5, -1.0, 2.0])


def normal_model(y=Y):
    """Prior N(0, 1) on x, three observations N(x, 1)."""
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(y)):
        pyro.sample("y", dist.Normal(x, 1.0), obs=y)


def normal_guide(kind=dist.Normal):
    def guide(y=Y):
        loc = pyro.param("loc", torch.tensor(0.3))
        scale = pyro.param("scale", torch.tensor(0.7), constraint=dist.constraints.positive)
        pyro.sample("x", kind(loc, scale))

    return guide


def exact_elbo(loc=0.3, scale=0.7, y=Y):
    """E_q[log p(x, y) - log q(x)] of the normal model and guide, written out."""
    second = loc**2 + scale**2
    log_prior = -0.5 * math.log(2 * math.pi) - 0.5 * second
    log_likelihood = sum(-0.5 * math.log(2 * math.pi) - 0.5 * (v * v - 2 * v * loc + second) for v in y.tolist())
    entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(scale)
    return log_prior + log_likelihood + entropy


def exact_gradients(loc=0.3, scale=0.7, y=Y):
    """Of the loss with respect to loc and log(scale), the unconstrained parameters."""
    return [-(-loc + sum(v - loc for v in y.tolist())), -(-(1 + len(y)) * scale**2 + 1)]


def gradients(elbo, model, guide, *args):
    elbo.loss_and_grads(model, guide, *args)
    found = []
    for _, leaf in pyro.get_param_store().named_parameters():
        found.append(leaf.grad.clone())
        leaf.grad = None
    return torch.stack([g.reshape(()) for g in found])


# one contract for all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ESTIMATORS)
def test_loss_is_the_exact_elbo_on_average(make, z_scores):
    elbo, guide = make(), normal_guide()
    assert abs(z_scores(lambda: elbo.loss(normal_model, guide), -exact_elbo())) < 6


@pytest.mark.parametrize("make", ESTIMATORS)
def test_gradients_are_unbiased_where_draws_are_reparametrised(make, z_scores):
    elbo, guide = make(), normal_guide()
    assert (z_scores(lambda: gradients(elbo, normal_model, guide), exact_gradients()).abs() < 6).all()


@pytest.mark.parametrize("make", [Trace_ELBO, TraceGraph_ELBO])
def test_gradients_are_unbiased_by_the_score_function(make, z_scores):
    elbo, guide = make(), normal_guide(NonreparameterizedNormal)
    assert (z_scores(lambda: gradients(elbo, normal_model, guide), exact_gradients()).abs() < 6).all()


@pytest.mark.parametrize("make", ESTIMATORS)
def test_the_three_ways_to_a_loss_agree(make):
    elbo, guide = make(num_particles=3), normal_guide()
    elbo.loss(normal_model, guide)
    pyro.set_rng_seed(5)
    loss = elbo.loss(normal_model, guide)
    pyro.set_rng_seed(5)
    differentiable = elbo.differentiable_loss(normal_model, guide)
    pyro.set_rng_seed(5)
    found = gradients(elbo, normal_model, guide)
    leaves = [leaf for _, leaf in pyro.get_param_store().named_parameters()]
    assert isinstance(loss, float) and differentiable.item() == pytest.approx(loss, rel=1e-6)
    assert torch.allclose(torch.stack(torch.autograd.grad(differentiable, leaves)), found, rtol=1e-5)


@pytest.mark.parametrize("make", ESTIMATORS)
@pytest.mark.parametrize("vectorize", [False, True])
def test_particles_average(make, vectorize, z_scores):
    elbo, guide = make(num_particles=20, vectorize_particles=vectorize), normal_guide()
    assert abs(z_scores(lambda: elbo.loss(normal_model, guide), -exact_elbo(), 400)) < 6
    assert (z_scores(lambda: gradients(elbo, normal_model, guide), exact_gradients(), 400).abs() < 6).all()
    assert elbo.max_plate_nesting == (2 if vectorize else math.inf)


def test_vectorised_particles_are_one_run():
    shapes = []

    def model():
        shapes.append(pyro.sample("x", dist.Normal(0.0, 1.0)).shape)

    Trace_ELBO(num_particles=7, vectorize_particles=True, max_plate_nesting=1).loss(model, model)
    assert shapes[-1] == (7, 1)


def test_a_subsample_is_scaled_and_drawn_once_for_model_guide_and_particles():
    seen = []

    def model(data):
        with pyro.plate("p", 10, subsample_size=3) as index:
            seen.append(index)
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=data[index])

    def guide(data):
        with pyro.plate("p", 10, subsample_size=3) as index:
            seen.append(index)
            pyro.sample("z", dist.Normal(pyro.param("m", torch.zeros(10))[index], 1.0))

    elbo = Trace_ELBO(num_particles=4)
    elbo.loss(model, guide, torch.arange(10.0))
    assert len(seen) == 8 and all(torch.equal(index, seen[0]) for index in seen)
    elbo.loss(model, guide, torch.arange(10.0))
    assert not all(torch.equal(index, seen[0]) for index in seen[8:])  # another step, another minibatch
    trace, _ = get_importance_trace("flat", math.inf, model, guide, (torch.arange(10.0),), {})
    assert trace.nodes["y"]["scale"] == pytest.approx(10 / 3)


def test_the_model_alone_may_subsample():
    def model(data):
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("p", 6, subsample_size=2) as index:
            pyro.sample("y", dist.Normal(x, 1.0), obs=data[index])

    def guide(data):
        pyro.sample("x", dist.Delta(torch.tensor(0.0)))

    losses = {round(Trace_ELBO().loss(model, guide, torch.arange(6.0)), 3) for _ in range(30)}
    assert len(losses) > 3


def test_options_are_checked_and_old_names_understood():
    with pytest.raises(UsageError, match="num_particles >= 1"):
        Trace_ELBO(num_particles=0)
    with pytest.warns(DeprecationWarning, match="max_plate_nesting"):
        assert Trace_ELBO(max_iarange_nesting=2).max_plate_nesting == 2
    assert issubclass(JitTrace_ELBO, Trace_ELBO) and issubclass(JitTraceGraph_ELBO, TraceGraph_ELBO)
    assert issubclass(JitTraceMeanField_ELBO, TraceMeanField_ELBO) and isinstance(Trace_ELBO(), ELBO)
    pyro.set_rng_seed(1)
    loss = Trace_ELBO().loss(normal_model, normal_guide())
    pyro.set_rng_seed(1)
    assert JitTrace_ELBO(ignore_jit_warnings=True, jit_options={}).loss(normal_model, normal_guide()) == loss


def test_retain_graph_lets_a_shared_part_be_differentiated_twice():
    shared = torch.tensor(1.0, requires_grad=True)
    part = shared * 2

    def model():
        pyro.sample("x", dist.Normal(part, 1.0), obs=torch.tensor(0.0))

    for _ in range(2):
        Trace_ELBO(retain_graph=True).loss_and_grads(model, lambda: None)
    assert shared.grad == 8  # d/ds 0.5 (2s)^2 = 4s, twice


def test_a_nan_loss_names_where_it_began():
    def model():
        pyro.sample("a", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0))
        pyro.sample("b", dist.Normal(0.0, 1.0, validate_args=False), obs=torch.tensor(float("nan")))

    with pytest.warns(UserWarning, match="Encountered NaN: loss. It begins at site 'b' of the model"):
        assert math.isnan(Trace_ELBO().loss(model, lambda: None))


# the loss as a module -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("local", [False, True])
def test_an_elbo_is_a_module_for_any_torch_optimiser(local):
    from pyroxene.infer.autoguide import AutoNormal

    with settings.context(module_local_params=local):
        guide = AutoNormal(normal_model)
        guide(Y)
        loss_fn = Trace_ELBO(num_particles=50, vectorize_particles=True)(normal_model, guide)
        assert isinstance(loss_fn, ELBOModule) and isinstance(loss_fn, torch.nn.Module)
        assert len(list(loss_fn.parameters())) == 2
        adam = torch.optim.Adam(loss_fn.parameters(), lr=0.05)
        for _ in range(300):
            adam.zero_grad()
            loss = loss_fn(Y)
            loss.backward()
            adam.step()
        assert guide.median()["x"].item() == pytest.approx(Y.sum().item() / 4, abs=0.1)
        assert len(list(copy.deepcopy(loss_fn).parameters())) == 2
        assert bool(pyro.get_param_store()) is not local


# analytic divergences -----------------------------------------------------------------------------------------------


def test_mean_field_uses_the_divergence_that_is_known():
    def model():
        with pyro.plate("p", 4):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    def guide():
        with pyro.plate("p", 4):
            pyro.sample("x", dist.Normal(1.0, 0.5))

    exact = 4 * dist.kl.kl_divergence(dist.Normal(1.0, 0.5), dist.Normal(0.0, 1.0)).item()
    assert {round(TraceMeanField_ELBO().loss(model, guide), 5) for _ in range(5)} == {round(exact, 5)}


def test_mean_field_scales_and_masks_the_divergence():
    def program(loc):
        def run():
            with pyro.plate("p", 3), poutine.mask(mask=torch.tensor([True, False, True])), poutine.scale(scale=2.5):
                pyro.sample("x", dist.Normal(loc, 1.0))

        return run

    assert TraceMeanField_ELBO().loss(program(0.0), program(1.0)) == pytest.approx(2.5 * 2 * 0.5)


def test_mean_field_draws_where_no_divergence_is_known(z_scores):
    def model():
        pyro.sample("x", dist.StudentT(3.0, 0.0, 1.0))

    def guide():
        pyro.sample("x", dist.Normal(0.0, 1.0))

    grid = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    q = torch.distributions.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0).log_prob(grid)
    p = torch.distributions.StudentT(torch.tensor(3.0, dtype=torch.float64)).log_prob(grid)
    exact = torch.trapezoid(q.exp() * (q - p), grid)
    assert abs(z_scores(lambda: TraceMeanField_ELBO().loss(model, guide), exact)) < 6


def test_mean_field_counts_auxiliary_sites():
    def guide(y=Y):
        u = pyro.sample("u", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
        pyro.sample("x", dist.Delta(u, log_density=torch.tensor(0.0)))

    pyro.set_rng_seed(3)
    mean_field = TraceMeanField_ELBO().loss(normal_model, guide)
    pyro.set_rng_seed(3)
    assert mean_field == pytest.approx(Trace_ELBO().loss(normal_model, guide), rel=1e-5)


def test_mean_field_warns_of_another_order_and_refuses_score_functions():
    def model():
        pyro.sample("a", dist.Normal(0.0, 1.0))
        pyro.sample("b", dist.Normal(0.0, 1.0))

    def guide():
        pyro.sample("b", dist.Normal(0.0, 1.0))
        pyro.sample("a", dist.Normal(0.0, 1.0))

    with pytest.warns(UserWarning, match="mean field"):
        TraceMeanField_ELBO().loss(model, guide)
    with pytest.raises(GuideError, match="fully reparametrized.*'x'"):
        TraceMeanField_ELBO().loss(normal_model, normal_guide(NonreparameterizedNormal))


# downstream costs and baselines -------------------------------------------------------------------------------------


def chain(obs=True):
    """a -> b, and c by itself; y depends on b."""
    a = pyro.sample("a", dist.Bernoulli(0.3))
    b = pyro.sample("b", dist.Bernoulli(0.2 + 0.6 * a))
    pyro.sample("c", dist.Bernoulli(0.5))
    if obs:
        pyro.sample("y", dist.Normal(b, 1.0), obs=torch.tensor(0.8))


def chain_guide():
    q = pyro.param("q", torch.tensor([0.4, 0.3, 0.6]), constraint=dist.constraints.unit_interval)
    a = pyro.sample("a", dist.Bernoulli(q[0]))
    pyro.sample("b", dist.Bernoulli(torch.where(a > 0, q[1], 1 - q[1])))
    pyro.sample("c", dist.Bernoulli(q[2]))


def test_costs_are_those_that_depend_on_a_site():
    with TrackNonReparam():
        model_trace, guide_trace = get_importance_trace("flat", math.inf, chain, chain_guide, (), {})
    costs, members = _compute_downstream_costs(model_trace, guide_trace, {"a", "b", "c"})
    assert {name: set(found) for name, found in members.items()} == {"a": {"a", "b"}, "b": {"b", "y"}, "c": {"c"}} or {
        name: set(found) for name, found in members.items()
    } == {"a": {"a", "b", "y"}, "b": {"b", "y"}, "c": {"c"}}
    difference = model_trace.nodes["c"]["log_prob"] - guide_trace.nodes["c"]["log_prob"]
    assert costs["c"].item() == pytest.approx(difference.item(), rel=1e-5)


def exact_discrete_gradient():
    """The gradient of the chain's ELBO with respect to the unconstrained q, by enumeration."""
    leaf = torch.logit(torch.tensor([0.4, 0.3, 0.6], dtype=torch.float64)).requires_grad_()
    q = leaf.sigmoid()
    elbo = torch.zeros((), dtype=torch.float64)
    bernoulli = torch.distributions.Bernoulli
    for a in (0.0, 1.0):
        for b in (0.0, 1.0):
            for c in (0.0, 1.0):
                va, vb, vc = (torch.tensor(v, dtype=torch.float64) for v in (a, b, c))
                log_q = bernoulli(q[0]).log_prob(va) + bernoulli(q[1] if a else 1 - q[1]).log_prob(vb)
                log_q = log_q + bernoulli(q[2]).log_prob(vc)
                log_p = bernoulli(torch.tensor(0.3).double()).log_prob(va)
                log_p = log_p + bernoulli(torch.tensor(0.2 + 0.6 * a).double()).log_prob(vb)
                log_p = log_p + bernoulli(torch.tensor(0.5).double()).log_prob(vc)
                log_p = log_p + torch.distributions.Normal(vb, 1.0).log_prob(torch.tensor(0.8).double())
                elbo = elbo + log_q.exp() * (log_p - log_q)
    return torch.autograd.grad(-elbo, leaf)[0]


def one_gradient(elbo, model, guide):
    elbo.loss_and_grads(model, guide)
    leaf = dict(pyro.get_param_store().named_parameters())["q"]
    found, leaf.grad = leaf.grad.clone(), None
    return found


@pytest.mark.parametrize("make", [Trace_ELBO, TraceGraph_ELBO])
def test_discrete_gradients_are_unbiased(make, z_scores):
    assert (z_scores(lambda: one_gradient(make(), chain, chain_guide), exact_discrete_gradient()).abs() < 6).all()


def test_downstream_costs_lower_the_variance():
    """c's score meets only its own cost in TraceGraph_ELBO, and those of a, b, y too in Trace_ELBO."""
    draws = {
        make: torch.stack([one_gradient(make(), chain, chain_guide) for _ in range(2000)]).var(0)[2]
        for make in (Trace_ELBO, TraceGraph_ELBO)
    }
    assert draws[TraceGraph_ELBO] < 0.5 * draws[Trace_ELBO]


def with_baselines(options):
    def guide():
        q = pyro.param("q", torch.tensor([0.4, 0.3, 0.6]), constraint=dist.constraints.unit_interval)
        a = pyro.sample("a", dist.Bernoulli(q[0]), infer={"baseline": options})
        pyro.sample("b", dist.Bernoulli(torch.where(a > 0, q[1], 1 - q[1])))
        pyro.sample("c", dist.Bernoulli(q[2]), infer={"baseline": options})

    return guide


@pytest.mark.parametrize(
    "options",
    [
        {"use_decaying_avg_baseline": True, "baseline_beta": 0.8},
        {"baseline_value": torch.tensor(-0.7)},
        {"nn_baseline": lambda x: 2 * x, "nn_baseline_input": torch.tensor(0.4)},
    ],
    ids=lambda options: sorted(options)[0],
)
def test_baselines_change_nothing_on_average(options, z_scores):
    guide = with_baselines(options)
    exact = exact_discrete_gradient()
    assert (z_scores(lambda: one_gradient(TraceGraph_ELBO(), chain, guide), exact).abs() < 6).all()


def test_the_decaying_average_is_kept_as_a_parameter():
    guide = with_baselines({"use_decaying_avg_baseline": True, "baseline_beta": 0.5})
    TraceGraph_ELBO().loss_and_grads(chain, guide)
    names = [name for name in pyro.get_param_store() if name.startswith("__baseline_avg_downstream_cost_")]
    assert sorted(names) == ["__baseline_avg_downstream_cost_a", "__baseline_avg_downstream_cost_c"]
    first = pyro.param(names[0]).item()
    TraceGraph_ELBO().loss_and_grads(chain, guide)
    assert pyro.param(names[0]).item() != first


def test_misused_baselines_are_named():
    with pytest.raises(UsageError, match="unknown baseline options at site 'a'"):
        TraceGraph_ELBO().loss_and_grads(chain, with_baselines({"nonsense": 1}))
    with pytest.raises(UsageError, match="Expected baseline at site a"):
        TraceGraph_ELBO().loss_and_grads(chain, with_baselines({"baseline_value": torch.zeros(3)}))


def test_plates_are_separated_in_scores(z_scores):
    """In a plate each element's score meets its own costs; the gradient stays right."""
    data = torch.tensor([0.2, -0.4, 1.1])

    def model():
        with pyro.plate("p", 3):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=data)

    def guide():
        loc = pyro.param("loc", torch.tensor([0.1, 0.2, 0.3]))
        with pyro.plate("p", 3):
            pyro.sample("z", NonreparameterizedNormal(loc, 0.8))

    def draw(make):
        make().loss_and_grads(model, guide)
        leaf = dict(pyro.get_param_store().named_parameters())["loc"]
        found, leaf.grad = leaf.grad.clone(), None
        return found

    exact = 2 * torch.tensor([0.1, 0.2, 0.3]) - data
    for make in (Trace_ELBO, TraceGraph_ELBO):
        assert (z_scores(lambda make=make: draw(make), exact).abs() < 6).all()
