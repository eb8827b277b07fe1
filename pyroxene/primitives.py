"""The statements of the language: sample, param, plate, factor, deterministic, subsample, module, barrier."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.distributions.constraints import Constraint

from pyroxene import settings
from pyroxene.distributions import Delta, Unit, constraints
from pyroxene.errors import MissingParamError, NotCallableError, SiteError, UnsupportedError, UsageError, user_source
from pyroxene.params import clear_param_store, get_param_store, param_with_module_name
from pyroxene.params.param_store import ParamStoreDict
from pyroxene.poutine.handlers import PlateMessenger, condition, do, markov, mask
from pyroxene.poutine.runtime import apply_stack, handlers_in_force, new_message

__all__ = [
    "barrier",
    "clear_param_store",
    "condition",
    "deterministic",
    "do",
    "enable_validation",
    "factor",
    "get_param_store",
    "markov",
    "module",
    "param",
    "plate",
    "plate_stack",
    "sample",
    "subsample",
    "validation_enabled",
]

_STORE: ParamStoreDict = get_param_store()


def _read_param(name: str, *args: Any, constraint: Constraint = constraints.real, event_dim: int | None = None) -> Any:
    """Read a parameter from the store, creating it where an initial value is given."""
    if args:
        return _STORE.setdefault(name, args[0], constraint)
    try:
        return _STORE[name]
    except KeyError:
        raise MissingParamError(
            f"param '{name}' is not in the store",
            site=name,
            expected=f"a parameter in the store; it holds {sorted(_STORE) or 'none'}",
            got="no value and no initial value",
            hint=f"param({name!r}, torch.zeros(...))",
        ) from None


def param(
    name: str,
    init_tensor: torch.Tensor | Callable[[], torch.Tensor] | None = None,
    constraint: Constraint = constraints.real,
    event_dim: int | None = None,
) -> torch.Tensor:
    """Read a learnable parameter from the parameter store; create it where it is missing.

    Args:
        name: its name in the store.
        init_tensor: its first value, or a function that makes it; None to read only.
        constraint: what its value satisfies.
        event_dim: how many dimensions from the right belong to one event; the others are batch dimensions, which a
            subsampling plate cuts. All of them belong to the event where it is None.

    Returns:
        the constrained value; `.unconstrained()` is the leaf that optimisers step.

    Raises:
        MissingParamError: (a KeyError) no such parameter, and no initial value.
        ParamStoreError: the store's parameter has another shape or constraint.

    Example:
        >>> param("scale", torch.tensor(2.0), constraint=constraints.positive).item()
        2.0
        >>> clear_param_store()
    """
    args = (name,) if init_tensor is None else (name, init_tensor)
    if not handlers_in_force():
        return _read_param(*args, constraint=constraint, event_dim=event_dim)
    msg = new_message("param", name, _read_param, args, {"constraint": constraint, "event_dim": event_dim})
    msg["source"] = user_source(2)
    return apply_stack(msg)["value"]


def sample(
    name: str,
    fn: Any,
    *args: Any,
    obs: torch.Tensor | None = None,
    obs_mask: bool | torch.Tensor | None = None,
    infer: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Draw a random variable, or observe it.

    Args:
        name: its name; unique in a run.
        fn: a distribution, or a callable of `args` and `kwargs` that draws.
        *args: arguments of `fn`.
        obs: data: the variable is observed at this value, of shape batch_shape + event_shape.
        obs_mask: which batch elements of `obs` are data, a bool or a bool tensor of the batch shape; the others are
            latent.
        infer: entries for inference; see `poutine.message.InferDict`.
        **kwargs: keyword arguments of `fn`.

    Returns:
        the value, shape (sample_shape +) batch_shape + event_shape.

    Raises:
        SiteError: `fn` is no distribution and not callable.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> pyroxene.set_rng_seed(0)
        >>> sample("x", dist.Normal(torch.zeros(3), 1.0)).shape
        torch.Size([3])
    """
    if not callable(fn):
        raise NotCallableError(
            f"'{type(fn).__name__}' object is not callable: site '{name}' needs a distribution",
            site=name,
            expected="a pyroxene.distributions.Distribution, or a callable",
            got=fn,
            hint=f"sample({name!r}, dist.Delta(value)), or deterministic({name!r}, value) for a computed value",
        )
    if obs_mask is not None:
        return _sample_partly_observed(name, fn, obs, obs_mask, infer)
    if not handlers_in_force():
        if obs is None:
            return fn(*args, **kwargs)
        if infer is None or not infer.get("_deterministic"):
            warnings.warn(f"trying to observe a value outside of inference at {name}", RuntimeWarning, stacklevel=2)
        return obs
    infer = {} if infer is None else infer.copy()
    is_observed = infer.pop("is_observed", obs is not None)
    msg = new_message("sample", name, fn, args, kwargs, obs, is_observed, infer)
    msg["source"] = user_source(2)
    return apply_stack(msg)["value"]


