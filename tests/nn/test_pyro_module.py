"""PyroModule: names, reading, state dicts, copies and pickles; test_setting.py has setting and deleting."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.distributions import constraints
from pyroxene.nn import PyroModule, PyroModuleList, PyroParam, PyroSample, pyro_method

Linear = PyroModule[nn.Linear]


def sites(model: Callable[..., Any], *args: Any) -> dict[str, str]:
    trace = poutine.trace(model).get_trace(*args)
    return {name: site["type"] for name, site in trace.nodes.items() if not name.startswith("_")}


class Model(PyroModule):
    """Everything that a module can hold."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.x = PyroParam(torch.tensor([1.0, 2.0]), constraints.positive, event_dim=0)
        self.y = PyroParam(lambda: torch.ones(3))
        self.z = nn.Parameter(torch.zeros(2))
        self.s = PyroSample(dist.Normal(0.0, 1.0))
        self.t = PyroSample(lambda self: dist.Normal(self.s, self.x.sum()))
        self.d = PyroSample(lambda self: 2 * self.s)
        self.lin = nn.Linear(1, 1)
        self.sub = PyroModule()
        self.sub.lin = Linear(1, 1)
        self.sub.lin.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 1]).to_event(2))
        self.sub.p = PyroParam(torch.tensor([0.2, 0.8]), constraints.simplex)
        self.layers = PyroModuleList([Linear(1, 1)])
        self.register_buffer("b", torch.ones(1))
        self.plain = "plain"

    def forward(self) -> dict[str, Any]:
        return {
            "y": self.y,
            "t": self.t,
            "z": self.z,
            "d": self.d,
            "lin": self.lin(torch.ones(1)),
            "sub.lin": self.sub.lin(torch.ones(1)),
            "sub.p": self.sub.p,
            "layers": self.layers[0](torch.ones(1)),
            "b": self.b,
        }

    @pyro_method
    def only_p(self) -> torch.Tensor:
        return self.sub.p


SITES = {
    "y": "param",
    "s": "sample",
    "x": "param",
    "t": "sample",
    "z": "param",
    "d": "sample",
    "lin$$$weight": "param",
    "lin$$$bias": "param",
    "sub.lin.weight": "sample",
    "sub.lin.bias": "param",
    "sub.p": "param",
    "layers.0.weight": "param",
    "layers.0.bias": "param",
}
STATE = [
    "x_unconstrained",
    "y_unconstrained",
    "z",
    "b",
    "lin.weight",
    "lin.bias",
    "sub.p_unconstrained",
    "sub.lin.bias",
    "layers.0.weight",
    "layers.0.bias",
]


# names ------------------------------------------------------------------------------------------------------


def test_statements_bear_dotted_names_in_the_order_of_reading():
    torch.manual_seed(0)
    found = sites(Model())
    assert found == SITES
    assert list(found) == list(SITES)
    pyro.clear_param_store()
    assert list(sites(Model("top"))) == [f"top.{name}" for name in SITES]


def test_a_child_takes_its_name_from_where_it_is_set():
    inner = Model("forgotten")
    outer, top = PyroModule("outer"), PyroModule("top")
    outer.a = inner
    assert (inner._pyro_name, inner.sub.lin._pyro_name) == ("outer.a", "outer.a.sub.lin")
    top.o = outer
    assert inner.sub.lin._pyro_get_fullname("bias") == "top.o.a.sub.lin.bias"
    assert inner.layers[0]._pyro_context is top._pyro_context
    assert set(sites(inner.only_p)) == {"top.o.a.sub.p"}
    inner._pyro_name = "changed"
    assert inner._pyro_get_fullname("x") == "changed.x"
    assert "changed.x" in sites(inner)


@pytest.mark.parametrize("add", [PyroModule.add_module, PyroModule.register_module, setattr])
def test_every_way_to_add_a_child(add: Callable[..., None]):
    top = PyroModule("top")
    add(top, "child", PyroModule())
    assert top.child._pyro_name == "top.child"
    assert top.child._pyro_context is top._pyro_context


def test_named_pyro_params():
    torch.manual_seed(0)
    model = Model()
    found = dict(model.named_pyro_params())
    assert list(found) == [name.removesuffix("_unconstrained") for name in STATE if name != "b"]
    assert torch.allclose(found["x"], torch.tensor([1.0, 2.0]))
    assert torch.allclose(found["sub.p"], torch.tensor([0.2, 0.8]))
    assert found["sub.lin.bias"] is model.sub.lin.bias
    assert list(dict(model.named_pyro_params(prefix="pre", recurse=False))) == ["pre.x", "pre.y", "pre.z"]
    assert list(dict(model.named_pyro_params(prefix="pre")))[-1] == "pre.layers.0.bias"


