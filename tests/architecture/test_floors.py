"""The floors: a file imports from lower floors or from its own room, and inside a room the files form no circle.

The list FLOORS is the architecture. An import in a function, or for typing only, counts like any other.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "pyroxene"

FLOORS = [  # from the ground up; rooms of one floor do not know each other; "" is the face, pyroxene/__init__.py
    {"errors", "logger", "_typing", "_version"},
    {"settings", "rng", "compat"},
    {"ops", "compiler"},
    {"distributions", "diagnostics"},
    {"params"},
    {"poutine", "optim"},
    {"primitives", "scan"},
    {"nn", "density"},
    {"infer"},
    {""},
    {"cli", "contrib"},
    {"__main__"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

PATHS = {
    ".".join(("pyroxene", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def room_of(module: str) -> str:
    return (module.split(".") + [""])[1]


def imports_of(module: str) -> set[tuple[str, int]]:
    """The modules of the package that a module imports, anywhere in its text, with line numbers."""
    found = set()
    for node in ast.walk(ast.parse(PATHS[module].read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            while target and target not in PATHS:  # "pyroxene.ops.packed.pack" -> "pyroxene.ops.packed"
                target = target.rpartition(".")[0]
            if target and target != module:
                found.add((target, node.lineno))
    return found


def test_every_room_stands_on_a_floor():
    rooms = {room_of(module) for module in PATHS}
    assert rooms == set(FLOOR_OF)


@pytest.mark.parametrize("module", PATHS)
def test_imports_run_down(module):
    here = room_of(module)
    faults = [
        f"{PATHS[module]}:{line} imports {target}, of floor {FLOOR_OF[room_of(target)]}; it stands on {FLOOR_OF[here]}"
        for target, line in sorted(imports_of(module))
        if room_of(target) != here and FLOOR_OF[room_of(target)] >= FLOOR_OF[here]
    ]
    assert faults == []


def test_files_form_no_circle():
    graph = {module: {target for target, _ in imports_of(module)} for module in PATHS}
    # a package's __init__ hands its files' names on, and a file may name its package's siblings through it: no edge up
    for module, targets in graph.items():
        targets -= {package for package in targets if module.startswith(package + ".") and package != "pyroxene"}
    done: set[str] = set()

    def walk(trail: list[str]) -> list[str]:
        for target in sorted(graph[trail[-1]] - done):
            if target in trail:
                return [*trail[trail.index(target) :], target]
            circle = walk([*trail, target])
            if circle:
                return circle
        done.add(trail[-1])
        return []

    for module in graph:
        if module not in done:
            assert walk([module]) == []


def test_nothing_imports_pyro():
    for module, path in PATHS.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "pyro" for name in names), module
