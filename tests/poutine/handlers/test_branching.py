"""`queue` and the functions that say where a run is cut and how it goes on."""

from __future__ import annotations

from queue import LifoQueue, Queue

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import UsageError
from pyroxene.poutine.util import all_escape, discrete_escape, enum_extend, mc_extend


def model():
    a = pyroxene.sample("a", dist.Bernoulli(0.3))
    pyroxene.sample("o", dist.Bernoulli(0.3), obs=torch.tensor(1.0))
    with pyroxene.plate("p", 2):
        pyroxene.sample("z", dist.Normal(0.0, 1.0))
    b = pyroxene.sample("b", dist.Categorical(torch.ones(3) / 3))
    return int(a), int(b)


def start(kind=Queue):
    queue = kind()
    queue.put(poutine.Trace())
    return queue


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Queue, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
        (LifoQueue, [(1, 2), (1, 1), (1, 0), (0, 2), (0, 1), (0, 0)]),
    ],
)
def test_each_combination_of_discrete_values_is_run_once(kind, expected):
    queue = start(kind)
    run = poutine.queue(model, queue)
    results = []
    while not queue.empty():
        results.append(run())
    assert results == expected


def test_complete_runs_can_be_traced():
    queue = start(LifoQueue)
    traced = poutine.trace(poutine.queue(model, queue=queue))
    for _ in range(6):
        trace = traced.get_trace()
        assert [name for name in trace.nodes if name[0] != "_"] == ["a", "o", "p", "z", "b"]
        assert (trace.nodes["a"]["value"], trace.nodes["b"]["value"]) == trace.nodes["_RETURN"]["value"]


def test_as_decorator_with_samples_in_the_place_of_values():
    queue = start()

    @poutine.queue(queue=queue, extend_fn=mc_extend, escape_fn=all_escape, num_samples=2)
    def decorated():
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        return x, pyroxene.sample("y", dist.Normal(x, 1.0))

    results = [decorated() for _ in range(4)]
    assert len({float(x) for x, _ in results}) == 2 and len({float(y) for _, y in results}) == 4
    assert queue.empty()


def test_a_queue_that_gives_no_complete_run():
    with pytest.raises(UsageError, match="queue of traces is empty"):
        poutine.queue(model, queue=Queue())()
    with pytest.raises(ValueError, match=r"max tries \(2\) exceeded"):
        poutine.queue(model, queue=start(), max_tries=2)()
    with pytest.raises(UsageError, match="needs a queue"):
        poutine.queue(model)


def test_where_and_how():
    trace = poutine.trace(lambda: pyroxene.sample("a", dist.Categorical(torch.ones(3)))).get_trace()
    site, empty = trace.nodes["a"], poutine.Trace()
    assert all_escape(empty, site) and discrete_escape(empty, site)
    assert not all_escape(trace, site) and not discrete_escape(trace, site)
    normal = poutine.trace(lambda: pyroxene.sample("n", dist.Normal(0.0, 1.0))).get_trace().nodes["n"]
    assert all_escape(empty, normal) and not discrete_escape(empty, normal)
    assert [int(t.nodes["a"]["value"]) for t in enum_extend(empty, site)] == [0, 1, 2]
    assert [len(enum_extend(empty, site, n)) for n in (1, 2, 9, -1)] == [1, 2, 3, 3]
    assert [len(mc_extend(empty, site, n)) for n in (None, 1, 4)] == [1, 1, 4]
    assert len(empty) == 0 and enum_extend(trace.copy(), normal | {"fn": dist.Bernoulli(0.5)})[0].nodes["n"]["done"]
