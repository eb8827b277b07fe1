"""What all estimators share: ways to a loss, particles, plates, subsamples, and the loss as a module."""

from __future__ import annotations

import copy
import math
import warnings

import numpy as np
import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import nn, poutine, settings
from pyroxene.distributions import constraints
from pyroxene.errors import UsageError
from pyroxene.infer import (
    ELBO,
    SVI,
    JitTrace_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    Trace_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    get_importance_trace,
)
from pyroxene.infer.autoguide import AutoNormal
from pyroxene.infer.elbo import ELBOModule
from pyroxene.infer.util import torch_item
from pyroxene.optim import Adam
from tests.infer.elbo.conjugate import (
    DATA,
    Y,
    gradient,
    normal_elbo,
    normal_gradients,
    normal_guide,
    normal_model,
)

ESTIMATORS = [Trace_ELBO, TraceMeanField_ELBO, TraceGraph_ELBO]
BATCH = {"num_particles": 30, "vectorize_particles": True}


# losses and gradients -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ESTIMATORS)
def test_losses_and_gradients_are_exact_on_average(make, z_scores):
    elbo, guide = make(**BATCH), normal_guide()
    assert abs(z_scores(lambda: elbo.loss(normal_model, guide), -normal_elbo())) < 7
    assert (z_scores(lambda: gradient(elbo, normal_model, guide), normal_gradients()).abs() < 7).all()
    assert elbo.max_plate_nesting == 2


@pytest.mark.parametrize("make", ESTIMATORS)
def test_the_three_ways_to_a_loss_agree(make):
    elbo, guide = make(num_particles=3), normal_guide()
    elbo.loss(normal_model, guide)
    pyro.set_rng_seed(5)
    loss = elbo.loss(normal_model, guide)
    pyro.set_rng_seed(5)
    differentiable = elbo.differentiable_loss(normal_model, guide)
    pyro.set_rng_seed(5)
    found = gradient(elbo, normal_model, guide)
    leaves = [leaf for _, leaf in pyro.get_param_store().named_parameters()]
    assert isinstance(loss, float) and differentiable.item() == pytest.approx(loss, rel=1e-6)
    assert torch.allclose(torch.stack(torch.autograd.grad(differentiable, leaves)), found, rtol=1e-5)


@pytest.mark.parametrize("make", ESTIMATORS)
def test_particles_are_averaged(make):
    guide = normal_guide()
    make().loss(normal_model, guide)
    pyro.set_rng_seed(6)
    one, several = make(), make(num_particles=4)
    losses, gradients = [], []
    for _ in range(4):
        state = torch.get_rng_state()
        losses.append(one.loss(normal_model, guide))
        torch.set_rng_state(state)
        gradients.append(gradient(one, normal_model, guide))
    pyro.set_rng_seed(6)
    assert several.loss(normal_model, guide) == pytest.approx(sum(losses) / 4, rel=1e-6)
    pyro.set_rng_seed(6)
    assert torch.allclose(gradient(several, normal_model, guide), torch.stack(gradients).mean(0), rtol=1e-5)


def test_a_loss_only_asks_for_no_gradient_and_leaves_none():
    guide = normal_guide()
    loss = Trace_ELBO().loss(normal_model, guide)
    assert type(loss) is float
    assert all(leaf.grad is None for _, leaf in pyro.get_param_store().named_parameters())


def test_gradients_are_added_to_what_is_there():
    guide = normal_guide()
    Trace_ELBO().loss(normal_model, guide)
    leaf = pyro.param("loc").unconstrained()
    leaf.grad = torch.tensor(100.0)
    pyro.set_rng_seed(2)
    Trace_ELBO().loss_and_grads(normal_model, guide)
    added = leaf.grad - 100
    leaf.grad = None
    pyro.set_rng_seed(2)
    Trace_ELBO().loss_and_grads(normal_model, guide)
    assert leaf.grad.item() == pytest.approx(added.item(), abs=1e-4)


@pytest.mark.parametrize("make", ESTIMATORS)
def test_programs_without_sites_or_parameters_have_a_loss(make):
    def constant():
        pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0))

    for model, loss in ((lambda: None, 0.0), (constant, 0.5 * math.log(2 * math.pi))):
        assert make().loss(model, lambda: None) == pytest.approx(loss)
        assert make().loss_and_grads(model, lambda: None) == pytest.approx(loss)
        differentiable = make().differentiable_loss(model, lambda: None)
        assert isinstance(differentiable, torch.Tensor) and differentiable.item() == pytest.approx(loss)


