"""What holds for every automatic guide on every model it can guide. A new guide is one line of GUIDES."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.distributions import biject_to, constraints
from pyroxene.infer import SVI, Predictive, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from pyroxene.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoGuideList,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    init_to_feasible,
    init_to_generated,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)
from pyroxene.optim import Adam

sample, plate = pyroxene.sample, pyroxene.plate


def scalars():
    a = sample("a", dist.Normal(0.0, 1.0))
    b = sample("b", dist.Gamma(2.0, 2.0))
    sample("x", dist.Normal(a * b, 1.0), obs=torch.tensor(0.5))


def supports():
    a = sample("net.layer.a", dist.Normal(0.0, 1.0))
    v = sample("net.v", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    p = sample("p", dist.HalfNormal(torch.ones(2)).to_event(1))
    u = sample("u", dist.Uniform(-1.0, 3.0))
    w = sample("w", dist.Dirichlet(torch.ones(3)))
    c = sample("c", dist.LKJCholesky(3, 1.0))
    sample("x", dist.Normal(a + v.sum(-1) + p.sum(-1) + u + w[..., 0] + c[..., 2, 0], 1.0), obs=torch.tensor(1.5))


def plates():
    m = sample("m", dist.Normal(0.0, 1.0))
    with plate("outer", 2, dim=-2):
        o = sample("o", dist.Normal(m, 1.0))
        with plate("inner", 3, dim=-1):
            i = sample("i", dist.LogNormal(o, 0.5))
            d = sample("d", dist.Dirichlet(torch.ones(2)))
            sample("x", dist.Normal(i + d[..., 0], 1.0), obs=torch.arange(6.0).reshape(2, 3))


def loop():
    a = sample("a", dist.Normal(0.0, 1.0))
    for position in plate("loop", 3):
        z = sample(f"z_{position}", dist.Normal(a, 1.0))
        sample(f"x_{position}", dist.Normal(z, 1.0), obs=torch.tensor(float(position)))


def doubles():
    zero = torch.zeros((), dtype=torch.float64)
    a = sample("a", dist.Normal(zero, 1.0))
    with plate("rows", 3):
        s = sample("s", dist.Exponential(torch.ones(3, dtype=torch.float64)))
        sample("x", dist.Normal(a, s), obs=torch.arange(3, dtype=torch.float64))


def names_of_modules():
    """Sites called as attributes of torch modules, and one as a guide's own."""
    half = sample("half", dist.Normal(0.0, 1.0))
    kind = sample("type", dist.HalfNormal(1.0))
    model = sample("model", dist.Normal(half, kind))
    sample("x", dist.Normal(model, 1.0), obs=torch.tensor(0.5))


def parts(model):
    names = poutine.trace(model).get_trace().stochastic_nodes
    guide = AutoGuideList(model)
    guide.append(AutoDelta(poutine.block(model, expose=names[:1])))
    guide.append(AutoNormal(poutine.block(model, hide=names[:1])))
    return guide


GUIDES = {
    "AutoNormal": AutoNormal,
    "AutoDelta": AutoDelta,
    "AutoDiagonalNormal": AutoDiagonalNormal,
    "AutoMultivariateNormal": AutoMultivariateNormal,
    "AutoLowRankMultivariateNormal": AutoLowRankMultivariateNormal,
    "AutoLaplaceApproximation": AutoLaplaceApproximation,
    "AutoGuideList": parts,
}
POINTS = {"AutoDelta", "AutoLaplaceApproximation"}
MODELS = [scalars, supports, plates, loop, doubles, names_of_modules]

every_guide = pytest.mark.parametrize("make", GUIDES.values(), ids=GUIDES)
every_model = pytest.mark.parametrize("model", MODELS)


def latent_sites(model):
    return dict(poutine.trace(poutine.block(model, hide_types=["param"])).get_trace().iter_stochastic_nodes())


def fit(model, guide, steps=2, loss=None):
    svi = SVI(model, guide, Adam({"lr": 0.02}), loss or Trace_ELBO())
    return [svi.step() for _ in range(steps)]