def _sample_partly_observed(name: str, fn: Any, obs: Any, obs_mask: Any, infer: Any) -> torch.Tensor:
    """Split a site into its observed and its latent part, and join their values as a deterministic site."""
    if not (isinstance(obs_mask, bool) or (isinstance(obs_mask, torch.Tensor) and obs_mask.dtype == torch.bool)):
        raise UsageError(
            "obs_mask is a bool or a tensor of bools", site=name, expected="bool", got=obs_mask, hint="mask.bool()"
        )
    if obs is None:  # nothing is known: as in a run that predicts
        with mask(mask=obs_mask):
            observed = sample(f"{name}_observed", fn, infer=infer)
    else:
        with mask(mask=obs_mask):
            observed = sample(f"{name}_observed", fn, obs=_neutral(fn, obs, obs_mask), infer=infer)
    with mask(mask=not obs_mask if isinstance(obs_mask, bool) else ~obs_mask):
        latent = sample(f"{name}_unobserved", fn, infer={**(infer or {}), "unneeded": obs_mask})
    if isinstance(obs_mask, bool):
        value = observed if obs_mask else latent
    else:
        value = torch.where(obs_mask.reshape(obs_mask.shape + (1,) * fn.event_dim), observed, latent)
    return deterministic(name, value, event_dim=fn.event_dim)


def _neutral(fn: Any, obs: Any, obs_mask: Any) -> Any:
    """Fill the events of data that are masked out, which may be NaN, with one inside the support."""
    if isinstance(obs_mask, bool) or not obs.is_floating_point():
        return obs
    inside = obs_mask.reshape(obs_mask.shape + (1,) * fn.event_dim)
    if not bool((obs.isnan() & ~inside).any()):
        return obs
    known = obs[obs_mask.expand(obs.shape[: obs.dim() - fn.event_dim])]
    with torch.no_grad():
        return torch.where(inside, obs, known[0] if len(known) else fn.sample())


class plate(PlateMessenger):
    """Declares conditional independence: a batch dimension (`with plate(...)`) or a loop (`for i in plate(...)`).

    Args:
        name: the plate's name; unique in a run, though one plate object may be entered again.
        size: how many independent copies there are; None for a batch dimension of unknown size.
        subsample_size: draw so many of them at random, and scale log densities by size / subsample_size.
        subsample: the indices to use, a sequence or a tensor of integers.
        dim: the batch dimension, counted from the right and negative; None takes the rightmost free one.
        use_cuda: whether the indices live on the current CUDA device.
        device: where the indices live.

    Raises:
        PlateError: size is not a positive integer, the subsample is larger than the plate, or two plates want one dim.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> with plate("rows", 3, dim=-2), plate("columns", 4, dim=-1):
        ...     x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        >>> x.shape
        torch.Size([3, 4])
        >>> [i for i in plate("loop", 3)]
        [0, 1, 2]
    """


@contextmanager
def plate_stack(prefix: str, sizes: Sequence[int], rightmost_dim: int = -1) -> Iterator[None]:
    """Enter one plate for each of several sizes, the last of them rightmost.

    Args:
        prefix: plates are named prefix_0, prefix_1, ..., from the rightmost on.
        sizes: a shape.
        rightmost_dim: the batch dimension of the last size.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> with plate_stack("grid", (2, 3)):
        ...     pyroxene.sample("x", dist.Normal(0.0, 1.0)).shape
        torch.Size([2, 3])
    """
    if rightmost_dim >= 0:
        raise UsageError(
            "plate_stack counts dimensions from the right",
            expected="rightmost_dim < 0",
            got=rightmost_dim,
            hint="rightmost_dim=-1",
        )
    with ExitStack() as stack:
        for position, size in enumerate(reversed(sizes)):
            stack.enter_context(plate(f"{prefix}_{position}", size, dim=rightmost_dim - position))
        yield


