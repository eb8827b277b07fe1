"""Schedules by parameter: numbers of Pyro's, states, and what is refused. tests/optim/test_cohort.py has them all."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch

from pyroxene import optim
from pyroxene.errors import DataError, OptionError
from pyroxene.optim.lr_scheduler import PyroLRScheduler
from pyroxene.params import clear_param_store, get_param_store


@pytest.fixture(autouse=True)
def _fresh_store():
    clear_param_store()
    yield
    clear_param_store()


SGD = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1, "momentum": 0.5}}

# Made with pyro-ppl 1.9.2 and torch 2.13 in float64 by the program of `follow`, with `pyro.optim` and `pyro.param`:
# values of a, b, c, and learning rates.
PYRO_NUMBERS = [
    (
        "ExponentialLR",
        {"gamma": 0.5},
        [0.5648725, -1.129745, 1.2257089063, 1.812],
        {"a": 0.0015625, "b": 0.0015625, "c": 0.0125},
    ),
    (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 10},
        [-0.3996453813, 0.7992907626, -0.9409878478, -4.743],
        {"a": 0.19437098903185537, "b": 0.19437098903185537, "c": 0.47524231600673683},
    ),
    (
        "ReduceLROnPlateau",
        {"patience": 0, "factor": 0.5},
        [0.17926, -0.35852, 0.55606, 1.263],
        {"a": 0.0125, "b": 0.0125, "c": 0.025},
    ),
]


def follow(scheduler, metrics: bool) -> list[float]:
    """Shrink parameters, one of which comes late and some of which stay out at times; step the schedule each time."""
    store = get_param_store()
    store.setdefault("a", torch.tensor([1.0, -2.0], dtype=torch.float64))
    store.setdefault("b", torch.tensor(2.0, dtype=torch.float64))
    for number, names in enumerate(["ab", "ab", "a", "abc", "bc", "abc"]):
        if number == 3:
            store.setdefault("c", torch.tensor([[3.0]], dtype=torch.float64))
        leaves = dict(store.named_parameters())
        for name in names:
            leaves[name].grad = 2 * leaves[name].detach()
        scheduler([leaves[name] for name in names])
        scheduler.step(*([[3.0, 2.0, 4.0, 1.0, 5.0, 6.0][number]] if metrics else []))
    return [float(v) for name in "abc" for v in store[name].detach().reshape(-1)]


@pytest.mark.parametrize(("name", "options", "values", "rates"), PYRO_NUMBERS, ids=[row[0] for row in PYRO_NUMBERS])
def test_numbers_of_pyro(name, options, values, rates):
    scheduler = getattr(optim, name)({**SGD, **options})
    assert follow(scheduler, name == "ReduceLROnPlateau") == pytest.approx(values, rel=1e-8)
    state = scheduler.get_state()
    assert {k: v["optimizer"]["param_groups"][0]["lr"] for k, v in state.items()} == pytest.approx(rates, rel=1e-12)


def test_the_users_dict_is_left_alone():
    given = {**SGD, "gamma": 0.5}
    optim.ExponentialLR(given)
    assert given == {**SGD, "gamma": 0.5}


def test_options_by_name_and_clipping():
    store = get_param_store()
    for name in "ab":
        store.setdefault(name, torch.zeros(1))
    leaves = dict(store.named_parameters())
    scheduler = optim.StepLR(
        {"optimizer": torch.optim.SGD, "optim_args": lambda name: {"lr": {"a": 1.0, "b": 2.0}[name]}, "step_size": 1},
        {"clip_value": 0.5},
    )
    for _ in range(2):
        for leaf in leaves.values():
            leaf.grad = torch.ones(1)
        scheduler(leaves.values())
        scheduler.step()
    assert leaves["a"].item() == pytest.approx(-0.55)
    assert leaves["b"].item() == pytest.approx(-1.1)


SAVED = {
    "ExponentialLR": {"gamma": 0.5},
    "MultiStepLR": {"milestones": [1, 3]},
    "LambdaLR": {"lr_lambda": lambda epoch: 0.9**epoch},
    "OneCycleLR": {"max_lr": 0.5, "total_steps": 10},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.5},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "SequentialLR": {
        "schedulers": [
            functools.partial(torch.optim.lr_scheduler.ConstantLR, factor=0.1, total_iters=2),
            functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9),
        ],
        "milestones": [2],
    },
}


def advance(scheduler, param, steps: int) -> None:
    for _ in range(steps):
        param.grad = 2 * param.detach()
        scheduler([param])
        scheduler.step()


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_schedule_goes_on_as_if_never_stopped(name, tmp_path):
    get_param_store().setdefault("a", torch.tensor([1.0, -2.0]))
    param = dict(get_param_store().named_parameters())["a"]
    first = getattr(optim, name)({**SGD, **SAVED[name]})
    advance(first, param, 3)
    first.save(tmp_path / "schedule.pt")
    value = param.detach().clone()
    advance(first, param, 3)
    expected = param.detach().clone()
    second = getattr(optim, name)({**SGD, **SAVED[name]})
    second.load(tmp_path / "schedule.pt")
    with torch.no_grad():
        param.copy_(value)
    advance(second, param, 3)
    torch.testing.assert_close(param.detach(), expected)


def test_state_is_pyros_format():
    get_param_store().setdefault("a", torch.tensor([1.0, -2.0]))
    param = dict(get_param_store().named_parameters())["a"]
    scheduler = optim.ExponentialLR({**SGD, "gamma": 0.5})
    advance(scheduler, param, 1)
    (state,) = scheduler.get_state().values()
    assert list(state) == ["scheduler", "optimizer"]
    plain = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.1, momentum=0.5)
    schedule = torch.optim.lr_scheduler.ExponentialLR(plain, gamma=0.5)
    plain.step()
    schedule.step()
    assert state["scheduler"] == schedule.state_dict()
    assert state["optimizer"]["param_groups"] == plain.state_dict()["param_groups"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"])
def test_copies_go_on_with_the_schedule(duplicate):
    get_param_store().setdefault("a", torch.tensor([1.0, -2.0]))
    param = dict(get_param_store().named_parameters())["a"]
    scheduler = optim.ExponentialLR({**SGD, "gamma": 0.5})
    advance(scheduler, param, 2)
    twin = duplicate(scheduler)
    advance(twin, param, 1)
    assert twin.get_state()["a"]["optimizer"]["param_groups"][0]["lr"] == 0.0125


def test_schedulers_by_parameter():
    params = [torch.zeros(2, requires_grad=True), torch.zeros(3, requires_grad=True)]
    scheduler = optim.ExponentialLR({**SGD, "gamma": 0.5})
    for param in params:
        param.grad = torch.ones_like(param)
    scheduler(params)
    scheduler.step()
    assert [s.get_last_lr() for s in scheduler.optim_objs.values()] == [[0.05], [0.05]]
    scheduler(params)
    scheduler.step()
    assert [s.get_last_lr() for s in scheduler.optim_objs.values()] == [[0.025], [0.025]]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optim.ExponentialLR({"optim_args": {}, "gamma": 0.5}), "needs a torch optimiser"),
        (lambda: optim.ExponentialLR({"optimizer": torch.optim.SGD, "gamma": 0.5}), "needs a torch optimiser"),
        (lambda: optim.ExponentialLR(3), "needs a torch optimiser"),
        (lambda: optim.ExponentialLR(SGD), "ExponentialLR needs the option gamma"),
        (lambda: optim.ExponentialLR({**SGD, "gamma": 0.5, "foo": 1}), "ExponentialLR has no option foo"),
        (lambda: optim.ExponentialLR({**SGD, "optimizer": optim.ClippedAdam, "gamma": 0.5}), "makes a PyroOptim"),
        (lambda: optim.ExponentialLR({**SGD, "optim_args": {"foo": 1}, "gamma": 0.5}), "SGD has no option foo"),
    ],
)
def test_mistakes(make, text):
    with pytest.raises(OptionError, match=text):
        make()


def test_inner_schedulers_must_be_functions():
    param = torch.zeros(1, requires_grad=True)
    inner = torch.optim.lr_scheduler.ExponentialLR(torch.optim.SGD([param], lr=0.1), 0.5)
    with pytest.raises(OptionError, match="made for each torch optimiser"):
        optim.ChainedScheduler({**SGD, "schedulers": [inner]})([param])


def test_states_of_optimisers_and_schedulers_do_not_mix():
    param = torch.zeros(1, requires_grad=True)
    plain, scheduled = optim.SGD({"lr": 0.1}), optim.ExponentialLR({**SGD, "gamma": 0.5})
    plain([param])
    scheduled([param])
    with pytest.raises(DataError):
        plain.set_state(scheduled.get_state())
    with pytest.raises(DataError):
        scheduled.set_state(plain.get_state())


def test_the_class_itself():
    param = torch.zeros(1, requires_grad=True)
    scheduler = PyroLRScheduler(torch.optim.lr_scheduler.StepLR, {**SGD, "step_size": 1})
    param.grad = torch.ones(1)
    scheduler([param])
    assert param.item() == pytest.approx(-0.1)
