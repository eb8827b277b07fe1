"""Declarations: what they hold, what they refuse, how they stand in a class body."""

from __future__ import annotations

import pickle

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.distributions import constraints
from pyroxene.errors import NotCallableError, OptionError
from pyroxene.nn import PyroModule, PyroParam, PyroSample


class Declared(PyroModule):
    x = PyroParam(torch.tensor([1.0, 2.0]), constraint=constraints.positive)
    y = PyroSample(dist.Normal(0.0, 1.0))

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    @PyroParam(constraint=constraints.positive, event_dim=1)
    def scale(self) -> torch.Tensor:
        self.made += 1
        return torch.full((3,), 4.0)

    @PyroParam
    def loc(self) -> torch.Tensor:
        return torch.zeros(2)

    @PyroSample
    def z(self) -> dist.Normal:
        return dist.Normal(self.loc.sum(), self.scale.sum())

    @PyroSample
    def wrong(self) -> dist.Normal:
        return dist.Normal(self.no_such_attribute, 1.0)

    def forward(self) -> tuple[torch.Tensor, ...]:
        return self.scale, self.z, self.y


def test_param_is_a_named_tuple_with_pyros_fields():
    init = torch.ones(2)
    declared = PyroParam(init, constraints.positive, 1)
    assert declared.init_value is init
    assert declared[1:] == (constraints.positive, 1)
    assert PyroParam._fields == ("init_value", "constraint", "event_dim")
    assert PyroParam().constraint is constraints.real
    assert type(pickle.loads(pickle.dumps(declared))) is PyroParam


def test_class_body_is_made_on_first_read_and_once():
    module = Declared()
    assert not list(module.parameters())
    assert module.made == 0
    assert torch.allclose(module.scale, torch.full((3,), 4.0))
    assert torch.allclose(module.scale, torch.full((3,), 4.0))
    assert module.made == 1
    assert list(module.state_dict()) == ["scale_unconstrained"]
    assert module._pyro_params == {"scale": (constraints.positive, 1)}


def test_class_body_tensors_are_not_shared_by_instances():
    one, other = Declared(), Declared()
    one.x = torch.tensor([5.0, 6.0])
    assert torch.allclose(one.x, torch.tensor([5.0, 6.0]))
    assert torch.allclose(other.x, torch.tensor([1.0, 2.0]))
    assert torch.equal(Declared.x.init_value, torch.tensor([1.0, 2.0]))


def test_a_tensor_set_before_the_first_read_becomes_the_parameter():
    module = Declared()
    module.scale = torch.full((3,), 2.0)
    assert module.made == 0
    assert torch.allclose(module.scale, torch.full((3,), 2.0))
    assert list(module.state_dict()) == ["scale_unconstrained"]


def test_class_body_statements():
    torch.manual_seed(0)
    trace = poutine.trace(Declared()).get_trace()
    sites = {name: site["type"] for name, site in trace.nodes.items() if not name.startswith("_")}
    assert sites == {"scale": "param", "loc": "param", "z": "sample", "y": "sample"}
    assert trace.nodes["scale"]["kwargs"] == {"constraint": constraints.positive, "event_dim": 1}
    assert trace.nodes["z"]["fn"].scale.item() == pytest.approx(12.0)


def test_an_attribute_error_inside_a_prior_names_the_attribute_that_is_missing():
    with pytest.raises(AttributeError, match="no_such_attribute"):
        _ = Declared().wrong


def test_class_body_module_pickles():
    module = Declared()
    _ = module.scale, module.z
    copy = pickle.loads(pickle.dumps(module))
    assert torch.equal(copy.scale, module.scale)
    assert copy.z.shape == ()


def test_declarations_outside_a_pyro_module():
    class Plain:
        x = PyroParam(torch.ones(1))
        y = PyroSample(dist.Normal(0.0, 1.0))

    assert isinstance(Plain.x, PyroParam)
    assert isinstance(Plain.y, PyroSample)
    with pytest.raises(AttributeError, match="PyroModule"):
        _ = Plain().x
    with pytest.raises(AttributeError, match="PyroModule"):
        _ = Plain().y


def test_decorator_with_an_initial_value_is_refused():
    with pytest.raises(OptionError, match="initial value already"):
        PyroParam(torch.ones(1))(lambda self: torch.ones(1))


@pytest.mark.parametrize("prior", [3, "normal", torch.ones(1), None])
def test_prior_that_is_no_prior(prior: object):
    with pytest.raises(NotCallableError, match="not callable") as caught:
        PyroSample(prior)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("prior", [lambda: dist.Normal(0.0, 1.0), lambda a, b: dist.Normal(a, b)])
def test_prior_of_another_number_of_arguments(prior: object):
    with pytest.raises(OptionError, match="self") as caught:
        PyroSample(prior)
    assert isinstance(caught.value, AssertionError)


class Maker:
    def __call__(self, module: PyroModule) -> dist.Normal:
        return dist.Normal(0.0, 1.0)

    def method(self, module: PyroModule) -> dist.Normal:
        return dist.Normal(0.0, 1.0)


@pytest.mark.parametrize(
    "prior", [lambda *a: dist.Normal(0.0, 1.0), lambda self, k=1: dist.Normal(0.0, k), Maker(), Maker().method]
)
def test_priors_that_take_one_argument(prior: object):
    module = PyroModule()
    module.x = PyroSample(prior)
    assert module.x.shape == ()
