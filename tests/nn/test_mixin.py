"""`PyroModule[...]`: one class a torch class, an instance of both, picklable by itself and in modules."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import OptionError
from pyroxene.nn import PyroModule, PyroModuleList, PyroSample


class Affine(PyroModule[nn.Linear]):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 1.0


def test_one_class_for_each_torch_class():
    mixin = PyroModule[nn.Linear]
    assert PyroModule[nn.Linear] is mixin
    assert mixin.__name__ == "PyroLinear"
    assert issubclass(mixin, nn.Linear)
    assert issubclass(mixin, PyroModule)
    assert PyroModule[mixin] is mixin
    assert PyroModule[Affine] is Affine
    assert PyroModule[nn.Module] is PyroModule
    assert PyroModule[PyroModule] is PyroModule
    assert PyroModule[nn.ModuleList] is PyroModuleList


def test_it_works_as_the_torch_class():
    torch.manual_seed(0)
    ours = PyroModule[nn.Linear](3, 2)
    torch.manual_seed(0)
    torchs = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    assert torch.equal(ours(x), torchs(x))
    assert repr(ours) == "PyroLinear(in_features=3, out_features=2, bias=True)"
    assert PyroModule[nn.Linear](3, 2, bias=False).bias is None


def test_subclass_of_a_mixin():
    torch.manual_seed(0)
    module = Affine(2, 1)
    module.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))
    trace = poutine.trace(module).get_trace(torch.zeros(2))
    assert [name for name in trace.nodes if not name.startswith("_")] == ["weight", "bias"]
    assert torch.allclose(trace.nodes["_RETURN"]["value"], module.bias + 1.0)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_classes_and_instances_pickle(protocol: int):
    assert pickle.loads(pickle.dumps(PyroModule[nn.Linear], protocol)) is PyroModule[nn.Linear]
    assert pickle.loads(pickle.dumps(Affine, protocol)) is Affine
    for module in (PyroModule[nn.Linear](2, 1), Affine(2, 1), PyroModule[nn.GRU](2, 1)):
        twin = pickle.loads(pickle.dumps(module, protocol))
        assert type(twin) is type(module)
        assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), module.parameters()))
        assert type(copy.deepcopy(module)) is type(module)


def test_what_pyros_pickles_call():
    made = type(PyroModule)._New(nn.Linear)
    assert type(made) is PyroModule[nn.Linear]


@pytest.mark.parametrize("wrong", [int, 3, nn.Linear(1, 1)])
def test_not_a_class_of_modules(wrong: object):
    with pytest.raises(OptionError, match="class of modules") as caught:
        PyroModule[wrong]
    assert isinstance(caught.value, AssertionError)


def test_recurrent_networks_read_their_weights_as_statements():
    torch.manual_seed(0)
    net = PyroModule[nn.GRU](1, 1)
    net.weight_hh_l0 = PyroSample(dist.Normal(torch.zeros(3, 1), 1.0).to_event(2))
    x = torch.ones(2, 1)
    trace = poutine.trace(net).get_trace(x)
    sites = {name: site["type"] for name, site in trace.nodes.items() if not name.startswith("_")}
    assert sites == {
        "weight_ih_l0": "param",
        "weight_hh_l0": "sample",
        "bias_ih_l0": "param",
        "bias_hh_l0": "param",
    }
    plain = nn.GRU(1, 1)
    with torch.no_grad():
        for name in sites:
            getattr(plain, name).copy_(trace.nodes[name]["value"])
    assert torch.allclose(plain(x)[0], trace.nodes["_RETURN"]["value"][0])