def test_an_estimator_needs_only_traces_and_an_elbo():
    class Weighed(ELBO):
        def _get_trace(self, model, guide, args, kwargs):
            return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

        def _elbo(self, model_trace, guide_trace):
            return 2 * (model_trace.log_prob_sum() - guide_trace.log_prob_sum())

    guide = normal_guide()
    pyro.set_rng_seed(1)
    expected = 2 * gradient(Trace_ELBO(), normal_model, guide)
    pyro.set_rng_seed(1)
    assert torch.allclose(gradient(Weighed(), normal_model, guide), expected, rtol=1e-5)
    with pytest.raises(TypeError, match="abstract"):
        ELBO()


def test_options_are_checked_and_old_names_understood():
    with pytest.raises(UsageError, match="num_particles >= 1"):
        Trace_ELBO(num_particles=0)
    with pytest.warns(DeprecationWarning, match="max_plate_nesting"):
        assert Trace_ELBO(max_iarange_nesting=2).max_plate_nesting == 2
    elbo = Trace_ELBO(num_particles=np.int64(3), strict_enumeration_warning=False, tail_adaptive_beta=-0.5)
    assert elbo.num_particles == 3 and type(elbo.num_particles) is int
    assert elbo.strict_enumeration_warning is False and elbo.tail_adaptive_beta == -0.5


@pytest.mark.parametrize(
    ("jit", "plain"),
    [(JitTrace_ELBO, Trace_ELBO), (JitTraceGraph_ELBO, TraceGraph_ELBO), (JitTraceMeanField_ELBO, TraceMeanField_ELBO)],
)
def test_names_of_compiled_forms_give_the_same_numbers(jit, plain):
    guide = normal_guide()
    found = []
    for elbo in (plain(), jit(ignore_jit_warnings=True, jit_options={"check_trace": False})):
        pyro.set_rng_seed(1)
        found.append((elbo.loss(normal_model, guide), gradient(elbo, normal_model, guide)))
    assert isinstance(jit(), plain) and found[0][0] == found[1][0] and torch.equal(found[0][1], found[1][1])


def test_retain_graph_lets_a_shared_part_be_differentiated_twice():
    shared = torch.tensor(1.0, requires_grad=True)
    part = shared * 2

    def model():
        pyro.sample("x", dist.Normal(part.sin(), 1.0), obs=torch.tensor(0.0))

    for _ in range(2):
        Trace_ELBO(retain_graph=True).loss_and_grads(model, lambda: None)
    assert shared.grad.item() == pytest.approx(4 * math.sin(2) * math.cos(2), rel=1e-5)
    with pytest.raises(RuntimeError, match="second time"):
        for _ in range(2):
            Trace_ELBO().loss_and_grads(model, lambda: None)


@pytest.mark.parametrize("way", ["loss", "loss_and_grads", "differentiable_loss"])
def test_a_nan_loss_names_where_it_began(way):
    def model():
        m = pyro.param("m", torch.tensor(0.0))
        pyro.sample("a", dist.Normal(m, 1.0), obs=torch.tensor(0.0))
        pyro.sample("b", dist.Normal(m, 1.0, validate_args=False), obs=torch.tensor(float("nan")))

    with pytest.warns(UserWarning, match="Encountered NaN: loss. It begins at site 'b' of the model"):
        loss = getattr(Trace_ELBO(), way)(model, lambda: None)
    assert math.isnan(torch_item(loss))
    with settings.context(validate_infer=False), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(torch_item(getattr(Trace_ELBO(), way)(model, lambda: None)))


# plates and particles -----------------------------------------------------------------------------------------------


def test_vectorised_particles_are_one_run():
    shapes = []

    def model():
        shapes.append(pyro.sample("x", dist.Normal(0.0, 1.0)).shape)
        with pyro.plate("p", 3):
            shapes.append(pyro.sample("z", dist.Normal(0.0, 1.0)).shape)

    Trace_ELBO(num_particles=7, vectorize_particles=True, max_plate_nesting=1).loss(model, model)
    assert shapes == [(7, 1), (7, 3)] * 2
    shapes.clear()
    Trace_ELBO(num_particles=1, vectorize_particles=True).loss(model, model)
    assert shapes[-2:] == [(), (3,)]


