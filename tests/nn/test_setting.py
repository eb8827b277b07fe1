"""PyroModule: setting attributes to one kind after another, deleting them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.distributions import constraints
from pyroxene.errors import ConstraintError, NotInitializedError, OptionError
from pyroxene.nn import PyroModule, PyroModuleList, PyroParam, PyroSample

Linear = PyroModule[nn.Linear]


class Model(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.x = PyroParam(torch.tensor([1.0, 2.0]), constraints.positive)
        self.y = PyroParam(torch.ones(3))
        self.z = nn.Parameter(torch.zeros(2))
        self.s = PyroSample(dist.Normal(0.0, 1.0))
        self.lin = nn.Linear(1, 1)
        self.sub = PyroModule()
        self.sub.lin = Linear(1, 1)
        self.layers = PyroModuleList([Linear(1, 1)])
        self.register_buffer("b", torch.ones(1))
        self.plain = "plain"

    def forward(self) -> None:
        _ = self.x, self.y, self.z, self.s, self.lin, self.b
        _ = self.sub.lin(torch.ones(1)), self.layers[0](torch.ones(1))


# setting ----------------------------------------------------------------------------------------------------


def test_setting_a_declared_parameter_keeps_its_leaf():
    model = Model()
    model()
    leaf = model.x_unconstrained
    value = torch.tensor([3.0, 4.0])
    model.x = value
    assert model.x_unconstrained is leaf
    assert torch.allclose(model.x, value)
    assert torch.allclose(pyro.param("x"), value)
    model.y = value
    with torch.no_grad():
        model.y_unconstrained.add_(1.0)
    assert value.tolist() == [3.0, 4.0]
    assert leaf.requires_grad and leaf.is_leaf


def test_setting_inside_a_call():
    class Sets(Model):
        def forward(self) -> Any:
            before = self.x
            self.x = torch.tensor([5.0, 6.0])
            return before, self.x

    before, after = Sets()()
    assert torch.allclose(before, torch.tensor([1.0, 2.0]))
    assert torch.allclose(after, torch.tensor([5.0, 6.0]))
    assert torch.allclose(pyro.param("x"), after)


def test_initial_tensors_are_taken_over_as_torch_does():
    tensor, parameter = torch.ones(2), nn.Parameter(torch.ones(2))
    module = PyroModule()
    module.a = PyroParam(tensor)
    module.b = PyroParam(parameter)
    module.c = PyroParam(torch.ones(1).expand(3))
    assert module.a.data_ptr() == tensor.data_ptr()
    assert module.b is parameter
    with torch.no_grad():
        module.c.add_(torch.arange(3.0))
    assert module.c.tolist() == [1.0, 2.0, 3.0]


KINDS: dict[str, Callable[[], Any]] = {
    "param": lambda: PyroParam(torch.full((2,), 3.0), constraints.positive),
    "sample": lambda: PyroSample(dist.Normal(0.0, 1.0)),
    "parameter": lambda: nn.Parameter(torch.full((2,), 3.0)),
    "module": lambda: Linear(1, 1),
}


def put(module: PyroModule, kind: str) -> None:
    if kind == "buffer":
        module.register_buffer("a", torch.ones(1))
    elif kind == "plain":
        module.a = 3
    else:
        module.a = KINDS[kind]()


CHANGES = [(before, after) for before in (*KINDS, "buffer", "plain") for after in KINDS]
CHANGES.remove(("parameter", "module"))  # torch refuses it


@pytest.mark.parametrize("before, after", CHANGES)
def test_an_attribute_may_become_another_kind(before: str, after: str):
    module, fresh = PyroModule(), PyroModule()
    put(module, before)
    with module._pyro_context:
        _ = module.a if before != "module" else module.a.weight
    put(module, after)
    put(fresh, after)
    assert not pyro.get_param_store()
    assert list(module.state_dict()) == list(fresh.state_dict())
    assert (list(module._pyro_params), list(module._pyro_samples)) == (
        list(fresh._pyro_params),
        list(fresh._pyro_samples),
    )
    assert "a" not in module.__dict__
    assert type(module.a) is type(fresh.a)


def test_a_fixed_value_in_the_place_of_a_random_one():
    module = Model()
    module.s = torch.tensor(3.0)
    assert module.s == 3.0
    assert "s" not in poutine.trace(module).get_trace().nodes
    del module.s
    assert not hasattr(module, "s")


def test_replacing_keeps_the_order_of_children():
    net = PyroModule[nn.Sequential](Linear(1, 1), nn.ReLU(), Linear(1, 1))
    net[0] = Linear(1, 1)
    assert list(net._modules) == ["0", "1", "2"]
    net.a, net.b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    net.a = nn.Parameter(torch.zeros(1))
    assert list(net._parameters) == ["a", "b"]


def test_none():
    module = Linear(1, 1)
    module(torch.ones(1))
    module.bias = None
    assert module.bias is None
    assert list(pyro.get_param_store()) == ["weight"]
    assert torch.equal(module(torch.zeros(1)), torch.zeros(1))
    module.x = PyroParam(torch.ones(1))
    module.x = None
    assert module.x is None
    assert list(module.state_dict()) == ["weight"]
    module.child = Linear(1, 1)
    module.child = None
    assert module.child is None


def test_new_modules_do_not_disturb_the_parameters_of_others():
    pyro.param("weight", torch.ones(1))
    module = Linear(1, 1)
    module.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 1]).to_event(2))
    assert list(pyro.get_param_store()) == ["weight"]


def test_replaced_parameters_leave_the_store():
    model = Model()
    model()
    model.z = nn.Parameter(torch.ones(2))
    model.sub = PyroModule()
    model.lin = nn.Linear(1, 1)
    assert sorted(pyro.get_param_store()) == ["layers.0.bias", "layers.0.weight", "x", "y"]


@pytest.mark.parametrize("wrong", [PyroParam(-torch.ones(2), constraints.positive), -torch.ones(2)])
def test_values_outside_the_constraint(wrong: object):
    model = Model()
    with pytest.raises(ConstraintError, match="'x' violates") as caught:
        model.x = wrong
    assert isinstance(caught.value, ValueError)
    assert __file__ in str(caught.value)
    assert torch.allclose(model.x, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("wrong", [3.0, [1.0], PyroParam(3.0), PyroParam(), PyroParam(lambda: 3.0)])
def test_values_that_are_no_tensors(wrong: object):
    model = Model()
    with pytest.raises(OptionError, match="'x' is no tensor") as caught:
        model.x = wrong
    assert isinstance(caught.value, TypeError)
    assert torch.allclose(model.x, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("kind", list(KINDS))
def test_setting_before_init(kind: str):
    class Early(PyroModule):
        def __init__(self) -> None:
            self.plain = 3  # plain attributes may come first
            self.a = KINDS[kind]()
            super().__init__()

    with pytest.raises(NotInitializedError, match=r"'a' before PyroModule.__init__\(\) call") as caught:
        Early()
    assert isinstance(caught.value, AttributeError)
    assert "Early" in str(caught.value)


def test_reading_before_init():
    class Early(PyroModule):
        def __init__(self) -> None:
            _ = self.a

    with pytest.raises(AttributeError, match="'a'"):
        Early()


# deleting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, gone",
    [
        ("x", ["x"]),
        ("z", ["z"]),
        ("s", []),
        ("lin", ["lin$$$weight", "lin$$$bias"]),
        ("sub", ["sub.lin.weight", "sub.lin.bias"]),
        ("layers", ["layers.0.weight", "layers.0.bias"]),
        ("b", []),
        ("plain", []),
    ],
)
def test_deleting(name: str, gone: list[str]):
    model = Model()
    model()
    before = set(pyro.get_param_store())
    delattr(model, name)
    assert not hasattr(model, name)
    assert before - set(pyro.get_param_store()) == set(gone)
    assert not any(key.split(".")[0].removesuffix("_unconstrained") == name for key in model.state_dict())
    with pytest.raises(AttributeError):
        delattr(model, name)


def test_deleting_the_leaf_deletes_the_parameter():
    model = Model()
    model()
    del model.x_unconstrained
    assert not hasattr(model, "x")
    assert "x" not in pyro.get_param_store()


def test_deleting_a_random_weight_restores_nothing():
    linear = Linear(2, 3)
    linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([3, 2]).to_event(2))
    assert list(linear._parameters) == ["bias"]
    del linear.weight
    assert not hasattr(linear, "weight")
