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