@pytest.mark.parametrize("vectorize", [False, True])
def test_max_plate_nesting_is_guessed_of_model_and_guide(vectorize):
    def model():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 2, dim=-3):
            pyro.sample("y", dist.Normal(x, 1.0), obs=torch.zeros(2, 1, 1))

    def guide():
        pyro.sample("x", dist.Normal(0.0, 1.0))
        with poutine.block():
            pyro.param("hidden", torch.zeros(()))

    elbo = Trace_ELBO(num_particles=2, vectorize_particles=True)
    elbo.loss(model, guide)
    assert elbo.max_plate_nesting == 4
    alone = Trace_ELBO(vectorize_particles=vectorize)
    alone.loss(model, guide)
    assert alone.max_plate_nesting == (3 if vectorize else math.inf)


def test_guessing_leaves_no_minibatch_behind():
    """The run that looks at the plates draws indices of its own, as it does in Pyro."""
    seen = []

    def model():
        with pyro.plate("p", 1000, subsample_size=5) as index:
            seen.append(index)
            pyro.sample("y", dist.Normal(pyro.param("m", torch.zeros(())), 1.0), obs=torch.zeros(5))

    Trace_ELBO(num_particles=2, vectorize_particles=True).loss(model, lambda: None)
    assert len(seen) == 2 and not torch.equal(*seen)


def both_plated(seen):
    def model(data):
        with pyro.plate("p", 10, subsample_size=3) as index:
            seen.append(index)
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=data[index])

    def guide(data):
        with pyro.plate("p", 10, subsample_size=3) as index:
            seen.append(index)
            pyro.sample("z", dist.Normal(pyro.param("m", torch.zeros(10))[index], 1.0))

    return model, guide


@pytest.mark.parametrize("way", ["loss", "loss_and_grads", "differentiable_loss"])
@pytest.mark.parametrize("make", ESTIMATORS)
def test_a_minibatch_is_drawn_once_for_model_guide_and_particles(make, way):
    seen, data = [], torch.arange(10.0)
    model, guide = both_plated(seen)
    step = getattr(make(num_particles=4), way)
    step(model, guide, data)
    assert len(seen) == 8 and all(torch.equal(index, seen[0]) for index in seen)
    step(model, guide, data)
    step(model, guide, data)
    assert len({tuple(index.tolist()) for index in seen}) > 1  # 720 orders: three steps agree once in 5e5, not by seed


def test_a_minibatch_scales_and_has_pyro_s_indices():
    """With one particle the first draw of a step is torch's permutation, under the guide's plate."""
    seen, data = [], torch.arange(10.0)
    model, guide = both_plated(seen)
    pyro.set_rng_seed(3)
    expected = torch.randperm(10)[:3]
    pyro.set_rng_seed(3)
    Trace_ELBO().loss(model, guide, data)
    assert torch.equal(seen[0], expected) and torch.equal(seen[1], expected)
    trace, _ = get_importance_trace("flat", math.inf, model, guide, (data,), {})
    assert trace.nodes["y"]["scale"] == pytest.approx(10 / 3)


def test_a_plate_of_the_model_alone_is_shared_by_its_particles():
    seen = []

    def model():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        p = pyro.plate("p", 1000, subsample_size=2)
        for _ in range(2):
            with p as index:
                seen.append(index)
        with pyro.plate("q", 1000, subsample_size=2) as index:
            seen.append(index)
            pyro.sample("y", dist.Normal(x, 1.0), obs=torch.zeros(2))

    Trace_ELBO(num_particles=3).loss(model, lambda: pyro.sample("x", dist.Normal(0.0, 1.0)))
    assert len(seen) == 9 and len({tuple(index.tolist()) for index in seen[0::3] + seen[1::3]}) == 1
    assert len({tuple(index.tolist()) for index in seen[2::3]}) == 1


