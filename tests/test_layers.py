"""The way through the house: which module may use which."""

import ast
from pathlib import Path

import pytest

import resnet_exp

PACKAGE = Path(resnet_exp.__file__).parent
MODULES = {file.stem: file for file in PACKAGE.glob("*.py")}
LEAVES = {"models", "data", "optim", "checkpoint", "records", "batches", "casting", "machine"}
WITHOUT_TORCH = {
    "config",
    "errors",
    "main",
    "sweep",
    "analysis",
    "plots",
    "report",
    "page",
    "verdict",
    "comparable",
    "inference",
    "published",
    "commands",
    "records",
    "signals",
    "workers",
}
WITH_HYDRA = {"main", "sweep", "config", "errors"}


def imports(module: str, *, lazy: bool) -> set[str]:
    """Dotted names a module imports: at its top, or, with `lazy`, anywhere but under TYPE_CHECKING."""
    tree = ast.parse(MODULES[module].read_text())
    nodes = ast.walk(tree) if lazy else iter(tree.body)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def own(module: str, *, lazy: bool) -> set[str]:
    return {name.split(".")[1] for name in imports(module, lazy=lazy) if name.startswith("resnet_exp.")}


def reachable(module: str) -> set[str]:
    """The modules that importing `module` imports, itself included."""
    found, todo = set(), [module]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo += own(current, lazy=False)
    return found


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_leaves_use_neither_each_other_nor_the_config(leaf: str) -> None:
    assert not own(leaf, lazy=True) & (LEAVES | {"config", "train", "tasks", "main"})


@pytest.mark.parametrize("module", sorted(WITHOUT_TORCH))
def test_what_must_answer_at_once_does_not_import_torch(module: str) -> None:
    for used in reachable(module):
        roots = {name.split(".")[0] for name in imports(used, lazy=False)}
        assert not roots & {"torch", "torchvision"}, used


def test_training_does_not_draw_and_drawing_does_not_train() -> None:
    for used in reachable("tasks"):
        assert not {name for name in imports(used, lazy=True) if name.startswith("matplotlib")}, used
    assert not reachable("report") & {"train", "tasks", "models", "data"}


def test_hydra_stays_at_the_door() -> None:
    users = {m for m in MODULES if any(name.split(".")[0] == "hydra" for name in imports(m, lazy=True))}
    assert users == WITH_HYDRA


def test_no_module_is_imported_in_a_circle() -> None:
    for module in MODULES:
        for used in own(module, lazy=False):
            assert module not in reachable(used), (module, used)
