"""A cohort computes what one torch optimiser for each parameter computes."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch

from pyroxene.optim import PyroLRScheduler, PyroOptim
from pyroxene.optim import cohort as cohort_module
from pyroxene.optim.adagrad_rmsprop import AdagradRMSProp
from pyroxene.optim.clipped_adam import ClippedAdam
from pyroxene.optim.dct_adam import DCTAdam

UNCOUPLED = sorted(cohort_module._UNCOUPLED, key=lambda c: c.__name__)
DENSE = [c for c in UNCOUPLED if c is not torch.optim.SparseAdam]
OPTIONS = {
    torch.optim.SGD: [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ],
    torch.optim.Adam: [
        {"lr": 0.1},
        {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.1, "foreach": False},
    ],
    torch.optim.AdamW: [{"lr": 0.1, "weight_decay": 0.3}],
    torch.optim.Adagrad: [
        {"lr": 0.1},
        {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.5},
    ],
    torch.optim.RMSprop: [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.5, "centered": True}],
    ClippedAdam: [
        {"lr": 0.1},
        {"lr": 0.1, "lrd": 0.8, "clip_norm": 0.5, "weight_decay": 0.2, "centered_variance": True},
    ],
    DCTAdam: [{"lr": 0.1, "lrd": 0.8, "clip_norm": 0.5}],
    AdagradRMSProp: [{}, {"eta": 0.3, "t": 0.5}],
}
CASES = [(c, options) for c in DENSE for options in OPTIONS.get(c, [{"lr": 0.1}])]
SHAPES = [(3, 2), (2, 2), (1, 4), (2, 3)]  # Muon takes matrices only


def parameters(dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in SHAPES]


def schedule_of_calls() -> list[list[int]]:
    """Indices of the parameters that are passed in each call: late ones, partial calls, another order."""
    return [[0, 1, 2], [2, 0, 1], [0, 1, 2], [0, 2], [1], [0, 1, 2, 3], [3, 2], [0, 1, 2, 3], [1, 3], [0, 1, 2, 3]]


def run_both(constructor, options, params, calls, gradient=None, missing=()):
    """Step copies of the parameters through PyroOptim and through separate torch optimisers."""
    ours = [p.detach().clone(memory_format=torch.preserve_format).requires_grad_() for p in params]
    theirs = [p.detach().clone(memory_format=torch.preserve_format).requires_grad_() for p in params]
    optimizer = PyroOptim(constructor, options)
    separate = [constructor([p], **options) for p in theirs]
    generator = torch.Generator().manual_seed(5)
    for number, call in enumerate(calls):
        for index, (mine, its) in enumerate(zip(ours, theirs)):
            grad = torch.randn(mine.shape, generator=generator, dtype=mine.dtype)
            grad = grad if gradient is None else gradient(grad)
            absent = (number, index) in missing
            mine.grad = None if absent else grad.clone()
            its.grad = None if absent else grad.clone()
        optimizer([ours[index] for index in call])
        for index in call:
            separate[index].step()
    return optimizer, ours, theirs


def assert_same(ours, theirs, rtol=1e-9, atol=1e-12):
    for mine, its in zip(ours, theirs):
        torch.testing.assert_close(mine, its, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("constructor", "options"), CASES, ids=lambda v: getattr(v, "__name__", None))
def test_cohort_equals_separate_optimisers(constructor, options):
    _, ours, theirs = run_both(constructor, options, parameters(), schedule_of_calls())
    assert_same(ours, theirs, rtol=1e-6 if constructor is torch.optim.Muon else 1e-9)  # Muon works in bfloat16
    assert all((mine != start).any() for mine, start in zip(ours, parameters()))


@pytest.mark.parametrize(("constructor", "options"), CASES, ids=lambda v: getattr(v, "__name__", None))
def test_parameter_without_gradient_stays_and_starts_later(constructor, options):
    missing = {(0, 0), (1, 0), (3, 2), (5, 3)}
    _, ours, theirs = run_both(constructor, options, parameters(), [[0, 1, 2, 3]] * 7, missing=missing)
    assert_same(ours, theirs, rtol=1e-6 if constructor is torch.optim.Muon else 1e-9)


@pytest.mark.parametrize("constructor", DENSE, ids=lambda c: c.__name__)
def test_float32_agrees_to_rounding(constructor):
    options = OPTIONS.get(constructor, [{"lr": 0.1}])[0]
    _, ours, theirs = run_both(constructor, options, parameters(torch.float32), schedule_of_calls())
    assert_same(ours, theirs, rtol=1e-5, atol=1e-6)


def test_one_torch_optimiser_for_one_cohort():
    params = parameters()
    optimizer = PyroOptim(torch.optim.Adam, {"lr": 0.1})
    optimizer(params)
    assert len(optimizer._active) == 1 and len(optimizer._active[0].params) == 4
    optimizer(params[:2])
    assert [len(c.params) for c in optimizer._active] == [2]
    optimizer(params)
    assert sorted(len(c.params) for c in optimizer._active) == [2, 2]


def test_options_by_name_and_dtype_divide_cohorts():
    params = [*parameters(), torch.zeros(2, requires_grad=True)]
    optimizer = PyroOptim(torch.optim.Adam, lambda name: {"lr": 0.1 if name == "unnamed.1" else 0.2})
    optimizer(params)
    assert sorted(len(c.params) for c in optimizer._active) == [1, 1, 3]


def test_own_optimiser_whose_update_couples_parameters_is_never_shared():
    class Normalised(torch.optim.SGD):
        def step(self, closure=None):
            every = [p for p in self.param_groups[0]["params"] if p.grad is not None]
            total = torch.stack([p.grad.norm() for p in every]).norm()
            for p in every:
                p.grad /= total
            return super().step(closure)

    optimizer, ours, theirs = run_both(Normalised, {"lr": 0.1}, parameters(), schedule_of_calls())
    assert_same(ours, theirs)
    assert all(len(c.params) == 1 for c in optimizer._active)


@pytest.mark.parametrize(
    "constructor", [torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad, ClippedAdam, torch.optim.SGD]
)
@pytest.mark.parametrize("layout", ["expanded", "transposed", "strided", "transposed parameter"])
def test_gradients_and_parameters_of_any_layout(constructor, layout):
    torch.manual_seed(0)

    def lay_out(grad: torch.Tensor) -> torch.Tensor:
        if layout == "expanded":
            return grad[:1].expand_as(grad)
        if layout == "transposed":
            return grad.t().contiguous().t()
        return torch.stack([grad, grad], dim=-1)[..., 0] if layout == "strided" else grad

    params = [p.detach().t().contiguous().t() if layout == "transposed parameter" else p for p in parameters()]
    ours = [p.detach().clone(memory_format=torch.preserve_format).requires_grad_() for p in params]
    theirs = [p.detach().clone(memory_format=torch.preserve_format).requires_grad_() for p in params]
    optimizer = PyroOptim(constructor, {"lr": 0.1})
    kwargs = {} if constructor is ClippedAdam else {"foreach": False}
    separate = [constructor([p], lr=0.1, **kwargs) for p in theirs]
    for _ in range(3):
        for mine, its, single in zip(ours, theirs, separate):
            grad = torch.randn(mine.shape, dtype=mine.dtype)
            mine.grad = lay_out(grad)
            its.grad = grad[:1].expand_as(grad).contiguous() if layout == "expanded" else grad.clone()
            single.step()
        optimizer(ours)
    assert_same(ours, theirs)


def test_parameter_that_loses_its_memory_order_is_still_stepped_right():
    params = parameters()
    optimizer = PyroOptim(torch.optim.Adam, {"lr": 0.1})
    separate = [p.detach().clone().requires_grad_() for p in params]
    plain = torch.optim.Adam(separate, lr=0.1, foreach=False)
    torch.manual_seed(0)
    for number in range(4):
        if number == 2:
            params[0].data = params[0].data.t().contiguous().t()
        for mine, its in zip(params, separate):
            mine.grad = torch.randn(mine.shape, dtype=mine.dtype)
            its.grad = mine.grad.clone()
        optimizer(params)
        plain.step()
    assert_same(params, separate)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("constructor", [torch.optim.SparseAdam, torch.optim.Adagrad, torch.optim.SGD])
def test_sparse_gradients(constructor):
    def sparse(grad: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.arange(grad.shape[0])[:, None] == 0, grad, 0.0).to_sparse(1)

    _, ours, theirs = run_both(constructor, {"lr": 0.1}, parameters(), [[0, 1, 2, 3]] * 3, gradient=sparse)
    assert_same(ours, theirs)


def test_learning_rate_as_a_tensor():
    lr = torch.tensor(0.1, dtype=torch.float64)
    _, ours, theirs = run_both(torch.optim.Adam, {"lr": lr}, parameters(), schedule_of_calls())
    assert_same(ours, theirs)


SCHEDULES = {
    "ExponentialLR": {"gamma": 0.7},
    "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": [1, 3]},
    "LambdaLR": {"lr_lambda": lambda epoch: 0.8**epoch},
    "MultiplicativeLR": {"lr_lambda": lambda epoch: 0.9},
    "ConstantLR": {"total_iters": 2},
    "LinearLR": {"total_iters": 3},
    "PolynomialLR": {"total_iters": 6},
    "CosineAnnealingLR": {"T_max": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "CyclicLR": {"base_lr": 0.05, "max_lr": 0.5, "step_size_up": 3},
    "OneCycleLR": {"max_lr": 0.5, "total_steps": 12},
    "ReduceLROnPlateau": {"patience": 0, "factor": 0.5},
    "SequentialLR": {
        "schedulers": [
            functools.partial(torch.optim.lr_scheduler.ConstantLR, factor=0.1, total_iters=2),
            functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9),
        ],
        "milestones": [2],
    },
    "ChainedScheduler": {
        "schedulers": [
            functools.partial(torch.optim.lr_scheduler.ConstantLR, factor=0.1, total_iters=2),
            functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9),
        ],
    },
}


def make_schedule(name: str, optimizer: torch.optim.Optimizer):
    constructor = getattr(torch.optim.lr_scheduler, name)
    kwargs = dict(SCHEDULES[name])
    if "schedulers" in kwargs:
        kwargs["schedulers"] = [make(optimizer) for make in kwargs["schedulers"]]
    return constructor(optimizer=optimizer, **kwargs)


def test_every_schedule_of_torch_is_tested():
    assert set(SCHEDULES) == set(torch.optim.lr_scheduler.__all__) - {"LRScheduler"}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("constructor", [torch.optim.SGD, torch.optim.Adam], ids=lambda c: c.__name__)
def test_schedules_equal_separate_schedules(name, constructor):
    options = {"lr": 0.1, "momentum": 0.85} if constructor is torch.optim.SGD else {"lr": 0.1}
    ours, theirs = parameters(), parameters()
    optimizer = PyroLRScheduler(
        getattr(torch.optim.lr_scheduler, name), {"optimizer": constructor, "optim_args": options, **SCHEDULES[name]}
    )
    separate: dict[int, tuple] = {}
    generator = torch.Generator().manual_seed(5)
    for metric, call in zip(itertools.cycle([3.0, 2.0, 4.0, 1.0, 5.0]), schedule_of_calls()):
        for mine, its in zip(ours, theirs):
            mine.grad = torch.randn(mine.shape, generator=generator, dtype=mine.dtype)
            its.grad = mine.grad.clone()
        optimizer([ours[index] for index in call])
        for index in call:
            if index not in separate:
                plain = constructor([theirs[index]], **options)
                separate[index] = plain, make_schedule(name, plain)
            separate[index][0].step()
        arguments = (metric,) if name == "ReduceLROnPlateau" else ()
        optimizer.step(*arguments)
        for _, schedule in separate.values():
            schedule.step(*arguments)
    assert_same(ours, theirs)
    for index, state in enumerate(optimizer.get_state().values()):
        assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(separate[index][0].param_groups[0]["lr"])
