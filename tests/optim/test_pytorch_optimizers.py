"""Every optimiser and scheduler of the installed torch has its function."""

from __future__ import annotations

import inspect

import pytest
import torch

from pyroxene import optim
from pyroxene.optim import pytorch_optimizers
from pyroxene.optim.lr_scheduler import PyroLRScheduler
from pyroxene.optim.optim import PyroOptim


def classes(module, base) -> set[str]:
    return {n for n, v in vars(module).items() if inspect.isclass(v) and issubclass(v, base) and not n.startswith("_")}


OPTIMIZERS = classes(torch.optim, torch.optim.Optimizer) - {"Optimizer", "LBFGS"}
SCHEDULERS = classes(torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler)


def test_the_lists_are_torchs():
    assert set(pytorch_optimizers.__all__) == OPTIMIZERS | SCHEDULERS
    assert OPTIMIZERS | SCHEDULERS <= set(dir(optim))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS | SCHEDULERS))
def test_signature_and_docstring(name):
    function = getattr(optim, name)
    assert function is getattr(pytorch_optimizers, name)
    assert function.__name__ == name
    assert list(inspect.signature(function).parameters) == ["optim_args", "clip_args"]
    assert f".{name}." in function.__doc__.splitlines()[0]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimiser_is_made(name):
    made = getattr(optim, name)({}, clip_args={"clip_norm": 1.0})
    assert type(made) is PyroOptim
    assert made.pt_optim_constructor is getattr(torch.optim, name)


def test_schedulers_are_made():
    made = optim.StepLR({"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.1}, "step_size": 2})
    assert type(made) is PyroLRScheduler
    assert made.pt_scheduler_constructor is torch.optim.lr_scheduler.StepLR


def test_the_abstract_scheduler_cannot_be_used():
    param = torch.zeros(1, requires_grad=True)
    with pytest.raises(NotImplementedError):
        optim.LRScheduler({"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1}})([param])


def test_lbfgs_is_left_out():
    assert not hasattr(optim, "LBFGS")