@every_model
@every_guide
def test_draws_are_the_models_sites(make, model):
    guide = make(model)
    sites = latent_sites(model)
    draws = guide()
    assert set(draws) == set(sites)
    for name, site in sites.items():
        assert draws[name].shape == site["value"].shape
        assert draws[name].dtype == site["value"].dtype
        assert bool(site["fn"].support.check(draws[name]).all())
    trace = poutine.trace(guide).get_trace()
    auxiliary = [name for name, site in trace.iter_stochastic_nodes() if site["infer"].get("is_auxiliary")]
    assert set(trace.stochastic_nodes) - set(auxiliary) - {"outer", "inner", "rows"} == set(sites)
    for name, site in sites.items():
        frames = {frame.name for frame in site["cond_indep_stack"] if frame.vectorized}
        assert {frame.name for frame in trace.nodes[name]["cond_indep_stack"]} == frames


@every_model
@every_guide
def test_estimators_agree_and_gradients_reach_every_parameter(make, model):
    guide = make(model)
    assert all(torch.isfinite(torch.tensor(fit(model, guide))))
    assert all(torch.isfinite(torch.tensor(fit(model, guide, loss=TraceGraph_ELBO()))))
    assert all(torch.isfinite(torch.tensor(fit(model, guide, loss=TraceMeanField_ELBO()))))
    loss = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=2)(model, guide)
    assert {id(p) for p in guide.parameters()} <= {id(p) for p in loss.parameters()}
    for leaf in loss.parameters():
        leaf.grad = None
    loss().backward()
    assert len(list(guide.parameters())) > 0
    for name, leaf in guide.named_parameters():
        assert leaf.grad is not None and leaf.grad.isfinite().all(), name


@every_model
@every_guide
def test_medians(make, model):
    guide = make(model)
    fit(model, guide)
    medians = guide.median()
    for name, site in latent_sites(model).items():
        assert medians[name].shape == site["value"].shape
        assert bool(site["fn"].support.check(medians[name]).all())
        assert not medians[name].requires_grad


@every_model
@pytest.mark.parametrize("make", [GUIDES[name] for name in GUIDES if name not in POINTS | {"AutoGuideList"}])
def test_quantiles(make, model):
    guide = make(model)
    quantiles = guide.quantiles([0.1, 0.5, 0.9])  # before the first call, too
    medians = guide.median()
    for name, site in latent_sites(model).items():
        assert quantiles[name].shape == (3, *site["value"].shape)
        torch.testing.assert_close(quantiles[name][1], medians[name])
        if site["fn"].event_dim == 0:
            assert bool((quantiles[name][:-1] < quantiles[name][1:]).all())


@every_model
@every_guide
@pytest.mark.parametrize("dim", [-3, -4])
def test_an_outer_plate_vectorises_draws(make, model, dim):
    guide = make(model)
    guide()
    with plate("samples", 50, dim=dim):
        draws = guide()
    for name, site in latent_sites(model).items():
        batch = draws[name].shape[: draws[name].dim() - site["fn"].event_dim]
        assert batch[dim] == 50
        assert torch.broadcast_shapes(batch[dim + 1 :], site["fn"].batch_shape) == batch[dim + 1 :]
        assert draws[name].shape[len(batch) :] == site["fn"].event_shape


def test_an_outer_plate_in_the_models_free_dimension():
    """As users write it: many draws of a model without plates along -1, of one with a plate along -2."""
    guide = AutoNormal(supports)
    guide()
    with plate("samples", 800, dim=-1):
        draws = guide()
    assert draws["net.layer.a"].shape == (800,)
    assert draws["net.v"].shape == (800, 2)
    assert draws["c"].shape == (800, 3, 3)
    assert len(draws["net.v"].unique()) == 1600
    guide = AutoDiagonalNormal(doubles)
    guide()
    with plate("samples", 800, dim=-2):
        draws = guide()
    assert draws["s"].shape == (800, 3)
    assert draws["a"].shape == (800, 1)


