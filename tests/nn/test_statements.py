"""Parameters as statements: what handlers see, and that a module and the store hold one leaf."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine, settings
from pyroxene.distributions import constraints
from pyroxene.errors import ConstraintError, OptionError, ParamStoreError
from pyroxene.nn import PyroModule, PyroParam
from pyroxene.nn.statements import unconstrain
from pyroxene.poutine import Messenger


class Model(PyroModule):
    def __init__(self, size: int = 4, name: str = "") -> None:
        super().__init__(name)
        self.x = PyroParam(torch.arange(1.0, size + 1), constraints.positive, event_dim=0)
        self.z = nn.Parameter(torch.ones(size))
        self.lin = nn.Linear(1, 1)

    def forward(self) -> tuple[torch.Tensor, ...]:
        return self.x, self.z, self.lin.weight


class Count(Messenger):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def _pyro_param(self, msg: dict) -> None:
        self.names.append(msg["name"])


def test_every_read_in_a_call_is_a_statement():
    with Count() as count:
        Model(name="top")()
    assert count.names == ["top.x", "top.z", "top.lin$$$weight", "top.lin$$$bias"]
    model = Model()
    with Count() as count:
        _ = model.x, model.z, model.lin.weight  # outside a call
    assert count.names == []
    with Count() as count, model._pyro_context:
        assert model.x_unconstrained is model._parameters["x_unconstrained"]
    assert count.names == []


def test_messages():
    model = Model()
    trace = poutine.trace(model, param_only=True).get_trace()
    x, z, weight = (trace.nodes[name] for name in ("x", "z", "lin$$$weight"))
    assert x["args"] == ("x",)
    assert x["kwargs"] == {"constraint": constraints.positive, "event_dim": 0}
    assert z["args"][0] == "z"
    assert z["args"][1] is z["value"] is model.z
    assert weight["value"] is model.lin.weight
    assert x["value"].unconstrained() is model.x_unconstrained
    assert z["value"].unconstrained() is model.z
    assert x["infer"] == {}


def test_an_optimiser_steps_what_the_module_reads():
    model = Model()
    trace = poutine.trace(model, param_only=True).get_trace()
    leaves = [site["value"].unconstrained() for site in trace.nodes.values() if site["type"] == "param"]
    before = [leaf.detach().clone() for leaf in leaves]
    optimiser = torch.optim.SGD(leaves, lr=0.1)
    loss = trace.nodes["x"]["value"].sum() + trace.nodes["z"]["value"].sum() + model.lin(torch.ones(1)).sum()
    loss.backward()
    optimiser.step()
    # d exp(u) / du = exp(u) = x
    assert torch.allclose(model.x.log(), before[0] - 0.1 * before[0].exp())
    assert torch.allclose(model.z, before[1] - 0.1)
    assert torch.allclose(model.lin.weight, before[2] - 0.1)
    assert torch.equal(pyro.param("x"), model.x)


def test_the_store_holds_the_modules_own_leaves():
    model = Model(name="m")
    model()
    store = pyro.get_param_store()
    assert dict(store.named_parameters()) == {
        "m.x": model.x_unconstrained,
        "m.z": model.z,
        "m.lin$$$weight": model.lin.weight,
        "m.lin$$$bias": model.lin.bias,
    }
    assert store._scope.constraints["m.x"] is constraints.positive


def test_a_loaded_store_goes_into_declared_parameters():
    pyro.param("x", torch.full((4,), 9.0), constraint=constraints.positive)
    stored = pyro.param("x").unconstrained()
    model = Model()
    assert torch.allclose(model()[0], torch.full((4,), 9.0))
    assert torch.allclose(model.x, torch.full((4,), 9.0))
    assert torch.equal(model.x_unconstrained, stored)
    assert isinstance(model.x_unconstrained, nn.Parameter)
    assert pyro.param("x").unconstrained() is model.x_unconstrained
    assert dict(model.named_parameters())["x_unconstrained"] is model.x_unconstrained


def test_two_modules_of_one_name_share_declared_parameters():
    one, other = Model(), Model()
    one.x = torch.full((4,), 3.0)
    one(), other()
    assert one.x_unconstrained is other.x_unconstrained
    assert torch.allclose(other.x, torch.full((4,), 3.0))


def test_a_plain_parameter_is_the_modules_own_and_replaces_the_stores():
    pyro.param("z", torch.full((4,), 7.0))
    pyro.param("lin$$$weight", torch.full((1, 1), 7.0))
    model = Model()
    own = model.lin.weight
    _, z, weight = model()
    assert torch.equal(z, torch.ones(4))
    assert weight is own
    assert pyro.param("z") is model.z
    assert pyro.param("lin$$$weight") is own


@pytest.mark.parametrize("name, shape", [("x", (3,)), ("z", (3,)), ("lin$$$weight", (2, 1))])
def test_a_stale_shape_is_refused(name: str, shape: tuple[int, ...]):
    pyro.param(name, torch.ones(shape), constraint=constraints.positive if name == "x" else constraints.real)
    with pytest.raises(ParamStoreError, match="another shape") as caught:
        Model()()
    assert name in str(caught.value)


def test_a_stale_constraint_is_refused():
    pyro.param("x", torch.ones(4))
    with pytest.raises(ParamStoreError, match="another constraint"):
        Model()()


def test_handlers_decide_the_value():
    model = Model()
    with poutine.substitute(data={"x": torch.zeros(4), "z": torch.zeros(4)}):
        x, z, _ = model()
    assert torch.equal(x, torch.zeros(4))
    assert torch.equal(z, torch.zeros(4))
    torch.manual_seed(0)
    lifted = poutine.lift(model, prior={"x": dist.Normal(100.0, 0.1).expand([4]).to_event(1)})
    trace = poutine.trace(lifted).get_trace()
    assert trace.nodes["x"]["type"] == "sample"
    assert trace.nodes["x"]["value"] is trace.nodes["_RETURN"]["value"][0]


def test_plates_cut_declared_parameters():
    class InPlate(Model):
        def forward(self) -> tuple[torch.Tensor, ...]:
            before = self.x
            with pyro.plate("rows", 4, subsample=torch.tensor([2, 0])):
                inside = self.x
            return before, inside, self.x

    before, inside, after = InPlate()()
    assert torch.allclose(before, torch.arange(1.0, 5.0))
    assert torch.allclose(inside, torch.tensor([3.0, 1.0]))
    assert torch.allclose(after, before)


def test_gradients_follow_the_grad_mode_of_each_read():
    class Mixed(Model):
        def forward(self) -> tuple[torch.Tensor, ...]:
            with torch.no_grad():
                without = self.x
            return without, self.x

    without, with_gradient = Mixed()()
    assert not without.requires_grad
    assert with_gradient.requires_grad


def test_frozen_parameters_stay_frozen():
    model = Model()
    model.requires_grad_(False)
    trace = poutine.trace(model).get_trace()
    assert {"x", "z"} <= set(trace.nodes)
    assert not any(leaf.requires_grad for leaf in model.parameters())
    assert "lin$$$weight" not in trace.nodes  # as `pyroxene.module` does


def test_functional_call_touches_neither_store_nor_module():
    model = Model()
    model()
    swapped = {"x_unconstrained": torch.zeros(4), "z": torch.full((4,), 5.0)}
    x, z, _ = torch.func.functional_call(model, swapped, ())
    assert torch.equal(x, torch.ones(4))
    assert torch.equal(z, swapped["z"])
    assert torch.allclose(model.x, torch.arange(1.0, 5.0))
    assert pyro.param("z") is model.z


def test_unconstrain():
    value = torch.tensor([0.2, 0.8])
    assert unconstrain("x", value, constraints.real) is value
    inverse = unconstrain("x", value, constraints.simplex)
    assert torch.allclose(torch.softmax(inverse, -1), value)
    with pytest.raises(ConstraintError, match="'x' violates"):
        unconstrain("x", -value, constraints.positive)
    with pytest.raises(OptionError, match="'x' is no tensor") as caught:
        unconstrain("x", 3.0, constraints.real)
    assert "torch.tensor(3.0)" in str(caught.value)


# the setting module_local_params ----------------------------------------------------------------------------


def test_local_parameters_are_statements_that_leave_the_store_alone():
    pyro.param("x", torch.full((4,), 9.0), constraint=constraints.positive)
    with settings.context(module_local_params=True):
        model = Model()
        trace = poutine.trace(model).get_trace()
        x = model()[0]
    assert [name for name in trace.nodes if not name.startswith("_")] == ["x", "z", "lin$$$weight", "lin$$$bias"]
    assert trace.nodes["x"]["value"].unconstrained() is model.x_unconstrained
    assert trace.nodes["z"]["value"].unconstrained() is model.z
    assert torch.allclose(x, torch.arange(1.0, 5.0))
    assert list(pyro.get_param_store()) == ["x"]
    assert torch.allclose(pyro.param("x"), torch.full((4,), 9.0))


def test_local_parameters_of_equal_names_are_separate():
    with settings.context(module_local_params=True):
        one, other = Model(), Model(size=2)
        other.x = torch.full((2,), 3.0)
        assert torch.allclose(one()[0], torch.arange(1.0, 5.0))
        assert torch.allclose(other()[0], torch.full((2,), 3.0))
    assert not pyro.get_param_store()


class Asks(PyroModule):
    def forward(self) -> torch.Tensor:
        return pyro.param("outside", torch.zeros(2))


def test_global_parameters_in_a_local_module_are_refused():
    with settings.context(module_local_params=True):
        with pytest.raises(NotImplementedError, match="outside"):
            Asks()()
        with settings.context(validate_poutine=False):
            assert torch.equal(Asks()(), torch.zeros(2))
    assert not pyro.get_param_store()
    assert torch.equal(Asks()(), torch.zeros(2))
    assert list(pyro.get_param_store()) == ["outside"]


def test_registering_a_child_by_hand_is_local_too():
    class Registers(Model):
        def forward(self) -> nn.Module:
            return pyro.module("lin", self.lin)

    with settings.context(module_local_params=True):
        model = Registers()
        assert model() is model.lin
    assert not pyro.get_param_store()
