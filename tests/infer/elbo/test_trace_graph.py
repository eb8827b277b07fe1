"""TraceGraph_ELBO: which costs depend on which draws, baselines, and the variance they save."""

from __future__ import annotations

import math

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.distributions import constraints
from pyroxene.distributions.testing.fakes import NonreparameterizedNormal
from pyroxene.errors import UsageError
from pyroxene.infer import SVI, Trace_ELBO, TraceGraph_ELBO, get_importance_trace
from pyroxene.infer.elbo.trace_graph import TrackNonReparam, _compute_downstream_costs
from pyroxene.ops.provenance import ProvenanceTensor, get_provenance
from pyroxene.optim import SGD
from tests.infer.elbo.conjugate import chain, chain_gradient, chain_guide, gradient

# who depends on whom -----------------------------------------------------------------------------------------------


def downstream(model, guide):
    """Return the costs of each site without a reparametrised draw, the sites they belong to, and both traces."""
    with TrackNonReparam():
        model_trace, guide_trace = get_importance_trace("flat", math.inf, model, guide, (), {})
    names = {
        name for name, site in guide_trace.nodes.items() if site["type"] == "sample" and not site["fn"].has_rsample
    }
    costs, members = _compute_downstream_costs(model_trace, guide_trace, names)
    return costs, members, model_trace, guide_trace


def test_values_are_marked_where_a_draw_has_no_gradient():
    def program():
        a = pyro.sample("a", dist.Bernoulli(0.5))
        x = pyro.sample("x", dist.Normal(a, 1.0))
        b = pyro.sample("b", dist.Bernoulli(torch.sigmoid(x)))
        pyro.sample("y", dist.Bernoulli(0.5), obs=torch.tensor(1.0))
        with pyro.plate("p", 3, subsample_size=2) as index:
            return a, x, b, index

    with TrackNonReparam():
        trace = poutine.trace(program).get_trace()
    marks = {name: get_provenance(site["value"]) for name, site in trace.nodes.items() if site["type"] == "sample"}
    assert marks == {"a": {"a"}, "x": {"a"}, "b": {"a", "b"}, "y": set(), "p": set()}
    assert isinstance(trace.nodes["a"]["value"], ProvenanceTensor)


def test_costs_are_those_that_depend_on_a_draw():
    costs, members, model_trace, guide_trace = downstream(chain, chain_guide())
    assert members == {"a": {"a", "b", "y"}, "b": {"b", "y"}, "c": {"c", "w"}}

    def worth(*names):
        found = sum(model_trace.nodes[name]["log_prob"].item() for name in names)
        return found - sum(guide_trace.nodes[name]["log_prob"].item() for name in names if name in guide_trace.nodes)

    for name in "abc":
        assert costs[name].item() == pytest.approx(worth(*members[name]), rel=1e-5)
        assert type(costs[name]) is torch.Tensor


def test_draws_are_followed_through_indexing_where_and_control_flow():
    """a chooses by indexing, b by torch.where; c by a branch of Python, which leaves no mark on what it chose."""
    means = torch.tensor([-1.0, 0.5, 2.0])

    def model():
        a = pyro.sample("a", dist.Categorical(torch.ones(3)))
        b = pyro.sample("b", dist.Bernoulli(0.4))
        pyro.sample("by_index", dist.Normal(means[a], 1.0), obs=torch.tensor(0.7))
        pyro.sample("by_where", dist.Normal(torch.where(b > 0, means[0], means[2]), 1.0), obs=torch.tensor(0.1))
        pyro.sample("by_both", dist.Normal(torch.stack([means[a], b]).sum(), 1.0), obs=torch.tensor(0.2))
        pyro.sample("by_none", dist.Normal(means[0], 1.0), obs=torch.tensor(0.3))

    def guide():
        a = pyro.sample("a", dist.Categorical(logits=pyro.param("logits", torch.zeros(3))))
        pyro.sample("b", dist.Bernoulli(torch.tensor([0.3, 0.4, 0.5])[a]))

    _, members, *_ = downstream(model, guide)
    assert members == {"a": {"a", "b", "by_index", "by_where", "by_both"}, "b": {"b", "by_where", "by_both"}}


