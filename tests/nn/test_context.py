"""Calls: random values are drawn once a call, threads and copies never share one."""

from __future__ import annotations

import copy
import threading

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.nn import PyroModule, PyroSample, pyro_method


class Inner(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.w = PyroSample(dist.Normal(0.0, 1.0))

    def forward(self) -> torch.Tensor:
        return self.w


class Outer(PyroModule):
    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.x = PyroSample(dist.Normal(0.0, 1.0))
        self.y = PyroSample(lambda self: dist.Normal(self.x, 1e-4))
        self.inner = Inner()

    def forward(self) -> tuple[torch.Tensor, ...]:
        return self.x, self.x, self.y, self.inner(), self.inner.w, self.inner()

    @pyro_method
    def twice(self, *, shift: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Read x twice."""
        return self.x + shift, self.x + shift


def test_drawn_once_in_a_call_and_anew_in_the_next():
    torch.manual_seed(0)
    module = Outer()
    first, second = module(), module()
    assert first[0] == first[1]
    assert abs(first[2] - first[0]) < 0.01
    assert first[3] == first[4] == first[5]
    assert first[0] != second[0]
    assert first[3] != second[3]


def test_drawn_anew_outside_a_call():
    torch.manual_seed(0)
    module = Outer()
    assert module.x != module.x
    assert not list(poutine.trace(lambda: (module.x, module.inner.w)).get_trace().iter_stochastic_nodes())


def test_pyro_method_is_a_call():
    torch.manual_seed(0)
    module = Outer("top")
    one, other = module.twice(shift=1.0)
    assert one == other
    assert list(dict(poutine.trace(module.twice).get_trace().iter_stochastic_nodes())) == ["top.x"]
    assert (Outer.twice.__name__, Outer.twice.__doc__) == ("twice", "Read x twice.")


def test_context_attributes():
    torch.manual_seed(0)
    module = Outer("top")
    context = module._pyro_context
    assert (context.active, context.cache, context.used) == (0, {}, False)
    with context:
        value = module.x
        assert context.active == 1
        assert context.get("top.x") is value
        assert context.cache == {"top.x": value}
        context.set("top.inner.w", torch.tensor(3.0))
        assert module.inner.w == 3.0
        with context:
            assert context.active == 2
            assert module.x is value
        assert module.x is value
    assert (context.active, context.cache, context.used) == (0, {}, True)
    assert context.get("top.x") is None


def test_a_call_that_fails_leaves_no_trace():
    class Fails(Outer):
        def forward(self) -> tuple[torch.Tensor, ...]:
            _ = self.x
            raise RuntimeError("as planned")

    module = Fails()
    with pytest.raises(RuntimeError, match="as planned"):
        module()
    assert (module._pyro_context.active, module._pyro_context.cache) == (0, {})


def test_a_copy_made_inside_a_call_is_outside_of_it():
    module = Outer()
    with module._pyro_context:
        _ = module.x
        twin = copy.deepcopy(module)
        assert twin._pyro_context is not module._pyro_context
        assert twin.inner._pyro_context is twin._pyro_context
        assert (twin._pyro_context.active, twin._pyro_context.cache) == (0, {})
        assert module._pyro_context.active == 1


def test_threads_draw_their_own():
    torch.manual_seed(0)
    both_inside = threading.Barrier(2, timeout=10)
    values: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    class Waits(Outer):
        def forward(self) -> tuple[torch.Tensor, ...]:
            first = self.x
            both_inside.wait()
            return first, self.x

    module = Waits()

    def run(index: int) -> None:
        values[index] = module()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values[0][0] == values[0][1]
    assert values[1][0] == values[1][1]
    assert values[0][0] != values[1][0]


def test_two_trees_in_one_run_do_not_share_values():
    torch.manual_seed(0)
    one, other = Outer("one"), Outer("other")

    def model() -> tuple[torch.Tensor, torch.Tensor]:
        return one()[0], other()[0]

    trace = poutine.trace(model).get_trace()
    assert {"one.x", "other.x"} <= set(trace.nodes)
    assert trace.nodes["one.x"]["value"] != trace.nodes["other.x"]["value"]


def test_two_trees_of_one_name_make_two_statements():
    torch.manual_seed(0)
    one, other = Outer(), Outer()
    with pytest.raises(RuntimeError, match="x"):
        poutine.trace(lambda: (one(), other())).get_trace()
    first, second = one()[0], other()[0]
    assert first != second