def test_an_ordinary_parameter_may_end_like_a_hidden_one():
    module = PyroModule()
    module.w_unconstrained = nn.Parameter(torch.ones(1))
    assert list(dict(module.named_pyro_params())) == ["w_unconstrained"]
    with module._pyro_context:
        assert sites(lambda: module.w_unconstrained) == {"w_unconstrained": "param"}


# reading ----------------------------------------------------------------------------------------------------


def test_random_values_are_read_once_a_call():
    torch.manual_seed(0)
    made = Model()()
    trace = poutine.trace(Model()).get_trace()
    assert trace.nodes["t"]["fn"].loc is trace.nodes["s"]["value"]
    assert trace.nodes["d"]["infer"]["_deterministic"]
    assert trace.nodes["d"]["value"] == 2 * trace.nodes["s"]["value"]
    assert made["y"].tolist() == [1.0, 1.0, 1.0]


def test_outside_a_call_nothing_is_a_statement():
    torch.manual_seed(0)
    model = Model()
    with poutine.trace() as traced:
        _ = model.x, model.y, model.z, model.s, model.t, model.d, model.lin, model.sub.lin.weight, model.sub.p
    assert not traced.trace.nodes
    assert not pyro.get_param_store()
    assert model.x.unconstrained is not None


def test_conditioning():
    model = poutine.condition(Model(), data={"s": torch.tensor(2.0), "sub.lin.weight": torch.ones(1, 1)})
    trace = poutine.trace(model).get_trace()
    assert trace.nodes["s"]["is_observed"]
    assert trace.nodes["d"]["value"] == 4.0
    assert torch.equal(trace.nodes["sub.lin.weight"]["value"], torch.ones(1, 1))


def test_bayesian_regression_density():
    class Regression(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.linear = Linear(3, 1)
            self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 3]).to_event(2))
            self.linear.bias = PyroSample(dist.Normal(0.0, 10.0).expand([1]).to_event(1))
            self.scale = PyroSample(dist.HalfNormal(1.0))

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            mean, scale = self.linear(x).squeeze(-1), self.scale
            with pyro.plate("data", len(x)):
                pyro.sample("y", dist.Normal(mean, scale), obs=y)
            return mean

    torch.manual_seed(0)
    x, y = torch.randn(5, 3), torch.randn(5)
    model = Regression()
    assert not list(model.parameters())
    weight, bias, scale = torch.randn(1, 3), torch.randn(1), torch.tensor(0.7)
    values = {"linear.weight": weight, "linear.bias": bias, "scale": scale}
    trace = poutine.trace(poutine.condition(model, data=values)).get_trace(x, y)
    expected = (
        torch.distributions.Normal(0.0, 1.0).log_prob(weight).sum()
        + torch.distributions.Normal(0.0, 10.0).log_prob(bias).sum()
        + torch.distributions.HalfNormal(1.0).log_prob(scale)
        + torch.distributions.Normal(x @ weight[0] + bias, scale).log_prob(y).sum()
    )
    assert torch.allclose(trace.log_prob_sum(), expected)


def test_hidden_parameters_and_missing_attributes():
    model = Model()
    assert model.x_unconstrained is dict(model.named_parameters())["x_unconstrained"]
    assert model.plain == "plain"
    assert not hasattr(model, "missing")
    with pytest.raises(AttributeError, match="missing"):
        _ = model.missing
    del model._parameters["x_unconstrained"]
    with pytest.raises(AttributeError, match="x_unconstrained"):
        _ = model.x


# state ------------------------------------------------------------------------------------------------------


class Interchange(PyroModule):
    def __init__(self) -> None:
        super().__init__("m")
        self.x = PyroParam(torch.tensor([1.0, 2.0]), constraints.positive)
        self.c = PyroParam(torch.tensor([0.2, 0.8]), constraints.simplex)
        self.u = PyroParam(torch.tensor([0.25]), constraints.interval(0.0, 2.0))
        self.z = nn.Parameter(torch.ones(2))
        self.l = Linear(2, 1)
        self.l.bias = PyroSample(dist.Normal(0.0, 1.0).expand([1]).to_event(1))
        self.l.weight = PyroParam(torch.ones(1, 2) * 3, constraints.positive)
        self.pl = nn.Linear(1, 1)
        self.ls = PyroModuleList([Linear(1, 1)])
        self.sub = PyroModule()
        self.sub.lo = PyroParam(torch.eye(2), constraints.lower_cholesky)
        self.sub.sp = PyroParam(torch.ones(1), constraints.softplus_positive)

    @PyroParam(constraint=constraints.positive)
    def lazy(self) -> torch.Tensor:
        return torch.ones(1) * 4