def test_draws_are_followed_through_reparametrised_draws():
    def model():
        k = pyro.sample("k", dist.Poisson(2.0))
        x = pyro.sample("x", dist.Normal(k, 1.0))
        pyro.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(0.5))
        pyro.sample("alone", dist.Normal(0.0, 1.0))

    def guide():
        k = pyro.sample("k", dist.Poisson(pyro.param("rate", torch.tensor(1.5))))
        pyro.sample("x", dist.Normal(k, 1.0))
        pyro.sample("alone", dist.Normal(1.0, 1.0))

    _, members, *_ = downstream(model, guide)
    assert members == {"k": {"k", "x", "y"}}


def test_costs_are_summed_to_the_plates_of_a_draw():
    def model():
        g = pyro.sample("g", dist.Bernoulli(0.4))
        with pyro.plate("rows", 2, dim=-2):
            r = pyro.sample("r", dist.Poisson(2.0 + g))
            with pyro.plate("columns", 3, dim=-1):
                pyro.sample("y", dist.Normal(r, 1.0), obs=torch.ones(2, 3))

    def guide():
        pyro.sample("g", dist.Bernoulli(pyro.param("p", torch.tensor(0.5))))
        with pyro.plate("rows", 2, dim=-2):
            pyro.sample("r", dist.Poisson(pyro.param("rate", torch.tensor([[1.5], [3.0]]))))

    costs, members, model_trace, guide_trace = downstream(model, guide)
    assert members == {"g": {"g", "r"}, "r": {"r", "y"}}
    log_p = {name: model_trace.nodes[name]["log_prob"] for name in "gry"}
    log_q = {name: guide_trace.nodes[name]["log_prob"] for name in "gr"}
    assert costs["r"].shape == (2, 1) and costs["g"].shape == ()
    assert torch.allclose(costs["r"], log_p["r"] - log_q["r"] + log_p["y"].sum(-1, keepdim=True))
    # of r's two terms the model's depends on g, the guide's does not
    assert costs["g"].item() == pytest.approx((log_p["g"] - log_q["g"] + log_p["r"].sum()).item())


def test_a_site_that_is_masked_out_costs_nothing():
    def model():
        with poutine.mask(mask=False):
            pyro.sample("a", dist.Bernoulli(0.5))

    costs, _, *_ = downstream(model, model)
    assert costs["a"].item() == 0


# variance ----------------------------------------------------------------------------------------------------------


def test_costs_of_others_do_not_add_to_the_variance():
    """a's own costs are about 0.2, those of the noise beside it about 6, and Trace_ELBO multiplies a's score by both.

    Its variance is about a thousand times that of TraceGraph_ELBO; an estimate by 150 draws errs by far less than 100.
    """

    def model():
        pyro.sample("a", dist.Bernoulli(0.5))
        pyro.sample("noise", dist.Normal(0.0, 1.0))

    def guide():
        pyro.sample("a", dist.Bernoulli(pyro.param("q", torch.tensor(0.4), constraint=constraints.unit_interval)))
        pyro.sample("noise", dist.Normal(0.0, 3.0))

    def variance(make):
        return torch.stack([gradient(make(), model, guide) for _ in range(150)]).var()

    assert variance(TraceGraph_ELBO) < 0.1 * variance(Trace_ELBO)


def test_reparametrised_guides_have_the_gradient_of_trace_elbo():
    def model():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(1.0))

    def guide():
        pyro.sample("x", dist.Normal(pyro.param("loc", torch.tensor(0.3)), 0.5))

    found = []
    for make in (Trace_ELBO, TraceGraph_ELBO):
        pyro.set_rng_seed(1)
        found.append(gradient(make(), model, guide))
    assert torch.allclose(*found)


# baselines ---------------------------------------------------------------------------------------------------------

