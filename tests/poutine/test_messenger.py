"""Handlers that users write: every hook of `Messenger`, as they were written for Pyro."""

from __future__ import annotations

import copy
import inspect
import pickle
from functools import partial

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import UsageError
from pyroxene.poutine.messenger import Messenger, ReentrantMessenger, block_messengers, unwrap
from pyroxene.poutine.runtime import _PYRO_STACK

NORMAL = dist.Normal(0.0, 1.0)
TWO = dist.Delta(torch.tensor(2.0))


def draw(name="x"):
    return pyroxene.sample(name, TWO)


class Plus(Messenger):
    def __init__(self, number=1.0):
        super().__init__()
        self.number = number

    def _pyro_post_sample(self, msg):
        msg["value"] = msg["value"] + self.number


def test_as_context_manager_wrapper_and_decorator():
    with Plus() as plus:
        assert draw() == 3 and isinstance(plus, Plus)
    assert Plus(3.0)(draw)() == 5

    @Plus(4.0)
    def decorated(name):
        """Draw."""
        return draw(name)

    assert decorated("y") == 6
    assert decorated.__name__ == "decorated" and decorated.__doc__ == "Draw."
    assert list(inspect.signature(decorated).parameters) == ["name"]
    assert draw() == 2
    with pytest.raises(UsageError, match="Plus wraps a callable"):
        Plus()(3)


def test_a_handler_decorates_a_method():
    class Model:
        shift = 10

        @Plus(4.0)
        def run(self, name):
            return draw(name) + self.shift

    assert Model().run("x") == 16
    assert Model.run(Model(), "x") == 16


def test_wrapped_functions_copy_and_pickle():
    wrapped = Plus(3.0)(draw)
    assert copy.deepcopy(wrapped)() == 5
    assert "Plus" in repr(wrapped)
    assert pickle.loads(pickle.dumps(poutine.scale(pyroxene.clear_param_store, scale=2.0)))() is None


def test_sampling_inside_a_handler_under_block():
    class Shift(Messenger):
        def _pyro_sample(self, msg):
            with poutine.block():
                noise = pyroxene.sample("noise", dist.Delta(torch.tensor(100.0)))
            msg["fn"] = dist.Delta(msg["fn"]() + noise)

        def _pyro_param(self, msg):
            msg["name"] = f"scoped/{msg['name']}"

    def model():
        return pyroxene.param("p", torch.ones(())), draw()

    with block_messengers(lambda handler: False) as out:
        trace = poutine.trace(Messenger()(model)).get_trace()
    assert out == [] and list(trace.nodes) == ["_INPUT", "p", "x", "_RETURN"]
    pyroxene.clear_param_store()

    class Once(Shift):
        def _pyro_sample(self, msg):
            if msg["name"] != "noise":
                super()._pyro_sample(msg)

    trace = poutine.trace(Once()(model)).get_trace()
    assert list(trace.nodes) == ["_INPUT", "scoped/p", "x", "_RETURN"]
    assert trace.nodes["x"]["value"] == 102


def test_overriding_the_dispatch():
    class Log(Messenger):
        def __init__(self):
            super().__init__()
            self.seen = []

        def _process_message(self, msg):
            self.seen.append((msg["type"], msg["name"]))
            super()._process_message(msg)

        def _postprocess_message(self, msg):
            super()._postprocess_message(msg)
            self.seen.append((msg["value"],))

        def _pyro_sample(self, msg):
            if msg["name"] == "x":
                msg["value"] = torch.tensor(5.0)

    with Log() as log:
        draw()
        with pyroxene.plate("p", 2):
            pass
        pyroxene.param("w", torch.tensor(1.0))
        pyroxene.barrier(1)
    kinds = [entry for entry in log.seen if len(entry) == 2]
    assert kinds == [("sample", "x"), ("sample", "p"), ("param", "w"), ("barrier", None)]
    assert (torch.tensor(5.0),) in log.seen