# state_dict() of the same module of pyro-ppl 1.9.2 under torch.manual_seed(0), after one call
PYRO_STATE = {
    "x_unconstrained": [0.0, 0.6931471824645996],
    "c_unconstrained": [-1.6094379425048828, -0.2231435328722],
    "u_unconstrained": [-1.9459102153778076],
    "z": [1.0, 1.0],
    "lazy_unconstrained": [1.3862943649291992],
    "l.weight_unconstrained": [[1.0986123085021973, 1.0986123085021973]],
    "pl.weight": [[-0.7359390258789062]],
    "pl.bias": [-0.3851543664932251],
    "ls.0.weight": [[0.26815736293792725]],
    "ls.0.bias": [-0.019813179969787598],
    "sub.lo_unconstrained": [[0.0, 0.0], [0.0, 0.0]],
    "sub.sp_unconstrained": [0.5413248538970947],
}


def test_state_dict_is_pyros():
    torch.manual_seed(0)
    module = Interchange()
    _ = module.lazy
    state = module.state_dict()
    assert list(state) == list(PYRO_STATE)
    for name, value in PYRO_STATE.items():
        assert torch.allclose(state[name], torch.tensor(value), atol=1e-6), name


def test_pyros_state_dict_loads():
    torch.manual_seed(1)
    module = Interchange()
    _ = module.lazy
    result = module.load_state_dict({name: torch.tensor(value) for name, value in PYRO_STATE.items()})
    assert not result.missing_keys and not result.unexpected_keys
    assert module.pl.weight.item() == PYRO_STATE["pl.weight"][0][0]
    assert torch.allclose(module.c, torch.tensor([0.2, 0.8]))
    assert torch.allclose(module.sub.lo, torch.eye(2))


@pytest.mark.parametrize("assign", [False, True])
def test_loading_into_a_module_that_is_in_the_store(assign: bool):
    module = Model()
    module()
    state = {name: value + 1.0 for name, value in module.state_dict().items()}
    module.load_state_dict(state, assign=assign)
    assert torch.allclose(module.x, torch.tensor([1.0, 2.0]) * torch.tensor(1.0).exp())
    made = module()
    assert torch.equal(made["z"], torch.ones(2))
    assert torch.allclose(pyro.param("x"), module.x)
    assert pyro.param("x").unconstrained() is module.x_unconstrained


def test_dtype_moves_along():
    model = Model()
    model()
    model.double()
    assert model.x.dtype == model.only_p().dtype == torch.float64
    assert pyro.param("x").dtype == torch.float64


def saved_and_loaded(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module)), saved_and_loaded])
@pytest.mark.parametrize("used", [False, True])
def test_copies(used: bool, copied: Callable[[nn.Module], nn.Module]):
    torch.manual_seed(0)
    model = Picklable("top")
    if used:
        poutine.trace(model).get_trace()
    twin = copied(model)
    assert type(twin) is Picklable
    assert list(twin.state_dict()) == list(model.state_dict())
    assert all(torch.equal(a, b) and a is not b for a, b in zip(twin.parameters(), model.parameters()))
    assert twin._pyro_context is not model._pyro_context
    assert twin.sub.lin._pyro_context is twin._pyro_context
    assert twin.sub.lin._pyro_name == "top.sub.lin"
    pyro.clear_param_store()
    assert set(sites(twin)) == {f"top.{name}" for name in SITES}
    assert pyro.param("top.z") is twin.z


class Picklable(Model):
    """As Model, with functions that pickle as priors."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.t = PyroSample(normal_at_s)
        self.d = PyroSample(twice_s)


def normal_at_s(module: Picklable) -> dist.Normal:
    return dist.Normal(module.s, module.x.sum())


def twice_s(module: Picklable) -> torch.Tensor:
    return 2 * module.s


def test_state_dicts_save_with_weights_only():
    model = Model()
    model()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert list(loaded) == STATE


def test_a_pickle_of_pyros_layout_loads():
    state = Linear(1, 1).__getstate__()
    del state["_pyro_slots"], state["_pyro_full_names"]
    state["_pyro_params"] = {"x": (constraints.positive, None)}
    state["_parameters"]["x_unconstrained"] = nn.Parameter(torch.zeros(1))
    made = type(PyroModule)._New(nn.Linear)
    made.__setstate__(state)
    assert torch.equal(made.x, torch.ones(1))
    assert set(sites(made, torch.ones(1))) == {"weight", "bias"}
