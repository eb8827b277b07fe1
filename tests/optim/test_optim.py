"""PyroOptim: names, states, files, clipping and what it refuses."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch.distributions import constraints

from pyroxene import optim
from pyroxene.errors import DataError, OptionError, UsageError
from pyroxene.optim.clipped_adam import ClippedAdam
from pyroxene.optim.optim import PyroOptim, is_scheduler
from pyroxene.params import clear_param_store, get_param_store


@pytest.fixture(autouse=True)
def _fresh_store():
    clear_param_store()
    yield
    clear_param_store()


def make_params(dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Put two parameters in the store, "a" and the positive "b", and return the unconstrained leaves."""
    store = get_param_store()
    store.setdefault("a", torch.tensor([1.0, -2.0], dtype=dtype))
    store.setdefault("b", torch.tensor(2.0, dtype=dtype), constraint=constraints.positive)
    return dict(store.named_parameters())


def step(optimizer, params, scale: float = 1.0) -> None:
    for number, param in enumerate(params):
        param.grad = torch.full_like(param, scale * (number + 1))
    optimizer(params)


# numbers of Pyro's ---------------------------------------------------------------------------------------------------

# Made with pyro-ppl 1.9.2 and torch 2.13 in float64 by the program of `follow`, with `pyro.optim` and `pyro.param`.
PYRO_NUMBERS = [
    ("Adam", {"lr": 0.1}, [0.5039407814, -1.5132899459, 1.2214122788, 2.6996783524]),
    ("SGD", {"lr": 0.1, "momentum": 0.9}, [0.42695, 0.86525, 0.0837050625, -1.21]),
    (
        "ClippedAdam",
        {"lr": 0.1, "clip_norm": 1.0, "lrd": 0.9},
        [0.6314410786, -1.6314410786, 1.3834609014, 2.7561000599],
    ),
]


def follow(optimizer) -> list[float]:
    """Fit three parameters, one of which comes late and some of which stay out at times with a stale gradient."""
    store = get_param_store()
    make_params()
    for number, names in enumerate(["ab", "ab", "a", "abc", "bc", "abc"]):
        if number == 3:
            store.setdefault("c", torch.tensor([[3.0]], dtype=torch.float64))
        leaves = dict(store.named_parameters())
        for leaf in leaves.values():
            leaf.grad = None
        sum(((store[name] - 0.5) ** 2).sum() * (1 + number) for name in names).backward()
        for leaf in leaves.values():
            if leaf.grad is None:
                leaf.grad = torch.full_like(leaf, 7.0)
        optimizer([leaves[name] for name in names])
    return [float(v) for name in "abc" for v in store[name].detach().reshape(-1)]


@pytest.mark.parametrize(("name", "options", "expected"), PYRO_NUMBERS, ids=lambda v: v if isinstance(v, str) else "")
def test_numbers_of_pyro(name, options, expected):
    assert follow(getattr(optim, name)(options)) == pytest.approx(expected, rel=1e-8)


# options -------------------------------------------------------------------------------------------------------------


def test_options_by_parameter_name():
    seen = []

    def options(name):
        seen.append(name)
        return {"lr": {"a": 0.5}.get(name, 0.25)}

    params = make_params()
    start = {name: p.detach().clone() for name, p in params.items()}
    optimizer = optim.SGD(options)
    step(optimizer, list(params.values()))
    step(optimizer, list(params.values()))
    assert seen == ["a", "b"]
    torch.testing.assert_close(start["a"] - params["a"], torch.full((2,), 1.0, dtype=torch.float64))
    torch.testing.assert_close(start["b"] - params["b"], torch.tensor(1.0, dtype=torch.float64))


def test_names_of_module_parameters():
    store = get_param_store()
    store.setdefault("decoder$$$fc.weight", torch.zeros(2))
    leaf = dict(store.named_parameters())["decoder$$$fc.weight"]
    seen = []
    step(optim.SGD(lambda name: seen.append(name) or {"lr": 0.1}), [leaf])
    step(optim.SGD(lambda module, name: seen.append((module, name)) or {"lr": 0.1}), [leaf])
    assert seen == ["decoder.fc.weight", ("decoder", "fc.weight")]


def test_arguments_of_a_call_reach_the_torch_optimiser():
    calls = []
    x = torch.zeros(2, requires_grad=True)

    def closure():
        calls.append(1)
        x.grad = torch.ones(2)
        return x.sum()

    optim.SGD({"lr": 0.5})([x], closure)
    assert calls == [1]
    torch.testing.assert_close(x, torch.full((2,), -0.5, requires_grad=True))