BASELINES = {
    "average": {"use_decaying_avg_baseline": True, "baseline_beta": 0.8},
    "value": {"baseline_value": torch.tensor(-0.7)},
    "network": {"nn_baseline": lambda x: 2 * x, "nn_baseline_input": torch.tensor(0.4)},
    "average and value": {"use_decaying_avg_baseline": True, "baseline_value": torch.tensor(-0.7)},
}


@pytest.mark.parametrize("vectorize", [False, True])
@pytest.mark.parametrize("kind", BASELINES)
def test_baselines_leave_the_gradient_as_it_is(kind, vectorize, z_scores):
    elbo = TraceGraph_ELBO(num_particles=20, vectorize_particles=True) if vectorize else TraceGraph_ELBO()
    guide = chain_guide(BASELINES[kind])
    gradient(elbo, chain, guide, "q")  # the first step, which makes the averages, has none yet

    def centred():
        return gradient(elbo, chain, guide, "q")

    assert (z_scores(centred, chain_gradient(), 250).abs() < 7).all()


def test_the_decaying_average_moves_as_pyro_s():
    """new = 0.5 cost + 0.5 old, from zero; a step subtracts the old one; a mere loss does not move it."""
    guide = chain_guide({"use_decaying_avg_baseline": True, "baseline_beta": 0.5})
    elbo = TraceGraph_ELBO()
    old = {"a": 0.0, "c": 0.0}
    for seed in range(4):
        pyro.set_rng_seed(seed)
        costs, *_ = downstream(chain, guide)
        pyro.set_rng_seed(seed)
        elbo.loss(chain, guide)
        pyro.set_rng_seed(seed)
        elbo.loss_and_grads(chain, guide)
        for name in old:
            old[name] = 0.5 * costs[name].item() + 0.5 * old[name]
            assert pyro.param(f"__baseline_avg_downstream_cost_{name}").item() == pytest.approx(old[name], rel=1e-5)


def test_a_step_subtracts_the_average_of_earlier_steps():
    guide = chain_guide({"use_decaying_avg_baseline": True, "baseline_beta": 0.5})
    pyro.set_rng_seed(1)
    plain = gradient(TraceGraph_ELBO(), chain, chain_guide())
    pyro.set_rng_seed(1)
    assert torch.allclose(gradient(TraceGraph_ELBO(), chain, guide, "q"), plain)  # the average is still zero
    average = pyro.param("__baseline_avg_downstream_cost_c").item()
    pyro.set_rng_seed(1)
    _, _, _, guide_trace = downstream(chain, guide)
    c, q = guide_trace.nodes["c"]["value"].item(), 0.6
    pyro.set_rng_seed(1)
    shifted = gradient(TraceGraph_ELBO(), chain, guide, "q")
    assert (shifted - plain)[2].item() == pytest.approx(average * (c - q), rel=1e-3)  # the score of logit q is c - q


def test_an_average_is_kept_for_each_element_of_a_plate():
    infer = {"baseline": {"use_decaying_avg_baseline": True}}

    def program(rate, **options):
        with pyro.plate("p", 3):
            pyro.sample("k", dist.Poisson(rate), **options)

    TraceGraph_ELBO().loss_and_grads(
        lambda: program(2.0), lambda: program(pyro.param("r", torch.ones(3), constraints.positive), infer=infer)
    )
    assert pyro.param("__baseline_avg_downstream_cost_k").shape == (3,)


def test_a_baseline_lowers_the_variance():
    """A cost of -50 in every draw is all noise to a score, and all known to an average of earlier costs.

    The standard deviation of the gradient falls to about a fiftieth; a fifth of the variance is out of reach of chance.
    """

    def model():
        pyro.sample("a", dist.Bernoulli(0.5))
        pyro.factor("far", pyro.sample("a2", dist.Bernoulli(0.5)) * 0 - 50.0)

    def guide(options):
        def run():
            q = pyro.param("q", torch.tensor(0.4), constraint=constraints.unit_interval)
            infer = {"baseline": options} if options else {}
            pyro.sample("a", dist.Bernoulli(0.5))
            pyro.sample("a2", dist.Bernoulli(q), infer=infer)

        return run

    def variance(options):
        elbo = TraceGraph_ELBO()
        for _ in range(60):
            elbo.loss_and_grads(model, guide(options))
        pyro.param("q").unconstrained().grad = None
        return torch.stack([gradient(elbo, model, guide(options), "q") for _ in range(200)]).var()

    assert variance({"use_decaying_avg_baseline": True}) < 0.2 * variance(None)


