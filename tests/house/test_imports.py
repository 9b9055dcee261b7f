"""Rooms import in one direction only."""

import ast

import pytest

from conftest import ROOT

FLOORS = [
    {"types", "version", "words"},
    {"arguments", "commands", "files", "ledger"},
    {"parallel", "learners", "latents", "data"},
    {"models", "objectives", "metrics"},
    {"lane"},
    {"asked"},
    {"workdir"},
    {"training", "loggers"},
    {"saved"},
    {"evaluate", "navigate"},
    {"report"},
    {"plugins", "catalogue"},
    {"study"},
    {"explore"},
    {"cli"},
    {"__main__"},
]
"""The rooms of the house from the ground up. A room imports itself and the floors below its own, never a neighbour."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted((ROOT / "jaxvae").rglob("*.py"))


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imported(path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "jaxvae" else {node.module}
            )
    return {m for m in modules if m.split(".")[0] == "jaxvae"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_only_its_own_room_and_rooms_below(path):
    parts = path.relative_to(ROOT / "jaxvae").with_suffix("").parts
    if parts == ("__init__",):
        return  # the front door shows every room
    own = "__main__" if parts[-1] == "__main__" else parts[0]  # a command of a room's own is a door, not the room
    for module in imported(path):
        room = room_of(module)
        assert room in FLOOR, f"{path} imports {module}, which is no room of the house"
        assert room == own or FLOOR[room] < FLOOR[own], f"{path} ({own}) must not import {module}"


def test_heavy_or_foreign_libraries_are_not_imported_at_start():
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            names = (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "") or ""]
            )
            for name in names:
                assert name.split(".")[0] not in {"tensorflow", "torch", "tensorflow_datasets"}, (
                    f"{path} imports {name}"
                )
