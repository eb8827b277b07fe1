"""PyroLRScheduler: a learning rate schedule for each parameter, which starts when the parameter appears."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler

from pyroxene.errors import OptionError
from pyroxene.optim.optim import PyroOptim
from pyroxene.optim.options import check_options

__all__ = ["PyroLRScheduler"]


class PyroLRScheduler(PyroOptim):
    """An optimiser whose learning rates follow one of torch's schedules.

    A call steps the parameters, `step` steps the schedules, usually once an epoch.

    Args:
        scheduler_constructor: a class of `torch.optim.lr_scheduler`.
        optim_args: a dict with the torch optimiser's class under `optimizer`, its options under `optim_args` (a dict,
            or a function of the parameter's name), and the scheduler's own options. Where the scheduler takes
            `schedulers`, each is a function of a torch optimiser that returns a scheduler.
        clip_args: as in PyroOptim.

    Raises:
        OptionError: `optimizer`, `optim_args` or an option of the scheduler is missing or unknown.

    Example:
        >>> import torch
        >>> x = torch.zeros(1, requires_grad=True)
        >>> scheduler = PyroLRScheduler(
        ...     torch.optim.lr_scheduler.ExponentialLR,
        ...     {"optimizer": torch.optim.SGD, "optim_args": {"lr": 1.0}, "gamma": 0.1},
        ... )
        >>> for _ in range(3):
        ...     x.grad = torch.ones(1)
        ...     scheduler([x])
        ...     scheduler.step()
        >>> x
        tensor([-1.1100], requires_grad=True)
    """

    def __init__(
        self,
        scheduler_constructor: Callable[..., Any],
        optim_args: Mapping[str, Any],
        clip_args: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None = None,
    ) -> None:
        name = getattr(scheduler_constructor, "__name__", repr(scheduler_constructor))
        needed = ("optimizer", "optim_args")
        if not isinstance(optim_args, Mapping) or any(key not in optim_args for key in needed):
            raise OptionError(
                f"{name} needs a torch optimiser and its options",
                expected="a dict with 'optimizer', 'optim_args' and the options of the schedule",
                got=", ".join(map(str, optim_args)) if isinstance(optim_args, Mapping) else optim_args,
                hint=f"{name}({{'optimizer': torch.optim.Adam, 'optim_args': {{'lr': 0.01}}, ...}})",
            )
        optimizer = optim_args["optimizer"]
        if inspect.isfunction(optimizer) and next(iter(inspect.signature(optimizer).parameters), "") == "optim_args":
            raise OptionError(
                f"'optimizer' of {name} must make torch optimisers",
                expected="a class such as torch.optim.Adam or pyroxene.optim.clipped_adam.ClippedAdam",
                got=f"the function {optimizer.__module__}.{optimizer.__name__}, which makes a PyroOptim",
            )
        self.pt_scheduler_constructor = scheduler_constructor
        self.kwargs = {key: value for key, value in optim_args.items() if key not in needed}
        check_options(scheduler_constructor, self.kwargs, "optimizer")
        super().__init__(optimizer, optim_args["optim_args"], clip_args)

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Step the schedule of every parameter that has appeared so far.

        Args:
            args: passed to the scheduler's `step`: ReduceLROnPlateau's metric.
            kwargs: passed to it by name.
        """
        for cohort in self._distinct(self._cohorts):
            cohort.scheduler.step(*args, **kwargs)

    def _schedule(self) -> Callable[[Optimizer], Any]:
        return self._make_scheduler

    def _make_scheduler(self, optimizer: Optimizer) -> Any:
        kwargs = dict(self.kwargs)
        if "schedulers" in kwargs:
            for make in kwargs["schedulers"]:
                if not callable(make):
                    raise OptionError(
                        "a scheduler inside another must be made for each torch optimiser",
                        expected="functions of a torch optimiser",
                        got=make,
                        hint="'schedulers': [lambda o: ExponentialLR(o, gamma=0.9), ...]",
                    )
            kwargs["schedulers"] = [make(optimizer) for make in kwargs["schedulers"]]
        if self.pt_scheduler_constructor is ChainedScheduler:
            return ChainedScheduler(optimizer=optimizer, **kwargs)
        return self.pt_scheduler_constructor(optimizer, **kwargs)
