"""Trees: containers keep names and positions together, conversion and clearing."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.distributions import constraints
from pyroxene.errors import OptionError
from pyroxene.nn import PyroModule, PyroModuleList, PyroParam, PyroSample
from pyroxene.nn import module as module_file
from pyroxene.nn.module import clear, to_pyro_module_

Linear = PyroModule[nn.Linear]


def names(modules: nn.Module) -> list[str | None]:
    return [getattr(child, "_pyro_name", None) for child in modules]


def sites(model: object, *args: object) -> list[str]:
    trace = poutine.trace(model).get_trace(*args)
    return [name for name in trace.nodes if not name.startswith("_")]


def test_pyros_names_are_here():
    for name in ("PyroModule", "PyroModuleList", "PyroParam", "PyroSample", "pyro_method", "to_pyro_module_", "clear"):
        assert hasattr(module_file, name)
    assert module_file._Context is type(PyroModule()._pyro_context)
    assert module_file._PyroModuleMeta is type(PyroModule)


class Stack(PyroModule):
    def __init__(self) -> None:
        super().__init__("top")
        self.layers = PyroModuleList([Linear(2, 2), nn.Linear(2, 2), Linear(2, 2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_list_names_its_modules():
    model = Stack()
    assert names(model.layers) == ["top.layers.0", None, "top.layers.2"]
    assert sites(model, torch.zeros(2)) == [
        "top.layers.0.weight",
        "top.layers.0.bias",
        "top.layers.2.weight",
        "top.layers.2.bias",
    ]


@pytest.mark.parametrize("kind", ["list", "sequential"])
def test_names_follow_positions(kind: str):
    children = [Linear(2, 2) for _ in range(3)]
    model = PyroModule("top")
    model.it = PyroModuleList(children) if kind == "list" else PyroModule[nn.Sequential](*children)
    it = model.it

    def check() -> None:
        assert names(it) == [f"top.it.{index}" for index in range(len(it))]
        assert all(child._pyro_context is model._pyro_context for child in it)

    check()
    it.append(Linear(2, 2))
    check()
    it.extend([Linear(2, 2)])
    check()
    it.insert(0, Linear(2, 2))
    check()
    it[1] = Linear(2, 2)
    check()
    del it[0]
    check()
    it.pop(1)
    check()


def test_a_module_that_moves_up_keeps_its_own_values():
    model = PyroModule("top")
    model.it = PyroModuleList([PyroModule(), PyroModule()])
    for value, child in zip((1.0, 2.0), model.it):
        child.x = PyroParam(torch.tensor(value), constraints.positive)
    with model._pyro_context:
        assert [child.x.item() for child in model.it] == pytest.approx([1.0, 2.0])
        assert list(pyro.get_param_store()) == ["top.it.0.x", "top.it.1.x"]
        del model.it[0]
        assert [child.x.item() for child in model.it] == pytest.approx([2.0])
    assert list(pyro.get_param_store()) == ["top.it.0.x"]
    assert pyro.param("top.it.0.x").item() == pytest.approx(2.0)


@pytest.mark.parametrize("kind, plain", [("list", nn.ModuleList), ("sequential", nn.Sequential)])
def test_a_slice_leaves_the_names_alone(kind: str, plain: type):
    model = PyroModule("top")
    children = [Linear(2, 2) for _ in range(3)]
    model.it = PyroModuleList(children) if kind == "list" else PyroModule[nn.Sequential](*children)
    part = model.it[1:]
    assert type(part) is plain
    assert list(part) == children[1:]
    assert names(model.it) == ["top.it.0", "top.it.1", "top.it.2"]
    assert model.it[-1] is children[2]


def test_nested_lists():
    model = PyroModule("top")
    model.it = PyroModuleList([PyroModuleList([Linear(1, 1)])])
    assert model.it[0][0]._pyro_name == "top.it.0.0"
    assert PyroModule[nn.ModuleDict]({"a": Linear(1, 1)})["a"]._pyro_name == "a"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_containers_copy(copied: object):
    torch.manual_seed(0)
    model = Stack()
    model.chain = PyroModule[nn.Sequential](Linear(2, 2), nn.ReLU())
    model(torch.zeros(2))
    twin = copied(model)
    assert type(twin.layers) is PyroModuleList
    assert type(twin.chain) is type(model.chain)
    assert names(twin.layers) == names(model.layers)
    pyro.clear_param_store()
    assert torch.equal(twin(torch.ones(2)), model(torch.ones(2)))


def test_plain_containers_register_what_they_hold_when_read():
    class Holds(PyroModule):
        def __init__(self) -> None:
            super().__init__("top")
            self.it = nn.ModuleList([nn.Linear(1, 1), Linear(1, 1)])

        def forward(self) -> None:
            _ = self.it

    expected = [f"top.it$$${index}.{name}" for index in range(2) for name in ("weight", "bias")]
    assert sites(Holds()) == expected


# to_pyro_module_ --------------------------------------------------------------------------------------------


def test_conversion_in_place():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Sequential(nn.Linear(2, 1)))
    x = torch.ones(3, 1)
    before = net(x)
    to_pyro_module_(net)
    assert type(net) is PyroModule[nn.Sequential]
    assert type(net[2][0]) is Linear
    assert net[2][0]._pyro_context is net._pyro_context
    assert sites(net, x) == ["0.weight", "0.bias", "2.0.weight", "2.0.bias"]
    assert torch.equal(net(x), before)


def test_converted_modules_join_a_tree():
    net = nn.Sequential(nn.Linear(1, 1))
    to_pyro_module_(net)
    model = PyroModule("top")
    model.net = net
    assert net[0]._pyro_name == "top.net.0"
    model.plain = nn.Sequential(nn.Linear(1, 1))
    to_pyro_module_(model)
    assert model.plain[0]._pyro_name == "top.plain.0"
    assert model._pyro_name == "top"


def test_conversion_of_the_top_only():
    net = nn.Sequential(nn.Linear(1, 1), Linear(1, 1))
    to_pyro_module_(net, recurse=False)
    assert type(net) is PyroModule[nn.Sequential]
    assert type(net[0]) is nn.Linear
    assert net[1]._pyro_name == "1"


def test_every_weight_random():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    to_pyro_module_(net)
    for child in list(net.modules()):
        for name, value in list(child.named_parameters(recurse=False)):
            setattr(child, name, PyroSample(dist.Normal(0.0, 1.0).expand(value.shape).to_event(value.dim())))
    trace = poutine.trace(net).get_trace(torch.ones(4, 2))
    assert list(dict(trace.iter_stochastic_nodes())) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    w0, b0, w2, b2 = (site["value"] for _, site in trace.iter_stochastic_nodes())
    by_hand = torch.tanh(torch.ones(4, 2) @ w0.T + b0) @ w2.T + b2
    assert torch.allclose(trace.nodes["_RETURN"]["value"], by_hand)
    assert not list(net.parameters())


def test_conversion_of_something_else():
    with pytest.raises(TypeError, match=r"Expected an nn\.Module instance"):
        to_pyro_module_(3)


# clear ------------------------------------------------------------------------------------------------------


def test_clear_empties_a_module_and_its_part_of_the_store():
    class Full(PyroModule):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.x = PyroParam(torch.ones(2), constraints.positive)
            self.z = nn.Parameter(torch.ones(2))
            self.s = PyroSample(dist.Normal(0.0, 1.0))
            self.lin = nn.Linear(1, 1)
            self.sub = Linear(1, 1)
            self.register_buffer("b", torch.ones(1))

        def forward(self) -> object:
            return self.x, self.z, self.lin, self.sub.weight

    model, other = Full("top"), Full("topping")
    model(), other()
    pyro.param("top.other", torch.ones(1))
    sub = model.sub
    clear(model)
    assert not list(model.parameters())
    assert not list(model.children())
    assert not hasattr(model, "x")
    assert torch.equal(model.b, torch.ones(1))
    assert list(model._pyro_samples) == ["s"]
    assert sub.weight.shape == (1, 1)
    left = [name for name in pyro.get_param_store() if not name.startswith("topping")]
    assert left == ["top.other"]
    assert "topping.x" in pyro.get_param_store()
    assert "topping.lin$$$weight" in pyro.get_param_store()


def test_clear_removes_what_a_loaded_store_left():
    pyro.param("x", torch.ones(3))
    model = PyroModule()
    model.x = PyroParam(torch.ones(2))
    clear(model)
    assert not pyro.get_param_store()


def test_clear_of_something_else():
    with pytest.raises(OptionError, match="PyroModule"):
        clear(nn.Linear(1, 1))