@every_model
@every_guide
def test_the_density_is_the_change_of_variables(make, model):
    """log q(values) = log q(unconstrained) - log |d values / d unconstrained|, from autograd's Jacobian."""
    guide = make(model)
    guide()
    trace = poutine.trace(guide).get_trace()
    expected = 0.0
    for name, site in latent_sites(model).items():
        if trace.nodes.get(f"{name}_unconstrained") is None and not hasattr(guide, "latent_dim"):
            continue  # a point mass on the support itself
        transform = biject_to(site["fn"].support)
        value = trace.nodes[name]["value"].detach()
        unconstrained = transform.inv(value)
        expected = expected - transform.log_abs_det_jacobian(unconstrained, transform(unconstrained)).sum()
    for _, site in trace.iter_stochastic_nodes():
        if site["infer"].get("is_auxiliary"):
            expected = expected + site["fn"].log_prob(site["value"]).sum()
    torch.testing.assert_close(trace.log_prob_sum(), torch.as_tensor(expected).to(trace.log_prob_sum().dtype))


@every_guide
def test_masked_out_a_guide_draws_the_same_and_has_no_density(make):
    guide = make(supports)
    guide()
    pyroxene.set_rng_seed(3)
    draws = guide()
    pyroxene.set_rng_seed(3)
    with poutine.mask(mask=False):
        trace = poutine.trace(guide).get_trace()
    assert trace.log_prob_sum() == 0.0
    for name, value in draws.items():
        torch.testing.assert_close(trace.nodes[name]["value"], value)


@every_guide
@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("model", [supports, plates])
def test_predictive(make, model, parallel):
    guide = make(model)
    fit(model, guide)
    draws = Predictive(model, guide=guide, num_samples=4, parallel=parallel, return_sites=["x", *latent_sites(model)])()
    for name, site in latent_sites(model).items():
        assert draws[name].shape[0] == 4
        assert draws[name].shape[draws[name].dim() - site["fn"].event_dim :] == site["fn"].event_shape
        assert draws[name][0].numel() == site["value"].numel()


@every_guide
def test_call_returns_the_values_in_the_order_of_their_names(make):
    guide = make(scalars)
    guide()
    pyroxene.set_rng_seed(1)
    values = guide()
    pyroxene.set_rng_seed(1)
    assert [value.item() for value in guide.call()] == [values["a"].item(), values["b"].item()]


def round_trips():
    def through_torch(guide):
        file = io.BytesIO()
        torch.save(guide, file)
        file.seek(0)
        return torch.load(file, weights_only=False)

    return {
        "pickle": lambda guide: pickle.loads(pickle.dumps(guide)),
        "deepcopy": copy.deepcopy,
        "torch": through_torch,
    }


