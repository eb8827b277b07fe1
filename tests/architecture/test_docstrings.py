"""Every public name says what it is; a method may inherit its docstring, which a linter of single files cannot see."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "pyroxene").rglob("*.py")
    if path.name != "__main__.py"
)
SELF_EVIDENT = {"domain", "codomain"}  # of a transform: torch declares them without a docstring that could be inherited


def undocumented(name: str, thing: object) -> list[str]:
    """The name itself, where it has no docstring, and those of a class's own public methods that have none."""
    missing = [] if inspect.getdoc(thing) else [name]
    if inspect.isclass(thing):
        missing += [
            f"{name}.{key}"
            for key, value in vars(thing).items()
            if not key.startswith("_") and key not in SELF_EVIDENT
            if inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod))
            if not inspect.getdoc(getattr(thing, key))
        ]
    return missing


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_documented(module):
    room = importlib.import_module(module)
    missing = []
    for name in room.__all__:
        thing = getattr(room, name)
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__ == module:
            missing += undocumented(name, thing)
    assert missing == []


class Base:
    """A base."""

    def told(self):
        """Return nothing."""


class Child(Base):
    """A child; at the module's level, since inspect looks a method's bases up by its qualified name."""

    def told(self):
        pass

    def untold(self):
        pass


def test_the_check_tells_inherited_from_missing():
    assert undocumented("Child", Child) == ["Child.untold"]
