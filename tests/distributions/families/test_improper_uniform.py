"""ImproperUniform."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions import constraints
from pyroxene.errors import ParameterError, PyroxeneError


@pytest.mark.parametrize(("batch", "event"), [((), ()), ((2,), ()), ((), (3,)), ((4, 2), (3, 3))])
def test_density_is_one_everywhere(batch, event):
    d = dist.ImproperUniform(constraints.positive, batch, event)
    assert d.batch_shape == batch and d.event_shape == event and d.support is constraints.positive
    for sample_shape in [(), (5,)]:
        value = torch.ones((*sample_shape, *batch, *event), dtype=torch.float64)
        log_prob = d.log_prob(value)
        assert log_prob.shape == (*sample_shape, *batch) and log_prob.dtype == torch.float64
        assert not log_prob.any()
    larger = d.expand((7, *batch))
    assert type(larger) is dist.ImproperUniform and larger.shape() == (7, *batch, *event)
    assert d.expand_by([2]).to_event().event_dim == 1 + len(batch) + len(event)


def test_it_copies():
    d = dist.ImproperUniform(constraints.interval(0.0, 1.0), (2,), ())
    for twin in [copy.deepcopy(d), pickle.loads(pickle.dumps(d))]:
        assert twin.support.upper_bound == 1.0 and twin.batch_shape == (2,)


def test_sampling_is_refused_with_a_cure():
    d = dist.ImproperUniform(constraints.real, (2,), ())
    with pytest.raises(NotImplementedError, match="does not support sampling") as caught:
        d()
    assert isinstance(caught.value, PyroxeneError) and "init_to" in str(caught.value) and "(2,)" in str(caught.value)


def test_the_support_must_be_a_constraint():
    with pytest.raises(ParameterError, match="must be a constraint"):
        dist.ImproperUniform((0.0, 1.0), (), ())
