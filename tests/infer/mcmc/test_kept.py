"""A kernel's target is recorded once for the same data, and anew as soon as anything that it was made of changes."""

from __future__ import annotations

import numpy
import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.infer import NUTS
from pyroxene.poutine import condition
from tests.infer.mcmc.programs import silent

WIDTH = 1.0


def model(y, scale=1.0):
    mean = pyroxene.sample("mean", dist.Normal(0.0, WIDTH))
    pyroxene.sample("spare", dist.Normal(0.0, 1.0))
    pyroxene.sample("y", dist.Normal(mean, scale).expand([len(y)]).to_event(1), obs=torch.as_tensor(y))


def with_parameter(y):
    model(y, pyroxene.param("scale", torch.tensor(1.0)))


def target(kernel, *args, **kwargs):
    return kernel.make_target(args, kwargs)


@pytest.fixture
def data():
    return torch.tensor([1.0, 2.0])


def test_the_same_data_are_recorded_once(data):
    kernel = NUTS(model, engine="eager")
    first = target(kernel, data)
    assert target(kernel, data) is first
    mcmc = silent(kernel, 5, 5)
    mcmc.run(data)
    assert target(kernel, data) is first


def test_whatever_changes_is_recorded_anew(data, monkeypatch):
    kernel = NUTS(model, engine="eager")
    kept = [target(kernel, data)]

    def is_new(*args, **kwargs) -> bool:
        kept.append(target(kernel, *args, **kwargs))
        return all(kept[-1] is not before for before in kept[:-1])

    assert is_new(data.clone())
    assert is_new(data, scale=2.0)
    data[0] = 3.0
    assert is_new(data, scale=2.0)
    monkeypatch.setitem(model.__globals__, "WIDTH", 5.0)
    assert is_new(data, scale=2.0)
    kernel.given_transforms = {"mean": torch.distributions.transforms.AffineTransform(0.0, 2.0)}
    assert is_new(data, scale=2.0)
    assert not is_new(data, scale=2.0)
    kernel.given_transforms.clear()
    assert is_new(data, scale=2.0)
    kernel.model = with_parameter
    assert is_new(data)


SCALES = {"y": [1.0]}


class Settings:
    """What a model reads."""

    def __init__(self):
        self.width = 1.0


HELD = Settings()
HELD.inner = Settings()


def reader(y):
    mean = pyroxene.sample("mean", dist.Normal(0.0, HELD.inner.width * sum(SCALES["y"])))
    pyroxene.sample("y", dist.Normal(mean, 1.0).expand([len(y)]).to_event(1), obs=y)


def test_what_a_model_reads_is_watched(data):
    kernel = NUTS(reader, engine="eager")

    def is_new():
        before, after = target(kernel, data), target(kernel, data)
        return before is not after

    assert not is_new()
    for change in (
        lambda: SCALES["y"].append(1.0),
        lambda: SCALES["y"].__setitem__(0, 3.0),
        lambda: SCALES.update(z=[1.0]),
        lambda: setattr(HELD.inner, "width", 2.0),
        lambda: setattr(HELD, "inner", Settings()),
    ):
        before = target(kernel, data)
        change()
        assert target(kernel, data) is not before
        assert not is_new()


def test_weights_of_a_network_are_watched(data):
    layer = torch.nn.Linear(1, 1)

    def through_layer(y):
        mean = pyroxene.sample("mean", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        pyroxene.sample("y", dist.Normal(layer(mean), 1.0).expand([len(y)]).to_event(1), obs=y)

    kernel = NUTS(through_layer, engine="eager")
    first = target(kernel, data)
    assert target(kernel, data) is first
    with torch.no_grad():
        layer.weight.add_(1.0)
    assert target(kernel, data) is not first


def test_objects_that_hide_what_they_hold_are_not_trusted(data):
    class Hidden:
        __slots__ = ("width",)

    hidden = Hidden()
    hidden.width = 1.0

    def hiding(y):
        mean = pyroxene.sample("mean", dist.Normal(0.0, hidden.width))
        pyroxene.sample("y", dist.Normal(mean, 1.0).expand([len(y)]).to_event(1), obs=y)

    kernel = NUTS(hiding, engine="eager")
    assert target(kernel, data) is not target(kernel, data)


def test_what_cannot_be_watched_is_recorded_each_time(data):
    parameters = NUTS(with_parameter, engine="eager")
    assert target(parameters, data) is not target(parameters, data)
    arrays = NUTS(model, engine="eager")
    array = numpy.array([1.0, 2.0], dtype=numpy.float32)
    assert target(arrays, array) is not target(arrays, array)
    handled = NUTS(model, engine="eager")
    plain = target(handled, data)
    with condition(data={"spare": torch.tensor(0.0)}):
        assert target(handled, data) is not plain
