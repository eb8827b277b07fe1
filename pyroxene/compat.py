"""Pyro's module paths: the table of their names' homes here, and the finders behind deep paths and `import pyro`.

Two finders, each one class:

- `_DeepPathFinder` stands last in `sys.meta_path`, so it is asked only for what has no file. It makes
  `pyroxene.poutine.block_messenger` a module whose attributes are looked up where they live.
- `_PyroFinder` stands first, but only after `install()`. It answers `import pyro.x.y` with the module object
  `pyroxene.x.y`, so that there is one copy of everything under two names.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from pyroxene.errors import MissingPackageError, PackageConflictError

__all__ = ["deep_paths", "install", "install_paths", "register_pyroapi", "uninstall"]

_ROOT = __name__.partition(".")[0]
_PYRO = "pyro"

_DEEP_PATHS: dict[str, dict[str, str]] = {
    # ---- networks, which flows are made of, one floor down
    "nn.auto_reg_nn": {
        "ops.networks.auto_reg_nn": "AutoRegressiveNN ConditionalAutoRegressiveNN MaskedLinear create_mask "
        "sample_mask_indices"
    },
    "nn.dense_nn": {"ops.networks.dense_nn": "ConditionalDenseNN DenseNN"},
    # ---- effects: Pyro has a file for each handler, we have one for each kind of handler
    "poutine.block_messenger": {"poutine.handlers.visibility": "BlockMessenger"},
    "poutine.broadcast_messenger": {"poutine.handlers.plates": "BroadcastMessenger"},
    "poutine.condition_messenger": {"poutine.handlers.values": "ConditionMessenger"},
    "poutine.do_messenger": {"poutine.handlers.values": "DoMessenger"},
    "poutine.enum_messenger": {"poutine.handlers.enumeration": "EnumMessenger enumerate_site"},
    "poutine.equalize_messenger": {"poutine.handlers.rewrite": "EqualizeMessenger"},
    "poutine.escape_messenger": {"poutine.handlers.visibility": "EscapeMessenger"},
    "poutine.guide": {"poutine.handlers.guide": "GuideMessenger"},
    "poutine.indep_messenger": {"poutine.message": "CondIndepStackFrame", "poutine.handlers.plates": "IndepMessenger"},
    "poutine.infer_config_messenger": {"poutine.handlers.rewrite": "InferConfigMessenger"},
    "poutine.lift_messenger": {"poutine.handlers.rewrite": "LiftMessenger"},
    "poutine.markov_messenger": {"poutine.handlers.enumeration": "MarkovMessenger"},
    "poutine.mask_messenger": {"poutine.handlers.weights": "MaskMessenger"},
    "poutine.plate_messenger": {"poutine.handlers.plates": "PlateMessenger block_plate"},
    "poutine.reentrant_messenger": {"poutine.messenger": "ReentrantMessenger"},
    "poutine.reparam_messenger": {"poutine.handlers.rewrite": "ReparamHandler ReparamMessenger"},
    "poutine.replay_messenger": {"poutine.handlers.values": "ReplayMessenger"},
    "poutine.scale_messenger": {"poutine.handlers.weights": "ScaleMessenger"},
    "poutine.seed_messenger": {"poutine.handlers.values": "SeedMessenger"},
    "poutine.subsample_messenger": {"poutine.handlers.plates": "SubsampleMessenger _Subsample"},
    "poutine.substitute_messenger": {"poutine.handlers.values": "SubstituteMessenger"},
    "poutine.trace_messenger": {"poutine.handlers.record": "TraceHandler TraceMessenger identify_dense_edges"},
    "poutine.uncondition_messenger": {"poutine.handlers.values": "UnconditionMessenger"},
    # ---- distributions: families stand by kinship
    "distributions.delta": {"distributions.families.delta": "Delta"},
    "distributions.empirical": {"distributions.families.empirical": "Empirical"},
    "distributions.folded": {"distributions.families.folded": "FoldedDistribution"},
    "distributions.improper_uniform": {"distributions.families.improper_uniform": "ImproperUniform"},
    "distributions.transforms.discrete_cosine": {"distributions.transforms.spectral": "DiscreteCosineTransform"},
    "distributions.transforms.haar": {"distributions.transforms.spectral": "HaarTransform"},
    "distributions.transforms.simplex_to_ordered": {"distributions.transforms.ordered": "SimplexToOrderedTransform"},
    "distributions.unit": {"distributions.families.unit": "Unit"},
    # ---- inference: the ELBOs have a folder of their own
    "infer.trace_elbo": {"infer.elbo.trace": "JitTrace_ELBO Trace_ELBO"},
    "infer.trace_mean_field_elbo": {"infer.elbo.mean_field": "JitTraceMeanField_ELBO TraceMeanField_ELBO"},
    "infer.tracegraph_elbo": {
        "infer.elbo.trace_graph": "JitTraceGraph_ELBO TraceGraph_ELBO TrackNonReparam _compute_downstream_costs"
    },
    "infer.enum": {"infer.importance_trace": "get_importance_trace"},
    "infer.autoguide.guides": {
        "infer.autoguide.guide": "AutoCallable AutoDelta AutoGuide AutoGuideList",
        "infer.autoguide.normal": "AutoNormal",
        "infer.autoguide.continuous": "AutoContinuous AutoDiagonalNormal AutoLaplaceApproximation "
        "AutoLowRankMultivariateNormal AutoMultivariateNormal",
    },
    "infer.autoguide.initialization": {
        "density.initialization": "InitMessenger init_to_feasible init_to_generated init_to_mean init_to_median "
        "init_to_sample init_to_uniform init_to_value"
    },
    # ---- what Pyro keeps in one drawer
    "util": {
        "rng": "get_rng_state set_rng_seed set_rng_state",
        "infer.checks": "check_model_guide_match check_site_shape check_traceenum_requirements "
        "ignore_experimental_warning ignore_jit_warnings torch_isinf torch_isnan warn_if_inf warn_if_nan",
        "infer.util": "optional",
    },
}
"""{Pyro's path below the root: {our home below the root: the names there}}; only paths that have no file here."""


def deep_paths() -> dict[str, dict[str, str]]:
    """Return where each name of each deep path lives: {path: {name: home}}, all with the package's name in front.

    Example:
        >>> deep_paths()["pyroxene.poutine.block_messenger"]
        {'BlockMessenger': 'pyroxene.poutine.handlers.visibility'}
    """
    return {f"{_ROOT}.{path}": _homes(path) for path in _DEEP_PATHS}


def _homes(path: str) -> dict[str, str]:
    return {name: f"{_ROOT}.{home}" for home, names in _DEEP_PATHS[path].items() for name in names.split()}


class _DeepModule(ModuleType):
    """A module without a file; final.

    Reading or setting one of its names reads or sets it in its home. Deleting one that was set puts back what was there
    before, which is how `unittest.mock` and pytest undo their patches.
    """

    def __init__(self, name: str, homes: dict[str, str]) -> None:
        super().__init__(
            name, f"A path of Pyro's interface; its names live in {', '.join(sorted(set(homes.values())))}."
        )
        self.__dict__["_homes"] = homes
        self.__dict__["_before"] = {}
        self.__dict__["__all__"] = [public for public in homes if not public.startswith("_")]

    def __getattr__(self, name: str) -> Any:
        home = self.__dict__["_homes"].get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home), name)

    def __setattr__(self, name: str, value: Any) -> None:
        home = self.__dict__["_homes"].get(name)
        if home is None:
            super().__setattr__(name, value)
        else:
            module = importlib.import_module(home)
            self.__dict__["_before"].setdefault(name, getattr(module, name))
            setattr(module, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__["_before"]:
            setattr(importlib.import_module(self.__dict__["_homes"][name]), name, self.__dict__["_before"].pop(name))
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *self.__dict__["_homes"]])