def test_a_function_may_make_the_optimiser():
    x = torch.zeros(2, requires_grad=True)
    step(PyroOptim(lambda params, rate: torch.optim.SGD(params, lr=rate), {"rate": 0.5}), [x])
    torch.testing.assert_close(x.detach(), torch.full((2,), -0.5))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: optim.Adam({"lr": 0.1, "learning_rate": 2}), OptionError, "Adam has no option learning_rate"),
        (lambda: optim.Adam(3), OptionError, "optim_args must be a dict"),
        (lambda: optim.Adam({}, 3), OptionError, "clip_args must be a dict"),
        (lambda: optim.Adam({}, {"clip": 3}), OptionError, "clip_args have no option clip"),
        (lambda: PyroOptim("Adam", {}), OptionError, "constructor"),
        (lambda: PyroOptim(lambda params, rate: None, {}), OptionError, "needs the option rate"),
    ],
)
def test_mistakes_at_construction(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_unknown_option_names_those_that_exist():
    with pytest.raises(TypeError, match=r"(?s)among lr, betas.*got: lr, foo"):  # Pyro raised TypeError
        optim.Adam({"lr": 0.1, "foo": 1})


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (optim.Adam(lambda name: 3), "optim_args must return a dict"),
        (optim.Adam(lambda name: {"foo": 3}), "Adam has no option foo"),
        (optim.Adam({}, lambda name: {"foo": 3}), "clip_args have no option foo"),
    ],
)
def test_mistakes_in_functions_of_the_name(optimizer, text):
    params = list(make_params().values())
    with pytest.raises(OptionError, match=text):
        optimizer(params)
    assert not optimizer.get_state()


def test_refuses_what_is_no_leaf():
    make_params()
    optimizer = optim.Adam({})
    with pytest.raises(UsageError, match=r"(?s)non-leaf.*unconstrained\(\)"):
        optimizer([get_param_store()["b"]])
    with pytest.raises(ValueError, match="non-leaf"):
        optimizer([torch.zeros(2, requires_grad=True) + 1])
    with pytest.raises(UsageError, match="no tensor"):
        optimizer([{"params": []}])


# clipping ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [{"clip_norm": 1.0}, {"clip_value": 0.4}, {"clip_norm": 2.0, "clip_value": 0.9}, {}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clipping_is_by_parameter(clip, dtype):
    generator = torch.Generator().manual_seed(1)
    ours = [torch.zeros(shape, dtype=dtype, requires_grad=True) for shape in [(), (3,), (2, 4), (5,)]]
    for param, size in zip(ours, [3.0, 0.1, 2.0, 0.0]):
        param.grad = size * torch.randn(param.shape, generator=generator, dtype=dtype)
    theirs = [param.detach().clone().requires_grad_() for param in ours]
    for mine, its in zip(ours, theirs):
        its.grad = mine.grad.clone()
        if "clip_norm" in clip:
            torch.nn.utils.clip_grad_norm_(its, clip["clip_norm"])
        if "clip_value" in clip:
            torch.nn.utils.clip_grad_value_(its, clip["clip_value"])
        torch.optim.SGD([its], lr=1.0).step()
    optim.SGD({"lr": 1.0}, clip)(ours)
    for mine, its in zip(ours, theirs):
        torch.testing.assert_close(mine, its)
        torch.testing.assert_close(mine.grad, its.grad)


def test_clipping_by_name_and_parameters_without_gradient():
    params = make_params()
    optimizer = optim.SGD({"lr": 1.0}, lambda name: {"clip_value": 0.5} if name == "a" else {"clip_norm": None})
    params["a"].grad = torch.tensor([3.0, -0.25], dtype=torch.float64)
    before = params["b"].detach().clone()
    optimizer(params.values())
    assert params["a"].tolist() == [0.5, -1.75]
    assert params["b"].item() == before.item()


# states --------------------------------------------------------------------------------------------------------------


def test_state_is_pyros_format():
    params = make_params(torch.float32)
    optimizer = optim.Adam({"lr": 0.1})
    step(optimizer, list(params.values()))
    # What pyro.optim.Adam.get_state() gives, with pyro-ppl 1.9.2 and torch 2.13, for gradients of one in "a".
    group = {
        "lr": 0.1,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0,
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "fused": None,
        "decoupled_weight_decay": False,
        "params": [0],
    }
    state = optimizer.get_state()
    assert list(state) == ["a", "b"]
    plain = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.1).state_dict()["param_groups"][0]
    assert state["a"]["param_groups"] == [plain]
    assert {key: plain[key] for key in group if key in plain} == {key: group[key] for key in group if key in plain}
    assert list(state["a"]["state"]) == [0]
    torch.testing.assert_close(state["a"]["state"][0]["step"], torch.tensor(1.0))
    torch.testing.assert_close(state["a"]["state"][0]["exp_avg"], torch.full((2,), 0.1))
    torch.testing.assert_close(state["b"]["state"][0]["exp_avg_sq"], torch.tensor(0.004))


