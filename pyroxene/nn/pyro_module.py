"""PyroModule: a torch module whose attributes, read inside a call, are param and sample statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from pyroxene.errors import ModuleLocalParamError, NotInitializedError
from pyroxene.nn.attributes import PyroParam, PyroSample, is_distribution
from pyroxene.nn.context import Context, open_calls
from pyroxene.nn.mixin import PyroModuleMeta, register_mixin
from pyroxene.nn.statements import (
    Slot,
    constrained_value,
    forget_leaves,
    read_parameter,
    read_plain_module,
    unconstrain,
)
from pyroxene.primitives import deterministic, sample
from pyroxene.settings import value_of

__all__ = ["PyroModule", "become_pyro_module"]

_SUFFIX = "_unconstrained"


class PyroModule(nn.Module, metaclass=PyroModuleMeta):
    """A torch module whose attributes may be constrained parameters and random variables.

    Set an attribute to a `PyroParam`, a `PyroSample`, an `nn.Parameter` or another module. Inside a call of the module
    (`__call__`, or a method decorated with `pyro_method`) reading it is a `param` or `sample` statement, whose name is
    the dotted path from the outermost module; a random variable is drawn once a call, a parameter is read anew, since
    plates and handlers may differ. Outside, reading a parameter gives its value and a random variable draws anew.

    `PyroModule[nn.Linear]` is `nn.Linear` with the same abilities; it can be subclassed and pickled.

    A parameter with a constraint is the `nn.Parameter` called `<name>_unconstrained`. In a call all parameters are
    entered in the parameter store under their full names, unless the setting `module_local_params` is on.

    Args:
        name: goes before the names of all statements; a module that becomes an attribute of another one takes its name
            from there.

    Raises:
        NotInitializedError: (on setting) an attribute is declared before `super().__init__()`.
        ConstraintError: (on setting) a value violates its parameter's constraint.
        OptionError: (on setting) the value of a parameter is no tensor.
        ParamStoreError: (on reading) the store holds a parameter of this name with another shape or constraint.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> class Regression(PyroModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.linear = PyroModule[nn.Linear](3, 1)
        ...         self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 3]).to_event(2))
        ...         self.scale = PyroParam(torch.tensor(1.0), constraint=dist.constraints.positive)
        ...     def forward(self, x, y=None):
        ...         return pyroxene.sample("y", dist.Normal(self.linear(x).squeeze(-1), self.scale).to_event(1), obs=y)
        >>> trace = pyroxene.poutine.trace(Regression()).get_trace(torch.zeros(5, 3))
        >>> [name for name in trace.nodes if not name.startswith("_")]
        ['linear.weight', 'linear.bias', 'scale', 'y']
        >>> pyroxene.clear_param_store()
    """

    _pyro_name: str
    _pyro_context: Context
    _pyro_params: dict[str, tuple[Any, int | None]]  # declared parameters: constraint, event_dim
    _pyro_samples: dict[str, Any]  # declared random variables: prior
    _pyro_slots: dict[str, Slot]  # how to read each declared parameter; made when it is read first
    _pyro_full_names: dict[str, str]  # made when they are asked for first

    def __init__(self, name: str = "") -> None:
        _add_fields(self, name)
        super().__init__()

    # calls and names ------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module; inside the outermost call attributes are statements, drawn once."""
        context = self._pyro_context
        if context in open_calls():
            return super().__call__(*args, **kwargs)
        with context:
            result = super().__call__(*args, **kwargs)
        if value_of("module_local_params") and value_of("validate_poutine"):
            self._pyro_check_params_are_local()
        return result

    def _pyro_check_params_are_local(self) -> None:
        own = {id(leaf) for leaf in self.parameters()}
        foreign = [name for name, leaf in self._pyro_context.param_state["params"].items() if id(leaf) not in own]
        if foreign:
            raise ModuleLocalParamError(
                "a PyroModule made global param statements although the setting module_local_params is on",
                expected="parameters that are attributes of the module, which `parameters()` lists for an optimiser",
                got=f"param statements {foreign}",
                hint=f"self.{foreign[0].rpartition('$$$')[2]} = PyroParam(...) in __init__, or "
                "pyroxene.settings.set(module_local_params=False)",
            )

    def _pyro_get_fullname(self, name: str) -> str:
        """Return the name of the statement that reading an attribute makes."""
        names = self._pyro_full_names
        full = names.get(name)
        if full is None:
            full = names[name] = f"{self._pyro_name}.{name}" if self._pyro_name else name
        return full

    def _pyro_set_supermodule(self, name: str, context: Context) -> None:
        """Become part of a tree of modules, under a full name, with all modules below."""
        self.__dict__.update(_pyro_name=name, _pyro_context=context, _pyro_slots={}, _pyro_full_names={})
        self._pyro_adopt_children()

    def _pyro_adopt_children(self) -> None:
        for name, child in self._modules.items():
            self._pyro_adopt(name, child)

    def _pyro_adopt(self, name: str, child: nn.Module | None) -> None:
        if isinstance(child, PyroModule):
            child._pyro_set_supermodule(self._pyro_get_fullname(name), self._pyro_context)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add a child module; a PyroModule takes its full name from here."""
        super().add_module(name, module)
        self._pyro_adopt(name, module)

    def named_pyro_params(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, torch.Tensor]]:
        """Return the dotted names and constrained values of all parameters.

        Args:
            prefix: goes before the names.
            recurse: whether modules below count.
        """
        for path, _ in self.named_parameters(prefix=prefix, recurse=recurse):
            below = path[len(prefix) + 1 :] if prefix else path
            owner_path, _, leaf_name = below.rpartition(".")
            owner = self.get_submodule(owner_path)
            name = leaf_name.removesuffix(_SUFFIX)
            if name == leaf_name or name not in getattr(owner, "_pyro_params", ()):
                yield path, getattr(owner, leaf_name)
            else:
                yield path.removesuffix(_SUFFIX), getattr(owner, name)

    # reading --------------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        declared = own.get("_pyro_params")
        if declared is None or "_modules" not in own:  # before __init__
            return super().__getattr__(name)
        if name in declared:
            return self._pyro_read_param(name, declared[name])
        samples = own["_pyro_samples"]
        if name in samples:
            return self._pyro_read_sample(name, samples[name])
        parameters = own["_parameters"]
        if name in parameters:
            leaf = parameters[name]
            if leaf is None or own["_pyro_context"] not in open_calls() or self._pyro_is_hidden(name):
                return leaf
            return read_parameter(self._pyro_get_fullname(name), leaf, None)
        modules = own["_modules"]
        if name in modules:
            module = modules[name]
            if module is not None and not isinstance(module, PyroModule) and own["_pyro_context"] in open_calls():
                read_plain_module(self._pyro_get_fullname(name), module)
            return module
        return self._pyro_read_class_attribute(name)

    def _pyro_is_hidden(self, name: str) -> bool:
        """Say whether an `nn.Parameter` is the unconstrained leaf of a declared one."""
        return name.endswith(_SUFFIX) and name.removesuffix(_SUFFIX) in self._pyro_params

    def _pyro_read_param(self, name: str, declared: tuple[Any, int | None]) -> torch.Tensor:
        own = self.__dict__
        slot = own["_pyro_slots"].get(name)
        if slot is None or slot.declared is not declared:
            slot = own["_pyro_slots"][name] = Slot(name, self._pyro_get_fullname(name), declared)
        parameters = own["_parameters"]
        leaf = parameters.get(slot.key)
        if leaf is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{slot.key}'")
        if own["_pyro_context"] not in open_calls():
            return constrained_value(slot.transform, leaf)

        def replace(stored: nn.Parameter) -> None:
            parameters[slot.key] = stored

        return read_parameter(slot.full_name, leaf, slot, replace)

    def _pyro_read_sample(self, name: str, prior: Any) -> Any:
        call = open_calls().get(self._pyro_context)
        if call is None:
            if not is_distribution(prior):
                prior = prior(self)
            return prior if isinstance(prior, torch.Tensor) else prior()
        full_name = self._pyro_get_fullname(name)
        if full_name not in call.values:
            if not is_distribution(prior):
                prior = prior(self)
            make = deterministic if isinstance(prior, torch.Tensor) else sample
            call.values[full_name] = make(full_name, prior)
        return call.values[full_name]

    def _pyro_read_class_attribute(self, name: str) -> Any:
        """Read what a class body declares; a PyroParam is made the module's own at this moment."""
        declared = getattr(type(self), name, None)
        if isinstance(declared, PyroSample):
            return self._pyro_read_sample(name, declared.prior)
        if isinstance(declared, PyroParam):
            init = declared.init_value
            value = init.clone() if isinstance(init, torch.Tensor) else init(self)  # type: ignore[misc]
            setattr(self, name, PyroParam(value, declared.constraint, declared.event_dim))
            return self._pyro_read_param(name, self._pyro_params[name])
        return super().__getattr__(name)

    # setting and deleting -------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if "_pyro_params" not in own or "_modules" not in own:
            self._pyro_set_before_init(name, value)
        elif isinstance(value, PyroParam):
            self._pyro_declare_param(name, value)
        elif isinstance(value, PyroSample):
            self._pyro_forget(name)
            own["_pyro_samples"][name] = value.prior
        elif isinstance(value, nn.Module):
            self._pyro_make_way(name, "_modules", value)
            super().__setattr__(name, value)
            self._pyro_adopt(name, value)
        elif isinstance(value, nn.Parameter):
            self._pyro_make_way(name, "_parameters", value)
            super().__setattr__(name, value)
        elif name in own["_pyro_params"]:
            self._pyro_set_param(name, value)
        elif value is None and (name in own["_parameters"] or name in own["_modules"]):
            self._pyro_drop_from_store(name)
            own["_parameters" if name in own["_parameters"] else "_modules"][name] = None
        elif isinstance(value, torch.Tensor) and isinstance(declared := getattr(type(self), name, None), PyroParam):
            self._pyro_declare_param(name, PyroParam(value, declared.constraint, declared.event_dim))
        else:
            super().__setattr__(name, value)
            if name == "_pyro_name":
                own.update(_pyro_slots={}, _pyro_full_names={})

    def _pyro_set_before_init(self, name: str, value: Any) -> None:
        if isinstance(value, (PyroParam, PyroSample, nn.Module, nn.Parameter)):
            raise NotInitializedError(
                f"cannot assign attribute '{name}' before PyroModule.__init__() call",
                expected="super().__init__() first",
                got=type(value).__name__,
                hint=f"call super().__init__() in {type(self).__name__}.__init__ before setting attributes",
            )
        super().__setattr__(name, value)

    def _pyro_make_way(self, name: str, kind: str, successor: object) -> None:
        """Before an attribute becomes a module or parameter: one of its kind keeps its place in the order."""
        own = self.__dict__
        if name in own["_pyro_params"] or name in own["_pyro_samples"]:
            self._pyro_forget(name)
        elif own[kind].get(name) is not successor:
            self._pyro_drop_from_store(name)

    def _pyro_declare_param(self, name: str, declared: PyroParam) -> None:
        init = declared.init_value
        value = init() if callable(init) and not isinstance(init, torch.Tensor) else init
        inverse = unconstrain(name, value, declared.constraint)
        leaf = inverse if isinstance(inverse, nn.Parameter) else nn.Parameter(inverse.detach().contiguous())
        self._pyro_forget(name)
        self._parameters[name + _SUFFIX] = leaf
        self._pyro_params[name] = (declared.constraint, declared.event_dim)

    def _pyro_set_param(self, name: str, value: Any) -> None:
        """Give a declared parameter another value, in place so that optimisers and the store keep their leaf."""
        if value is None:
            self._pyro_forget(name)
            self.__dict__[name] = None
            return
        inverse = unconstrain(name, value, self._pyro_params[name][0])
        leaf = self._parameters[name + _SUFFIX]
        assert leaf is not None
        leaf.data = inverse.detach().clone()  # the caller's tensor is not to change with the parameter

    def __delattr__(self, name: str) -> None:
        own = self.__dict__
        if self._pyro_is_hidden(name):
            name = name.removesuffix(_SUFFIX)
        declared = any(name in own[kind] for kind in ("_pyro_params", "_pyro_samples", "_parameters", "_modules"))
        if declared:
            self._pyro_forget(name)
        else:
            super().__delattr__(name)

    def _pyro_forget(self, name: str) -> None:
        """Remove an attribute, whatever it is; its parameters leave the store."""
        self._pyro_drop_from_store(name)
        own = self.__dict__
        if own["_pyro_params"].pop(name, None) is not None:
            own["_parameters"].pop(name + _SUFFIX, None)
        for kind in ("_pyro_samples", "_parameters", "_buffers", "_modules"):
            own[kind].pop(name, None)
        own["_non_persistent_buffers_set"].discard(name)
        own.pop(name, None)

    def _pyro_drop_from_store(self, name: str) -> None:
        leaves = [self._parameters.get(name), self._parameters.get(name + _SUFFIX)]
        module = self._modules.get(name)
        forget_leaves(leaves if module is None else module.parameters())

    # copies ---------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to copy or pickle, without weak references and without what can be made again."""
        for leaf in self.parameters():
            leaf.__dict__.pop("unconstrained", None)
        return {**self.__dict__, "_pyro_slots": {}, "_pyro_full_names": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(_pyro_slots={}, _pyro_full_names={})
        super().__setstate__(state)


register_mixin(nn.Module, PyroModule)


def _add_fields(module: nn.Module, name: str) -> None:
    module.__dict__.update(
        _pyro_name=name,
        _pyro_context=Context(),
        _pyro_params={},
        _pyro_samples={},
        _pyro_slots={},
        _pyro_full_names={},
    )


def become_pyro_module(module: nn.Module) -> PyroModule:
    """Make a torch module a PyroModule of its own class, in place; its children stay what they are."""
    if not isinstance(module, PyroModule):
        module.__class__ = PyroModule[type(module)]
        _add_fields(module, "")
    assert isinstance(module, PyroModule)
    module._pyro_adopt_children()
    return module
