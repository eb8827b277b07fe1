"""The statement `scan`: sites over all steps, handlers, densities, and engines."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.density import log_density
from pyroxene.errors import PlateError, ShapeError

torch.set_num_threads(1)
Y = torch.tensor([0.3, 0.1, -0.4, 0.8, 1.1, 0.2])


def random_walk(y=None, length=6):
    scale = pyroxene.sample("scale", dist.HalfNormal(1.0))

    def step(position, observed):
        position = pyroxene.sample("x", dist.Normal(position, scale))
        pyroxene.sample("y", dist.Normal(position, 0.5), obs=observed)
        return position, position * 2

    return pyroxene.scan(step, torch.tensor(0.0), y, length=None if y is not None else length)


def unrolled(y):
    scale = pyroxene.sample("scale", dist.HalfNormal(1.0))
    position = torch.tensor(0.0)
    for t in range(len(y)):
        position = pyroxene.sample(f"x_{t}", dist.Normal(position, scale))
        pyroxene.sample(f"y_{t}", dist.Normal(position, 0.5), obs=y[t])


def test_sites_have_the_steps_as_a_dimension():
    pyroxene.set_rng_seed(0)
    trace = poutine.trace(random_walk).get_trace(Y)
    assert list(trace.stochastic_nodes) == ["scale", "x"]
    assert trace.nodes["x"]["value"].shape == (6,)
    assert trace.nodes["x"]["fn"].event_shape == (6,)
    assert trace.nodes["y"]["is_observed"]
    assert trace.nodes["y"]["value"].tolist() == Y.tolist()
    last, path = trace.nodes["_RETURN"]["value"]
    assert last == trace.nodes["x"]["value"][-1]
    assert (path == 2 * trace.nodes["x"]["value"]).all()


def test_the_density_is_that_of_the_loop_written_out():
    pyroxene.set_rng_seed(1)
    trace = poutine.trace(random_walk).get_trace(Y)
    values = {f"x_{t}": x for t, x in enumerate(trace.nodes["x"]["value"])} | {"scale": trace.nodes["scale"]["value"]}
    loop = poutine.trace(poutine.condition(unrolled, values)).get_trace(Y)
    assert trace.log_prob_sum().item() == pytest.approx(loop.log_prob_sum().item(), rel=1e-6)


def test_condition_gives_values():
    given = torch.arange(6.0)
    trace = poutine.trace(poutine.condition(random_walk, {"x": given})).get_trace(Y)
    assert trace.nodes["x"]["value"].tolist() == given.tolist()
    assert trace.nodes["x"]["is_observed"]
    assert trace.nodes["_RETURN"]["value"][0] == 5.0


def test_replay_and_mask_and_scale():
    trace = poutine.trace(random_walk).get_trace(Y)
    again = poutine.trace(poutine.replay(random_walk, trace)).get_trace(Y)
    assert (again.nodes["x"]["value"] == trace.nodes["x"]["value"]).all()
    scaled = poutine.trace(poutine.scale(poutine.replay(random_walk, trace), 3.0)).get_trace(Y)
    assert scaled.log_prob_sum().item() == pytest.approx(3 * trace.log_prob_sum().item(), rel=1e-6)
    masked = poutine.trace(poutine.mask(poutine.replay(random_walk, trace), mask=False)).get_trace(Y)
    assert float(masked.log_prob_sum()) == 0.0


def test_without_handlers_it_draws():
    pyroxene.set_rng_seed(2)
    last, path = random_walk()
    assert path.shape == (6,)
    assert path[-1] == 2 * last


def test_a_plate_around():
    def model(y):
        with pyroxene.plate("series", 4):
            rate = pyroxene.sample("rate", dist.Normal(0.0, 1.0))

            def step(state, observed):
                noise = pyroxene.sample("noise", dist.Normal(0.0, 1.0))
                pyroxene.sample("y", dist.Normal(state * rate + noise, 1.0), obs=observed)
                return state * 0.5 + noise, None

            pyroxene.scan(step, torch.zeros(4), y)

    y = torch.randn(5, 4)
    trace = poutine.trace(model).get_trace(y)
    trace.compute_log_prob()
    assert trace.nodes["noise"]["value"].shape == (4, 5)
    assert trace.nodes["noise"]["log_prob"].shape == (4,)
    assert trace.nodes["y"]["log_prob"].shape == (4,)
    density = log_density(model, y)
    assert density.dim == 4 + 20
    z = torch.randn(density.dim, dtype=torch.float64)
    compiled = density.compiled("native")
    assert compiled(z).item() == pytest.approx(density(z).item(), rel=1e-6)


def test_a_plate_inside_is_refused():
    def step(state, observed):
        with pyroxene.plate("inner", 3):
            pyroxene.sample("x", dist.Normal(0.0, 1.0))
        return state, None

    with pytest.raises(PlateError, match="scan"):
        poutine.trace(lambda: pyroxene.scan(step, torch.zeros(()), length=2)).get_trace()


def test_constrained_sites_and_multivariate_events():
    def model():
        def step(state, x):
            weights = pyroxene.sample("weights", dist.Dirichlet(torch.ones(3)))
            rate = pyroxene.sample("rate", dist.Gamma(2.0, 1.0))
            return state + (weights * rate).sum(), None

        pyroxene.scan(step, torch.tensor(0.0), length=4)

    density = log_density(model)
    assert density.dim == 4 * 2 + 4
    values = density.constrain(torch.randn(density.dim))
    assert values["weights"].shape == (4, 3)
    assert torch.allclose(values["weights"].sum(-1), torch.ones(4))
    expected = 0.0
    for t in range(4):
        expected += dist.Dirichlet(torch.ones(3)).log_prob(values["weights"][t])
        expected += dist.Gamma(2.0, 1.0).log_prob(values["rate"][t])
    trace = poutine.trace(poutine.condition(model, values)).get_trace()
    assert trace.log_prob_sum().item() == pytest.approx(expected.item(), rel=1e-5)
    z = torch.randn(density.dim, dtype=torch.float64)
    assert density.compiled("native")(z).item() == pytest.approx(density(z).item(), rel=1e-6)


def test_the_loop_stays_a_loop_on_the_native_engine():
    density = log_density(random_walk, Y)
    graph = density.capture()
    assert [node.op for node in graph.nodes()].count("scan") == 2  # there and back
    compiled = density.compiled("native")
    z = torch.linspace(-1, 1, density.dim, dtype=torch.float64)
    value, gradient = compiled.value_and_grad(z)
    expected, expected_gradient = log_density(unrolled, Y).value_and_grad(z)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(gradient, expected_gradient.double(), atol=1e-5)


def test_dictionaries_and_tuples():
    def step(carry, x):
        state, count = carry["state"], carry["count"]
        return {"state": state + x[0] * x[1], "count": count + 1}, (state, {"double": 2 * state})

    start = {"state": torch.tensor(1.0), "count": torch.tensor(0.0)}
    last, (states, others) = pyroxene.scan(step, start, (torch.arange(3.0), torch.ones(3)))
    assert last["state"] == 4.0 and last["count"] == 3.0
    assert states.tolist() == [1.0, 1.0, 2.0]
    assert others["double"].tolist() == [2.0, 2.0, 4.0]


def test_reverse():
    _, outputs = pyroxene.scan(lambda c, x: (c + x, c), torch.tensor(0.0), torch.arange(4.0), reverse=True)
    assert outputs.tolist() == [6.0, 5.0, 3.0, 0.0]


def test_lengths_must_agree():
    with pytest.raises(ShapeError, match="one number of steps"):
        pyroxene.scan(lambda c, x: (c, None), torch.tensor(0.0), (torch.zeros(3), torch.zeros(4)))
    with pytest.raises(ShapeError, match="one number of steps"):
        pyroxene.scan(lambda c, x: (c, None), torch.tensor(0.0))


def test_a_value_of_another_length_is_refused():
    with pytest.raises(ShapeError, match="does not fit"):
        poutine.trace(poutine.condition(random_walk, {"x": torch.zeros(5)})).get_trace(Y)


def test_gradients_flow_through_the_eager_loop():
    start = torch.tensor(0.5, requires_grad=True)
    last, _ = pyroxene.scan(lambda c, x: (c * x, None), start, torch.tensor([2.0, 3.0]))
    last.backward()
    assert start.grad == 6.0


@pytest.mark.parametrize("model", [random_walk])
def test_thousands_of_steps_are_checked_by_their_first(model):
    y = torch.randn(3000, generator=torch.Generator().manual_seed(0)).cumsum(0)
    compiled = log_density(model, y).compiled("native")
    native = compiled.native_function()
    assert native is not None and native.longest_loop == 3000
    z = torch.linspace(-1, 1, compiled.dim, dtype=torch.float64)
    scale, x = z[0].exp(), z[1:]
    expected = dist.HalfNormal(torch.tensor(1.0, dtype=torch.float64)).log_prob(scale) + z[0]
    expected = expected + dist.Normal(torch.cat([torch.zeros(1), x[:-1]]), scale).log_prob(x).sum()
    expected = expected + dist.Normal(x, 0.5).log_prob(y.double()).sum()
    assert compiled(z).item() == pytest.approx(expected.item(), rel=1e-10)