ALL_WITH_STATE = ["Adam", "AdamW", "SGD", "Adagrad", "RMSprop", "ASGD", "NAdam", "RAdam", "Rprop", "Adadelta", "Adamax"]
ALL_WITH_STATE += ["Adafactor", "ClippedAdam", "DCTAdam", "AdagradRMSProp"]


def options_of(name: str) -> dict[str, float]:
    return {"AdagradRMSProp": {}, "SGD": {"lr": 0.1, "momentum": 0.9}}.get(name, {"lr": 0.1})


@pytest.mark.parametrize("name", ALL_WITH_STATE)
@pytest.mark.parametrize("seen", [False, True], ids=["waiting", "seen"])
def test_a_saved_run_goes_on_as_if_never_stopped(name, seen, tmp_path):
    make, path = getattr(optim, name), tmp_path / "optimizer.pt"
    params = list(make_params().values())
    first = make(options_of(name))
    for scale in (1.0, -0.5, 2.0):
        step(first, params, scale)
    first.save(path)
    values = [p.detach().clone() for p in params]
    for scale in (1.5, 0.3):
        step(first, params, scale)
    expected = [p.detach().clone() for p in params]

    second = make(options_of(name))
    if seen:
        step(second, params)
    with torch.no_grad():
        for param, value in zip(params, values):
            param.copy_(value)
    second.load(path)
    assert second.get_state().keys() == {"a", "b"}
    for scale in (1.5, 0.3):
        step(second, params, scale)
    for param, value in zip(params, expected):
        torch.testing.assert_close(param.detach(), value, rtol=1e-6, atol=1e-9)  # torch keeps some counts in float32


def test_files_are_safe_even_with_numpy_options(tmp_path):
    optimizer = optim.SGD({"lr": np.logspace(-2, -1, 2)[0], "momentum": np.float32(0.5)})
    step(optimizer, list(make_params().values()))
    optimizer.save(tmp_path / "optimizer.pt")
    assert torch.load(tmp_path / "optimizer.pt", weights_only=True)["a"]["param_groups"][0]["lr"] == 0.01


def test_load_refuses_code_and_foreign_files(tmp_path):
    torch.save({"a": ClippedAdam}, tmp_path / "code.pt")
    with pytest.raises(DataError, match="more than tensors"):
        optim.Adam({}).load(tmp_path / "code.pt")
    torch.save({"a": 3}, tmp_path / "foreign.pt")
    with pytest.raises(DataError, match="no state of an optimiser"):
        optim.Adam({}).load(tmp_path / "foreign.pt")


@pytest.mark.parametrize("state", [3, {"a": 3}, {"a": {"state": {}}}, {"a": {"scheduler": {}, "optimizer": {}}}])
def test_set_state_refuses_other_formats(state):
    with pytest.raises(DataError):
        optim.Adam({}).set_state(state)


def test_states_with_other_learning_rates_are_kept_apart():
    params = list(make_params().values())
    optimizer = optim.Adam({"lr": 0.1})
    step(optimizer, params)
    state = optimizer.get_state()
    state["a"]["param_groups"][0]["lr"] = 0.5
    restored = optim.Adam({"lr": 0.1})
    restored.set_state(state)
    step(restored, params)
    rates = {name: own["param_groups"][0]["lr"] for name, own in restored.get_state().items()}
    assert rates == {"a": 0.5, "b": 0.1}


def test_state_of_one_parameter_leaves_the_others_alone():
    params = list(make_params().values())
    optimizer = optim.Adam({"lr": 0.1})
    step(optimizer, params)
    early = optimizer.get_state()
    step(optimizer, params)
    optimizer.set_state({"a": early["a"]})
    assert {k: v["state"][0]["step"].item() for k, v in optimizer.get_state().items()} == {"a": 1, "b": 2}
    step(optimizer, params)
    assert {k: v["state"][0]["step"].item() for k, v in optimizer.get_state().items()} == {"a": 2, "b": 3}


def test_states_are_copies():
    params = list(make_params().values())
    optimizer = optim.Adam({"lr": 0.1})
    step(optimizer, params)
    state = optimizer.get_state()
    step(optimizer, params)
    assert state["a"]["state"][0]["step"] == 1
    other = optim.Adam({"lr": 0.1})
    other.set_state(state)
    step(other, params)
    assert state["a"]["state"][0]["step"] == 1