def test_a_message_holds_every_key_that_handlers_rely_on():
    found = {}

    class Keep(Messenger):
        def _pyro_sample(self, msg):
            found.update(msg)

    with Keep():
        pyroxene.sample("x", NORMAL, torch.Size([2]), infer={"k": 1})
    fixed = {"type", "name", "fn", "is_observed", "args", "kwargs", "value", "scale", "mask", "cond_indep_stack"}
    assert fixed | {"done", "stop", "continuation", "infer"} <= set(found)
    assert (found["type"], found["args"], found["scale"], found["infer"]) == (
        "sample",
        (torch.Size([2]),),
        1.0,
        {"k": 1},
    )


def test_methods_may_be_added_to_the_class_or_the_instance_at_any_time():
    class Late(Messenger):
        pass

    five = torch.tensor(5.0)
    late = Late()
    with late:
        assert draw() == 2
        Late._pyro_sample = lambda self, msg: msg.__setitem__("value", five)
        assert draw() == 5
        late._pyro_sample = lambda msg: msg.__setitem__("value", five + 1)
        assert draw() == 6


def test_register_and_unregister():
    class Mine(Messenger):
        pass

    class Child(Mine):
        pass

    @Mine.register(type="sample")
    def before(msg):
        msg["value"] = torch.tensor(40.0)

    @Mine.register(type="sample", post=True)
    def after(msg):
        msg["value"] = msg["value"] + 2

    with Child():
        assert draw() == 42
    assert Mine.unregister(before, type="sample") is before
    with Mine():
        assert draw() == 2
    assert not hasattr(Messenger, "_pyro_sample")
    for act in (Mine.register, Mine.unregister):
        with pytest.raises(AssertionError, match="message type"):
            act(before)


def test_enter_and_exit_may_be_overridden():
    class Quiet(Messenger):
        def __enter__(self):
            super().__enter__()
            return 5

        def __exit__(self, *exc):
            super().__exit__(*exc)
            return True

    with Quiet() as five:
        raise ValueError
    assert five == 5


def test_a_failing_enter_leaves_no_handler_behind():
    class Broken(Messenger):
        def __enter__(self):
            super().__enter__()
            raise KeyError("broken")

    with poutine.block() as block:
        with pytest.raises(KeyError, match="broken"), Broken():
            pass
        assert list(_PYRO_STACK) == [block]


def test_an_instance_is_active_once():
    handler = Messenger()
    with handler:
        with pytest.raises(UsageError, match="cannot be installed twice"), handler:
            pass
    with handler:
        assert len(_PYRO_STACK) == 1


def test_blocks_are_left_in_reverse_order():
    first, second = Messenger(), Messenger()
    first.__enter__()
    second.__enter__()
    with pytest.raises(ValueError, match="not the innermost handler"):
        first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    first.__exit__(None, None, None)


def test_a_reentrant_handler_stands_on_the_stack_once():
    class Count(ReentrantMessenger):
        calls = 0

        def _pyro_sample(self, msg):
            self.calls += 1

    count = Count()

    @count
    def recurse(depth):
        draw()
        return recurse(depth - 1) if depth else len(_PYRO_STACK)

    with count, count:
        draw()
        assert len(_PYRO_STACK) == 1
    assert count.calls == 1 and len(_PYRO_STACK) == 0
    assert recurse(3) == 1 and count.calls == 5
    with pytest.raises(ValueError), count, count:
        raise ValueError
    assert len(_PYRO_STACK) == 0


def test_block_messengers_takes_handlers_out_for_a_while():
    with poutine.scale(scale=2.0) as scale, poutine.block() as block:
        with block_messengers(lambda handler: handler is scale) as out:
            assert out == [scale] and list(_PYRO_STACK) == [block]
        assert list(_PYRO_STACK) == [scale, block]


def test_unwrap_finds_the_function_inside():
    assert unwrap(draw) is draw
    assert unwrap(partial(poutine.block(poutine.trace(Plus()(draw))), "y")) is draw
    assert unwrap(poutine.reparam(draw, config={})) is draw
