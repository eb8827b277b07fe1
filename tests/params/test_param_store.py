"""The parameter store."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import weakref

import pytest
import torch

import pyroxene
from pyroxene.distributions import constraints
from pyroxene.errors import ParamStoreError, UsageError
from pyroxene.params import ParamStoreDict, StateDict, clear_param_store, get_param_store

ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)


@pytest.fixture
def store():
    """A store with a real and a positive parameter."""
    store = ParamStoreDict()
    store["a"] = ONE
    store.setdefault("b", TWO, constraint=constraints.positive)
    return store


def test_reading_gives_constrained_values_and_their_leaves(store):
    a, b = store["a"], store["b"]
    assert a == 1 and a is a.unconstrained() and a.is_leaf and a.requires_grad
    assert b == 2 and isinstance(b.unconstrained, weakref.ref)
    torch.testing.assert_close(b.unconstrained().detach(), TWO.log())
    (3 * b).backward()
    torch.testing.assert_close(b.unconstrained().grad, torch.tensor(6.0))
    assert store["b"].unconstrained() is b.unconstrained()


def test_it_is_a_mapping(store):
    assert list(store) == list(store.keys()) == ["a", "b"] and len(store) == 2 and store
    assert "a" in store and "q" not in store
    assert [value.item() for value in store.values()] == [1, 2]
    assert {name: value.item() for name, value in store.items()} == {"a": 1, "b": 2}
    assert store.get("q") is None and store.get("q", 3) == 3
    assert store.pop("a") == 1 and store.pop("a", 4) == 4
    store.update({"c": TWO})
    assert list(store) == ["b", "c"]
    store.clear()
    assert not store
    for act in (lambda: store["b"], lambda: store.__delitem__("b"), lambda: store.pop("b")):
        with pytest.raises(KeyError):
            act()


def test_setting_keeps_the_constraint_and_the_place(store):
    store["a"] = TWO
    store["b"] = torch.tensor(5.0)
    assert list(store) == ["a", "b"] and store["b"] == 5
    with pytest.raises(ParamStoreError, match="violates its constraint"):
        store["b"] = -ONE


def test_setdefault(store):
    assert store.setdefault("b", torch.tensor(7.0)) == 2
    assert store.setdefault("b", torch.tensor(7.0), constraint=constraints.greater_than(0.0)) == 2
    made = store.setdefault("c", lambda: torch.ones(2), constraint=constraints.positive)
    assert made.tolist() == [1, 1]
    assert store.setdefault("c", lambda: 1 / 0).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("init", "constraint", "says"),
    [
        (torch.ones(2), constraints.positive, "another shape, perhaps left there by an earlier model"),
        (TWO, constraints.unit_interval, "another constraint"),
        (TWO, constraints.greater_than(1.0), "another constraint"),
    ],
)
def test_stale_parameters_are_refused(store, init, constraint, says):
    with pytest.raises(ParamStoreError, match=f"'b' is in the store with {says}") as caught:
        store.setdefault("b", init, constraint=constraint)
    assert "clear_param_store" in caught.value.hint and caught.value.expected is not None


@pytest.mark.parametrize(("value", "says"), [(-ONE, "violates its constraint"), (2.0, "is no tensor")])
def test_wrong_first_values_are_refused(value, says):
    with pytest.raises(ValueError, match=says):
        ParamStoreDict().setdefault("x", value, constraint=constraints.positive)


def test_module_parameters_are_stored_as_they_are():
    store, weight = ParamStoreDict(), torch.nn.Parameter(torch.ones(2))
    assert store.setdefault("w", weight) is weight is weight.unconstrained()
    plain = torch.zeros(3)
    value = store.setdefault("z", plain)
    plain += 1
    assert value.tolist() == [1, 1, 1]  # no copy is made
    assert store.setdefault("d", torch.ones(2).double(), constraint=constraints.positive).dtype == torch.float64


def test_leaves_have_names(store):
    assert dict(store.named_parameters()) == {"a": store["a"].unconstrained(), "b": store["b"].unconstrained()}
    leaf = store["b"].unconstrained()
    assert store.param_name(leaf) == "b" and store.param_name(torch.ones(())) is None
    del store["b"]
    assert store.param_name(leaf) is None


def test_two_names_of_one_leaf():
    store, leaf = ParamStoreDict(), torch.ones(2, requires_grad=True)
    store["a"], store["b"] = leaf, leaf
    assert store.param_name(leaf) == "b"
    del store["a"]
    assert store.param_name(leaf) == "b"


def test_leaves_can_be_put_in_by_name(store):
    leaf = torch.zeros((), requires_grad=True)
    store.put_leaf("b", leaf, constraints.positive)
    store.put_leaf("c", leaf)
    assert store.leaf("b") is store.leaf("c") is leaf and store.leaf("q") is None
    assert (store["b"], store["c"]) == (1, 0) and store.param_name(leaf) == "c"


def test_match_and_older_names(store):
    store["abc"] = ONE
    assert list(store.match("a")) == ["a", "abc"] and list(store.match("[ab]$")) == ["a", "b"]
    assert store.get_param("a") == 1 and store.get_param("new", TWO, constraint=constraints.positive) == 2
    assert set(store.get_all_param_names()) == {"a", "b", "abc", "new"}


def test_replace_param(store):
    old, new = store["b"].unconstrained(), torch.zeros((), requires_grad=True)
    store.replace_param("b", new, old)
    assert store["b"] == 1 and store.param_name(new) == "b" and store.param_name(old) is None
    with pytest.raises(ParamStoreError, match="not the tensor to be replaced"):
        store.replace_param("b", new, old)


# states --------------------------------------------------------------------------------------------------------------


def test_states(store):
    state: StateDict = store.get_state()
    leaf = store["b"].unconstrained()
    assert state["params"]["b"] is leaf and state["constraints"]["b"] is constraints.positive
    store.clear()
    store.set_state(state)
    assert store["b"] == 2 and store["b"].unconstrained() is leaf
    other = ParamStoreDict()
    other.set_state(pickle.loads(pickle.dumps(store.get_state())))
    assert other["b"] == 2 and other["b"].unconstrained() is not leaf
    for wrong in ({"a": 1}, [1]):
        with pytest.raises(AssertionError, match="no parameter store's state") as caught:
            store.set_state(wrong)
        assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda store: pickle.loads(pickle.dumps(store))])
def test_copies_are_independent(store, duplicate):
    with store.scope("named"):
        store["inner"] = TWO
    new = duplicate(store)
    new["a"] = torch.tensor(9.0)
    with torch.no_grad():
        new["b"].unconstrained().fill_(0.0)
    assert (store["a"], store["b"], new["a"], new["b"]) == (1, 2, 9, 1)
    with new.scope("named"):
        assert new["inner"] == 2


def test_save_and_load(store, tmp_path):
    store.save(tmp_path / "store.pt")
    file = io.BytesIO()
    store.save(file)
    file.seek(0)
    for source in (tmp_path / "store.pt", file):
        new = ParamStoreDict()
        new["old"] = ONE
        new.load(source)
        assert list(new) == ["a", "b"] and new["b"] == 2
        assert new["b"].unconstrained().requires_grad
        with pytest.raises(ParamStoreError):
            new["b"] = -ONE
    assert set(torch.load(tmp_path / "store.pt", weights_only=True)["params"]) == {"a", "b"}


# scopes --------------------------------------------------------------------------------------------------------------


def test_scopes_nest_and_hand_out_their_contents(store):
    with store.scope() as first:
        assert not store
        store["c"] = TWO
        with store.scope() as second:
            store["d"] = ONE
        assert list(store) == ["c"]
    assert list(store) == ["a", "b"]
    assert set(first["params"]) == {"c"} and set(second["params"]) == {"d"}
    with store.scope(first) as again:
        assert list(store) == ["c"]
        store["e"] = ONE
    assert again is first and set(first["params"]) == {"c", "e"}


def test_named_scopes_persist(store):
    with store.scope("guide"):
        store["c"] = TWO
    with store.scope("guide") as state:
        assert list(store) == ["c"]
    assert set(state["params"]) == {"c"} and list(store) == ["a", "b"]


def test_scopes_end_with_an_error(store):
    with pytest.raises(ZeroDivisionError), store.scope() as state:
        store["c"] = TWO
        raise ZeroDivisionError
    assert list(store) == ["a", "b"] and set(state["params"]) == {"c"}


def test_scopes_of_two_stores_and_two_threads(store):
    other = ParamStoreDict()
    together = threading.Barrier(2, timeout=20)
    seen = {}

    def run(name):
        with store.scope(name), other.scope():
            together.wait()
            store[name] = ONE
            other[name] = TWO
            together.wait()
            seen[name] = list(store), list(other)

    threads = [threading.Thread(target=run, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"x": (["x"], ["x"]), "y": (["y"], ["y"])}
    assert list(store) == ["a", "b"] and not other


def test_the_process_s_store():
    pyroxene.param("x", ONE)
    assert get_param_store() is pyroxene.get_param_store() and list(get_param_store()) == ["x"]
    clear_param_store()
    assert not get_param_store()