class WithParameters(pyroxene.nn.PyroModule):
    """A model whose prior has parameters of its own, so that its first run holds a graph."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)
        self.scale = pyroxene.nn.PyroParam(torch.tensor(1.0), constraints.positive)

    def forward(self):
        a = sample("a", dist.Normal(self.linear(torch.ones(2))[0], self.scale))
        b = sample("b", dist.HalfNormal(self.scale))
        sample("x", dist.Normal(a, b + 0.1), obs=torch.tensor(0.0))


@every_guide
@pytest.mark.parametrize("copied", round_trips().values(), ids=round_trips())
@pytest.mark.parametrize("model", [scalars, WithParameters()], ids=["function", "module"])
def test_a_copy_is_the_same_guide(make, copied, model):
    if make is not parts or copied is copy.deepcopy:  # the parts' models are handlers, which stay behind
        before = copied(make(model))
        pyroxene.set_rng_seed(2)
        first = make(model)()
        pyroxene.clear_param_store()
        pyroxene.set_rng_seed(2)
        assert before().keys() == first.keys()
        pyroxene.clear_param_store()
    guide = make(model)
    fit(model, guide)
    clone = copied(guide)
    state = guide.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in clone.state_dict().items())
    pyroxene.set_rng_seed(4)
    draws = guide()
    pyroxene.clear_param_store()
    pyroxene.set_rng_seed(4)
    assert all(torch.equal(value, draws[name]) for name, value in clone().items())
    fit(model, clone)  # goes on learning, and leaves the original alone
    assert not all(torch.equal(value, state[name]) for name, value in clone.state_dict().items())
    assert all(torch.equal(value, state[name]) for name, value in guide.state_dict().items())
    assert guide.model is model


@every_guide
def test_a_model_that_cannot_be_pickled_stays_behind(make):
    def model():
        scalars()

    guide = make(model)
    guide()
    clone = pickle.loads(pickle.dumps(guide))
    assert clone().keys() == {"a", "b"}
    assert guide.model is model
    assert copy.deepcopy(guide).model is model
    with pytest.raises(ValueError, match="pickled without its model"):
        _ = clone.model


@every_guide
def test_parameters_local_to_the_module(make):
    with pyroxene.settings.context(module_local_params=True):
        guide = make(plates)
        guide()
        assert dict(pyroxene.get_param_store()) == {}
        loss = Trace_ELBO()(plates, guide)
        optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
        before = {name: value.clone() for name, value in guide.state_dict().items()}
        loss().backward()
        optimiser.step()
        assert any(not torch.equal(value, before[name]) for name, value in guide.state_dict().items())
        assert dict(pyroxene.get_param_store()) == {}


STRATEGIES = {
    "feasible": (init_to_feasible, lambda fn: torch.zeros(())),
    "feasible()": (init_to_feasible(), lambda fn: torch.zeros(())),
    "mean": (init_to_mean, lambda fn: biject_to(fn.support).inv(fn.mean)),
    "mean()": (init_to_mean(fallback=None), lambda fn: biject_to(fn.support).inv(fn.mean)),
    "value": (init_to_value(values={"a": torch.tensor(0.3)}, fallback=init_to_feasible), None),
    "function": (
        lambda site: torch.full(site["fn"].shape(), 0.25),
        lambda fn: biject_to(fn.support).inv(torch.tensor(0.25)),
    ),
    "median": (init_to_median, None),
    "median()": (init_to_median(num_samples=3), None),
    "sample": (init_to_sample, None),
    "uniform": (init_to_uniform, None),
    "uniform()": (init_to_uniform(radius=0.1), None),
    "generated": (init_to_generated(generate=lambda: init_to_value(values={"a": torch.rand(())})), None),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("make", [GUIDES[name] for name in GUIDES if name != "AutoGuideList"])
def test_every_strategy_starts_every_guide(make, strategy):
    start, unconstrained = STRATEGIES[strategy]
    guide = make(scalars, init_loc_fn=start)
    guide()
    medians = guide.median()
    assert -5.0 < medians["a"] < 5.0 and 0.0 < medians["b"] < 10.0
    if unconstrained is not None:
        for name, site in latent_sites(scalars).items():
            at = biject_to(site["fn"].support).inv(medians[name])
            torch.testing.assert_close(at, unconstrained(site["fn"]), atol=1e-5, rtol=1e-5)
    if strategy == "value":
        torch.testing.assert_close(medians["a"], torch.tensor(0.3))


@pytest.mark.parametrize(
    "make", [AutoNormal, AutoDiagonalNormal, AutoMultivariateNormal, AutoLowRankMultivariateNormal]
)
def test_the_first_scale_is_the_one_asked_for(make):
    """10 000 draws: a standard deviation is off by 10 % (14 of its standard errors) with probability < 1e-40."""
    guide = make(scalars, init_scale=0.4, **({"rank": 1} if make is AutoLowRankMultivariateNormal else {}))
    guide()
    if make is AutoLowRankMultivariateNormal:  # its factor is drawn: only the diagonal part is fixed
        torch.testing.assert_close(guide.scale, torch.full((2,), 0.4 * 0.5**0.5))
        return
    with plate("samples", 10_000, dim=-1):
        draws = guide()
    assert draws["a"].std().item() == pytest.approx(0.4, rel=0.1)
    assert draws["b"].log().std().item() == pytest.approx(0.4, rel=0.1)
    with pytest.raises(ValueError, match="starts at a standard deviation"):
        make(scalars, init_scale=-0.1)