def test_state_of_an_older_version_gets_the_new_options():
    params = list(make_params().values())
    optimizer = optim.ClippedAdam({"lr": 0.1})
    step(optimizer, params)
    state = optimizer.get_state()
    for own in state.values():
        del own["param_groups"][0]["centered_variance"]
    restored = optim.ClippedAdam({"lr": 0.1})
    restored.set_state(state)
    step(restored, params)
    assert restored.get_state()["a"]["param_groups"][0]["centered_variance"] is False


def test_new_parameter_of_an_old_name_starts_afresh():
    params = list(make_params().values())
    optimizer = optim.Adam({"lr": 0.1})
    step(optimizer, params)
    step(optimizer, params)
    clear_param_store()
    step(optimizer, list(make_params().values()))
    assert optimizer.get_state()["a"]["state"][0]["step"] == 1


def test_loaded_state_goes_to_the_parameter_that_bears_the_name_at_the_next_call():
    params = list(make_params().values())
    optimizer = optim.Adam({"lr": 0.1})
    step(optimizer, params)
    step(optimizer, params)
    optimizer.set_state(optimizer.get_state())
    clear_param_store()
    step(optimizer, list(make_params().values()))
    assert optimizer.get_state()["a"]["state"][0]["step"] == 3


def test_parameters_outside_the_store():
    params = [torch.zeros(2, requires_grad=True), torch.zeros(3, requires_grad=True)]
    optimizer = optim.Adam({"lr": 0.1})
    step(optimizer, params)
    state = optimizer.get_state()
    assert list(state) == ["unnamed.0", "unnamed.1"]
    restored = optim.Adam({"lr": 0.1})
    restored.set_state(state)
    step(restored, params)
    assert restored.get_state()["unnamed.1"]["state"][0]["exp_avg"].shape == (3,)
    assert restored.get_state()["unnamed.1"]["state"][0]["step"] == 2
    restored.set_state(state)
    step(restored, params)
    assert restored.get_state()["unnamed.0"]["state"][0]["step"] == 2


def test_parameter_that_enters_the_store_later_gets_its_name():
    x = torch.zeros(2, requires_grad=True)
    optimizer = optim.Adam({"lr": 0.1})
    step(optimizer, [x])
    get_param_store().setdefault("x", x)
    assert list(optimizer.get_state()) == ["x"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"])
def test_copies_go_on_with_the_state(duplicate):
    params = list(make_params().values())
    optimizer = optim.Adam({"lr": 0.1}, {"clip_norm": 1.0})
    step(optimizer, params)
    twin = duplicate(optimizer)
    step(optimizer, params)
    step(twin, params)
    for one, other in zip(optimizer.get_state().values(), twin.get_state().values()):
        torch.testing.assert_close(one["state"][0], other["state"][0])


def test_torch_optimisers_by_parameter_can_be_changed_one_by_one():
    params = list(make_params().values())
    optimizer = optim.SGD({"lr": 0.1})
    step(optimizer, params)
    assert [id(p) for p in optimizer.optim_objs] == [id(p) for p in params]
    for single in optimizer.optim_objs.values():
        single.param_groups[0]["lr"] *= 0.5
    optimizer.optim_objs[params[0]].param_groups[0]["lr"] = 2.0
    before = [p.detach().clone() for p in params]
    step(optimizer, params)
    torch.testing.assert_close(before[0] - params[0].detach(), torch.full((2,), 2.0, dtype=torch.float64))
    torch.testing.assert_close(before[1] - params[1].detach(), torch.tensor(0.1, dtype=torch.float64))


def test_buffers_work_as_files():
    params = list(make_params().values())
    optimizer, buffer = optim.Adam({"lr": 0.1}), io.BytesIO()
    step(optimizer, params)
    optimizer.save(buffer)
    buffer.seek(0)
    restored = optim.Adam({"lr": 0.1})
    restored.load(buffer, map_location="cpu")
    assert restored.get_state()["a"]["state"][0]["step"] == 1


def test_is_scheduler():
    x = torch.zeros(1, requires_grad=True)
    plain = torch.optim.SGD([x], lr=0.1)
    assert is_scheduler(torch.optim.lr_scheduler.ExponentialLR(plain, 0.5))
    assert is_scheduler(torch.optim.lr_scheduler.ReduceLROnPlateau(plain))
    assert not is_scheduler(plain)
    assert not is_scheduler(torch.optim.lr_scheduler.ExponentialLR)
