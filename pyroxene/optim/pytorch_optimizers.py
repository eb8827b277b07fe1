"""Every optimiser and scheduler of the installed torch as a function that returns a PyroOptim.

The functions are made from torch's own list. LBFGS is not among them: it needs a closure that evaluates the loss
again, which stochastic inference does not give.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from pyroxene.optim.lr_scheduler import PyroLRScheduler
from pyroxene.optim.optim import PyroOptim

__all__: list[str] = []

OptimArgs: TypeAlias = "Mapping[str, Any] | Callable[..., Mapping[str, Any]]"

_OPTIMIZER = """Return a PyroOptim of torch.optim.{name}.

    Args:
        optim_args: the optimiser's options, a dict, or a function of the parameter's name that returns one:
            {options}.
        clip_args: `clip_norm` and `clip_value`, as in PyroOptim.
    """

_SCHEDULER = """Return a PyroLRScheduler of torch.optim.lr_scheduler.{name}.

    Args:
        optim_args: a dict with `optimizer` (a class of torch optimiser), `optim_args` (its options), and the
            schedule's options: {options}.
        clip_args: `clip_norm` and `clip_value`, as in PyroOptim.
    """


def _wrap_optimizer(constructor: type[torch.optim.Optimizer]) -> Callable[..., PyroOptim]:
    def make(optim_args: OptimArgs, clip_args: OptimArgs | None = None) -> PyroOptim:
        return PyroOptim(constructor, optim_args, clip_args)

    return _dress(make, constructor, _OPTIMIZER)


def _wrap_scheduler(constructor: type[Any]) -> Callable[..., PyroLRScheduler]:
    def make(optim_args: Mapping[str, Any], clip_args: OptimArgs | None = None) -> PyroLRScheduler:
        return PyroLRScheduler(constructor, optim_args, clip_args)

    return _dress(make, constructor, _SCHEDULER)


def _dress(function: Callable[..., Any], constructor: type[Any], text: str) -> Callable[..., Any]:
    parameters = list(inspect.signature(constructor).parameters)
    function.__name__ = function.__qualname__ = constructor.__name__
    options = ", ".join(p for p in parameters if p not in ("params", "optimizer"))
    function.__doc__ = text.format(name=constructor.__name__, options=options)
    return function


def _classes(module: Any, base: type[Any]) -> list[type[Any]]:
    found = [getattr(module, name) for name in module.__all__]
    return [thing for thing in found if inspect.isclass(thing) and issubclass(thing, base)]


for _class in _classes(torch.optim, torch.optim.Optimizer):
    if _class not in (torch.optim.Optimizer, torch.optim.LBFGS):
        globals()[_class.__name__] = _wrap_optimizer(_class)
        __all__.append(_class.__name__)

for _class in _classes(torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler):
    globals()[_class.__name__] = _wrap_scheduler(_class)
    __all__.append(_class.__name__)

if TYPE_CHECKING:  # what a type checker cannot see in the loops above

    def _optimizer(optim_args: OptimArgs, clip_args: OptimArgs | None = None) -> PyroOptim: ...

    def _scheduler(optim_args: Mapping[str, Any], clip_args: OptimArgs | None = None) -> PyroLRScheduler: ...

    ASGD = SGD = Adadelta = Adafactor = Adagrad = Adam = AdamW = Adamax = Muon = NAdam = _optimizer
    RAdam = RMSprop = Rprop = SparseAdam = _optimizer
    ChainedScheduler = ConstantLR = CosineAnnealingLR = CosineAnnealingWarmRestarts = CyclicLR = _scheduler
    ExponentialLR = LRScheduler = LambdaLR = LinearLR = MultiStepLR = MultiplicativeLR = OneCycleLR = _scheduler
    PolynomialLR = ReduceLROnPlateau = SequentialLR = StepLR = _scheduler