def factor(name: str, log_factor: torch.Tensor | float, *, has_rsample: bool | None = None) -> None:
    """Add a term to the log density.

    Args:
        name: the site's name.
        log_factor: the term, of the batch shape of the plates around it.
        has_rsample: in a guide, whether the term is a reparametrised function of parameters; required there.
    """
    unit = Unit(torch.as_tensor(log_factor), has_rsample=has_rsample)
    sample(name, unit, obs=unit.sample(), infer={"is_auxiliary": True})


def deterministic(name: str, value: torch.Tensor, event_dim: int | None = None) -> torch.Tensor:
    """Record a computed value under a name; it has no density.

    Args:
        name: the site's name.
        value: the value.
        event_dim: how many of its dimensions, from the right, are one event; all where it is None.

    Returns:
        the value.
    """
    if not isinstance(value, torch.Tensor):
        raise SiteError(
            f"deterministic site '{name}' is no tensor",
            site=name,
            expected="a torch.Tensor",
            got=value,
            hint=f"deterministic({name!r}, torch.as_tensor(value))",
        )
    event_dim = value.dim() if event_dim is None else event_dim
    delta = Delta(value, event_dim=event_dim, validate_args=False).mask(False)
    return sample(name, delta, obs=value, infer={"_deterministic": True})


def subsample(data: torch.Tensor, event_dim: int) -> torch.Tensor:
    """Cut full-size data down to the indices of the subsampling plates around this statement.

    Args:
        data: shape batch_shape + event_shape, with the plates' full sizes.
        event_dim: how many dimensions from the right are one event.

    Returns:
        the data at the plates' indices.
    """
    if not isinstance(event_dim, int) or event_dim < 0:
        raise UsageError(
            "subsample needs the number of event dimensions",
            expected="event_dim >= 0",
            got=event_dim,
            hint="event_dim=0 for scalars",
        )
    if not handlers_in_force():
        return data
    msg = new_message("subsample", None, lambda value, event_dim: value, (data,), {"event_dim": event_dim})
    return apply_stack(msg)["value"]


def barrier(data: torch.Tensor) -> torch.Tensor:
    """Mark a place where all values of a tensor must be known; the identity unless a handler acts on it.

    Args:
        data: any tensor.
    """
    if not handlers_in_force():
        return data
    return apply_stack(new_message("barrier", None, lambda value: value, (data,)))["value"]


def module(name: str, nn_module: torch.nn.Module, update_module_params: bool = False) -> torch.nn.Module:
    """Register the parameters of a torch module in the parameter store, as "name$$$parameter".

    Args:
        name: the module's name.
        nn_module: the module; parameters that do not require gradients are left out.
        update_module_params: whether the module takes the values that the store, or a handler such as `lift`, holds.

    Returns:
        the module.

    Raises:
        UsageError: `nn_module` is no module; UnsupportedError where it is a class.
    """
    if isinstance(nn_module, type):
        raise UnsupportedError(
            "module registers an instance, not a class",
            site=name,
            expected="torch.nn.Module",
            got=nn_module,
            hint=f"module({name!r}, {nn_module.__name__}(...))",
        )
    if not isinstance(nn_module, torch.nn.Module):
        raise UsageError(
            "module registers a torch module",
            site=name,
            expected="torch.nn.Module",
            got=nn_module,
            hint=f"param({name!r}, value) for a single tensor",
        )
    changed: dict[str, Any] = {}
    for param_name, value in nn_module.named_parameters():
        if not value.requires_grad:
            continue
        kept = param(param_with_module_name(name, param_name), value)
        if kept is not value:
            changed[param_name] = kept
    if changed and update_module_params:
        for path, value in changed.items():
            owner, _, leaf = path.rpartition(".")
            nn_module.get_submodule(owner)._parameters[leaf] = value
    elif changed:
        warnings.warn(
            f"module '{name}': the store holds other values for {sorted(changed)[:3]}, which the module does not use; "
            "pass update_module_params=True, or call clear_param_store() before a new model",
            stacklevel=2,
        )
    return nn_module


def enable_validation(is_validate: bool = True) -> None:
    """Switch all checks on or off: of distributions, of names, of models and guides.

    Args:
        is_validate: the checks are on by default, unless Python runs with -O.
    """
    settings.set(
        validate_distributions_torch=is_validate,
        validate_distributions_pyro=is_validate,
        validate_infer=is_validate,
        validate_poutine=is_validate,
    )


@contextmanager
def validation_enabled(is_validate: bool = True) -> Iterator[None]:
    """Switch all checks on or off inside a block."""
    with settings.context(
        validate_distributions_torch=is_validate,
        validate_distributions_pyro=is_validate,
        validate_infer=is_validate,
        validate_poutine=is_validate,
    ):
        yield