@pytest.mark.parametrize("options", [{}, BATCH], ids=["one", "vectorised"])
@pytest.mark.parametrize("make", ESTIMATORS)
def test_gradients_of_minibatches_are_unbiased(make, options, z_scores):
    """The expected gradient is that of all the data: m - sum(z - m) and so on, with z's mean for z."""

    def model():
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("p", 6, subsample_size=2) as index:
            z = pyro.sample("z", dist.Normal(m, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=DATA[index])

    def guide():
        pyro.sample("m", dist.Normal(pyro.param("m_loc", torch.tensor(0.1)), 0.5))
        locs = pyro.param("locs", 0.5 * DATA)
        with pyro.plate("p", 6, subsample_size=2) as index:
            pyro.sample("z", dist.Normal(locs[index], 0.9))

    exact = torch.cat([(0.1 - (0.5 * DATA - 0.1).sum()).reshape(1), (0.5 * DATA - 0.1) + (0.5 * DATA - DATA)])
    elbo = make(**options)
    assert (z_scores(lambda: gradient(elbo, model, guide, "m_loc", "locs"), exact, 400).abs() < 7).all()


# the loss as a module -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("local", [False, True])
def test_an_elbo_is_a_module_for_any_torch_optimiser(local):
    with settings.context(module_local_params=local):
        guide = AutoNormal(normal_model)
        guide(Y)
        loss_fn = Trace_ELBO(num_particles=30, vectorize_particles=True)(normal_model, guide)
        assert isinstance(loss_fn, ELBOModule) and isinstance(loss_fn, torch.nn.Module)
        assert len(list(loss_fn.parameters())) == 2
        adam = torch.optim.Adam(loss_fn.parameters(), lr=0.05)
        for _ in range(80):
            adam.zero_grad()
            loss = loss_fn(Y)
            loss.backward()
            adam.step()
        # eighty Adam steps of 0.05 reach the mode 0.375 from anywhere near; 0.1 is more than ten times the noise
        assert guide.median()["x"].item() == pytest.approx(Y.sum().item() / 4, abs=0.1)
        assert bool(pyro.get_param_store()) is not local


def test_a_module_of_a_loss_is_copied_with_its_parameters():
    with settings.context(module_local_params=True):
        guide = AutoNormal(normal_model)
        guide(Y)
        loss_fn = Trace_ELBO()(normal_model, guide)
        twin = copy.deepcopy(loss_fn)
        before = [p.detach().clone() for p in loss_fn.parameters()]
        sgd = torch.optim.SGD(twin.parameters(), lr=0.1)
        twin(Y).backward()
        sgd.step()
        assert all(torch.equal(p, q) for p, q in zip(loss_fn.parameters(), before, strict=True))
        assert not all(torch.equal(p, q) for p, q in zip(twin.parameters(), before, strict=True))


def test_a_module_holds_the_parameters_of_a_model_and_of_torch_modules():
    class Model(nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(1, 1)
            self.scale = nn.PyroParam(torch.tensor(1.0), constraints.positive)

        def forward(self, x):
            pyro.sample("y", dist.Normal(self.net(x).squeeze(), self.scale), obs=torch.tensor(2.0))

    loss_fn = Trace_ELBO()(Model(), lambda x: None)
    assert {name for name, _ in loss_fn.named_parameters()} == {
        "model.net.weight",
        "model.net.bias",
        "model.scale_unconstrained",
    }
    loss = loss_fn(torch.ones(1))
    loss.backward()
    assert all(p.grad is not None for p in loss_fn.parameters())
    weight, bias = loss_fn.model.net.weight, loss_fn.model.net.bias
    assert bias.grad.item() == pytest.approx((weight + bias - 2).item(), rel=1e-4)


def test_a_module_and_svi_take_the_same_steps():
    def start():
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        guide = AutoNormal(normal_model)
        guide(Y)
        return guide

    guide = start()
    pyro.set_rng_seed(1)
    svi = SVI(normal_model, guide, Adam({"lr": 0.1}), Trace_ELBO())
    losses = [svi.step(Y) for _ in range(5)]
    medians = guide.median()["x"].item()
    guide = start()
    pyro.set_rng_seed(1)
    loss_fn = Trace_ELBO()(normal_model, guide)
    adam, others = torch.optim.Adam(loss_fn.parameters(), lr=0.1), []
    for _ in range(5):
        adam.zero_grad()
        loss = loss_fn(Y)
        loss.backward()
        adam.step()
        others.append(loss.item())
    assert others == pytest.approx(losses, rel=1e-5) and guide.median()["x"].item() == pytest.approx(medians, rel=1e-5)