class _DeepPathFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and makes the modules of `_DEEP_PATHS`; final."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, below = fullname.partition(".")
        if root != _ROOT or below not in _DEEP_PATHS:
            return None
        inner = any(other.startswith(below + ".") for other in _DEEP_PATHS)
        return ModuleSpec(fullname, self, origin="a path of Pyro's, without a file", is_package=inner)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _DeepModule(spec.name, _homes(spec.name.partition(".")[2]))

    def exec_module(self, module: ModuleType) -> None:
        """Nothing runs: every name is looked up when it is asked for."""


class _PyroFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `pyro` and `pyro.x.y` in this package, as the same module objects; final."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, dot, below = fullname.partition(".")
        if root != _PYRO:
            return None
        ours = _ROOT + dot + below
        found = importlib.util.find_spec(ours)
        if found is None:
            # An import statement may say more than its usual sentence; importlib.util.find_spec must get its None.
            if sys._getframe(2).f_code.co_name == "_find_and_load_unlocked":
                raise ModuleNotFoundError(f"No module named {fullname!r}; pyroxene has no {ours!r}", name=fullname)
            return None
        inner = found.submodule_search_locations is not None
        return ModuleSpec(fullname, self, origin=found.origin, is_package=inner)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(_ROOT + spec.name.removeprefix(_PYRO))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back (importlib has put in the alias's) and name what it brought along."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state
        _mirror()


def _mirror() -> None:
    """Enter every loaded module of this package under Pyro's name as well.

    Importing an alias by itself would not do: importlib then binds the module in its parent once more, over a
    function of the same name that the parent has put there since.
    """
    for name, module in list(sys.modules.items()):
        if name == _ROOT or name.startswith(_ROOT + "."):
            sys.modules.setdefault(_PYRO + name.removeprefix(_ROOT), module)


def _standing(kind: type) -> list[Any]:
    """List the finders of a kind that are in place; by name, so that those from before a reload count too."""
    return [f for f in sys.meta_path if (type(f).__module__, type(f).__name__) == (__name__, kind.__name__)]


def install_paths() -> None:
    """Make Pyro's deep module paths importable below `pyroxene`; a second call changes nothing.

    Example:
        >>> install_paths()
        >>> from pyroxene.poutine.block_messenger import BlockMessenger
        >>> BlockMessenger.__module__
        'pyroxene.poutine.handlers.visibility'
    """
    if not _standing(_DeepPathFinder):
        sys.meta_path.append(_DeepPathFinder())


def install() -> None:
    """Make `import pyro` and every `pyro.x.y` give pyroxene's modules; a second call changes nothing.

    It affects this process only, and pickles that name classes of `pyro.*` load too. `python -m pyroxene run
    script.py` does it for a script that is not to be touched.

    Raises:
        PackageConflictError: pyro-ppl itself has been imported already; call `install()` before that.

    Example:
        >>> install()
        >>> import pyro, pyroxene
        >>> pyro is pyroxene
        True
        >>> uninstall()
    """
    present = sys.modules.get(_PYRO)
    if present is not None and present is not sys.modules[_ROOT]:
        raise PackageConflictError(
            "the name 'pyro' is taken: another package has been imported under it",
            got=getattr(present, "__file__", None) or present,
            hint="call pyroxene.compat.install() before the first `import pyro`, or run the program with "
            "`python -m pyroxene run`",
        )
    if not _standing(_PyroFinder):
        sys.meta_path.insert(0, _PyroFinder())
    _mirror()


def uninstall() -> None:
    """Undo `install()`: `import pyro` means pyro-ppl again, where it is installed; without `install()`, do nothing."""
    for finder in _standing(_PyroFinder):
        sys.meta_path.remove(finder)
    if sys.modules.get(_PYRO) is sys.modules[_ROOT]:
        for name in [name for name in sys.modules if name.partition(".")[0] == _PYRO]:
            del sys.modules[name]


def register_pyroapi() -> None:
    """Register the backend "pyroxene" with the `pyro-api` package, whose modules are then imported on use.

    Programs written against `pyroapi` choose it by `with pyro_backend("pyroxene")`.

    Raises:
        MissingPackageError: `pyro-api` is not installed.
    """
    try:
        dispatch = importlib.import_module("pyroapi.dispatch")
    except ModuleNotFoundError as error:
        raise MissingPackageError("pyro-api is not installed", hint="pip install pyro-api") from error
    dispatch.register_backend(
        _ROOT,
        {
            "distributions": f"{_ROOT}.distributions",
            "handlers": f"{_ROOT}.poutine",
            "infer": f"{_ROOT}.infer",
            "optim": f"{_ROOT}.optim",
            "pyro": _ROOT,
        },
    )