def test_a_network_is_trained_towards_the_cost():
    """The gradient of the squared error alone reaches the network: 2 (prediction - cost) input."""
    net = torch.nn.Linear(1, 1)
    options = {"nn_baseline": lambda x: net(x).squeeze(-1), "nn_baseline_input": torch.tensor([0.4])}
    inner = chain_guide()

    def guide():
        pyro.module("net", net)
        q = pyro.param("q", torch.tensor([0.4, 0.3, 0.6]), constraint=constraints.unit_interval)
        a = pyro.sample("a", dist.Bernoulli(q[0]), infer={"baseline": options})
        pyro.sample("b", dist.Bernoulli(torch.where(a > 0, q[1], 1 - q[1])))
        pyro.sample("c", dist.Bernoulli(q[2]))

    pyro.set_rng_seed(2)
    costs, *_ = downstream(chain, inner)
    pyro.set_rng_seed(2)
    gradient(TraceGraph_ELBO(), chain, guide, "q")
    pyro.set_rng_seed(2)
    TraceGraph_ELBO().loss_and_grads(chain, guide)
    error = net(torch.tensor([0.4])).item() - costs["a"].item()
    assert net.bias.grad.item() == pytest.approx(2 * error, rel=1e-4)
    assert net.weight.grad.item() == pytest.approx(2 * error * 0.4, rel=1e-4)
    before = abs(error)
    svi = SVI(chain, guide, SGD({"lr": 0.05}), TraceGraph_ELBO())
    pyro.set_rng_seed(2)
    svi.step()
    assert abs(net(torch.tensor([0.4])).item() - costs["a"].item()) < before


def test_a_value_that_depends_on_parameters_is_trained_and_adds_no_gradient_to_others():
    value = torch.tensor(0.3, requires_grad=True)
    pyro.set_rng_seed(2)
    costs, *_ = downstream(chain, chain_guide())
    pyro.set_rng_seed(2)
    TraceGraph_ELBO().loss_and_grads(chain, chain_guide({"baseline_value": value}))
    expected = 2 * (0.3 - costs["a"].item()) + 2 * (0.3 - costs["c"].item())
    assert value.grad.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"nonsense": 1}, "unknown baseline options at site 'a'"),
        ({"baseline_value": torch.zeros(3)}, "Expected baseline at site a"),
        (
            {"baseline_value": torch.zeros(()), "nn_baseline": lambda x: x, "nn_baseline_input": torch.zeros(())},
            "nn_baseline and baseline_value",
        ),
        ({"nn_baseline": lambda x: torch.zeros(2), "nn_baseline_input": None}, "Expected baseline at site a"),
    ],
)
def test_misused_baselines_are_named(options, says):
    with pytest.raises(UsageError, match=says) as caught:
        TraceGraph_ELBO().loss_and_grads(chain, chain_guide(options))
    assert caught.value.site == "a" and isinstance(caught.value, ValueError)


def test_costs_of_draws_without_gradient_in_continuous_families(z_scores):
    def model():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        z = pyro.sample("z", dist.Normal(x, 1.0))
        pyro.sample("y", dist.Normal(z, 1.0), obs=torch.tensor(1.0))

    def guide():
        pyro.sample("x", NonreparameterizedNormal(pyro.param("x_loc", torch.tensor(0.2)), 0.7))
        pyro.sample("z", dist.Normal(pyro.param("z_loc", torch.tensor(0.4)), 0.6))

    elbo = TraceGraph_ELBO(num_particles=30, vectorize_particles=True)
    exact = [0.2 - (0.4 - 0.2), (0.4 - 0.2) + (0.4 - 1.0)]
    assert (z_scores(lambda: gradient(elbo, model, guide), exact).abs() < 7).all()
