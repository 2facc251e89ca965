"""The way through the house: which room may use which."""

import ast
from functools import cache
from pathlib import Path

import pytest

import resnet_exp

PACKAGE = Path(resnet_exp.__file__).parent
# Each room with those it may use, besides itself and the ground floor.
ROOMS = {
    "cli": {"training", "diagnostics", "compute", "why", "study", "runs", "data", "nets"},
    "training": {"compute", "runs", "data", "nets"},
    "diagnostics": {"compute", "runs", "data", "nets"},
    "compute": {"runs", "data", "nets"},
    "why": {"study", "runs", "data", "nets"},
    "study": {"runs", "data", "nets"},
    "runs": set(),
    "data": set(),
    "nets": set(),
}
STUDY = {"study", "why"}  # read run folders, compute and train nothing
GROUND = {"config", "cores", "files", "grammar", "settings", "text"}  # know no room
# Importing these must not take long: what a command says about wrong words, and all that reads run folders.
WITHOUT_TORCH = {
    *(
        "config",
        "cores",
        "files",
        "grammar",
        "settings",
        "text",
        "cli.start",
        "cli.main",
        "cli.report",
        "cli.status",
        "cli.prune",
        "cli.sweep",
        "cli.compose",
        "cli.messages",
    ),
    *(
        "cli.names",
        "cli.settle",
        "cli.logs",
        "cli.signals",
        "cli.workers",
        "cli.describe",
        "cli.plan",
        "cli.table",
        "data.classes",
        "data.sizes",
        "nets.cost",
        "nets.footprint",
        "nets.names",
        "nets.spec",
        "nets.table",
        "runs.folder",
        "runs.status",
        "runs.prune",
        "runs.schema",
    ),
    *("runs.origin", "runs.events", "training.stop", "training.estimate"),
}
MODULES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file
    for file in PACKAGE.rglob("*.py")
    if file.name not in ("__init__.py", "__main__.py")
}


def room(module: str) -> str:
    return module.split(".")[0]


@cache
def imports(module: str, *, lazy: bool) -> set[str]:
    """Dotted names a module imports: at its top, or, with `lazy`, anywhere."""
    tree = ast.parse(MODULES[module].read_text())
    names = set()
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def own(module: str, *, lazy: bool) -> set[str]:
    """Our modules among them."""
    names = {name.removeprefix("resnet_exp.") for name in imports(module, lazy=lazy)}
    return names & MODULES.keys()


def reachable(module: str) -> set[str]:
    """The modules that importing `module` imports, itself included."""
    found, todo = set(), [module]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo += own(current, lazy=False)
    return found


def roots(module: str, *, lazy: bool) -> set[str]:
    return {name.split(".")[0] for name in imports(module, lazy=lazy)}


def test_every_file_is_in_a_room_or_on_the_ground_and_no_room_in_another() -> None:
    for module in MODULES:
        assert module in GROUND or (room(module) in ROOMS and module.count(".") == 1), module


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_down_the_house(module: str) -> None:
    allowed = GROUND if module in GROUND else ROOMS[room(module)] | GROUND | {room(module)}
    used = {room(name) for name in own(module, lazy=True)}
    assert used <= allowed, f"{module} uses {', '.join(sorted(used - allowed))}"


@pytest.mark.parametrize("module", sorted(WITHOUT_TORCH | {m for m in MODULES if room(m) in STUDY}))
def test_what_must_answer_at_once_does_not_import_torch(module: str) -> None:
    for used in reachable(module):
        assert not roots(used, lazy=False) & {"torch", "torchvision"}, used


def test_the_study_never_imports_torch_not_even_late() -> None:
    for module in MODULES:
        if room(module) in STUDY:
            assert not roots(module, lazy=True) & {"torch", "torchvision"}, module


def test_training_does_not_draw() -> None:
    for module in MODULES:
        if room(module) not in STUDY:
            assert "matplotlib" not in roots(module, lazy=True), module


@pytest.mark.parametrize("library", ["hydra", "multiprocessing", "submitit"])
def test_hydra_and_processes_are_the_commands_business(library: str) -> None:
    users = {room(module) for module in MODULES if library in roots(module, lazy=True)}
    assert users <= {"cli"}


def test_no_module_is_imported_in_a_circle() -> None:
    for module in MODULES:
        for used in own(module, lazy=False):
            assert module not in reachable(used), (module, used)


def test_no_test_module_imports_another() -> None:
    for file in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("tests.test_"), file.name
