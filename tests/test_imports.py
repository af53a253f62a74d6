"""The layers: what a module of the package may import, no cycle and no arrow that runs upwards."""

import ast
import importlib
from pathlib import Path

import pytest
import torch

import eql_d2

ROOT = Path(__file__).parents[1] / "eql_d2"
# From the ground up: a layer imports those before it, and itself. Losses and data stand side by
# side, so neither imports the other.
LAYERS = [
    {
        *("exceptions", "messages", "files", "distributed", "versions", "config", "refusals"),
        *("foreign_formats", "loss_config"),
        "model_zoo",
        *("gradient_record", "drawn_seed", "random_numbers"),
    },
    {"losses", "data", "solver", "checkpoint"},
    {"modeling", "evaluation"},
    {"tasks"},
    {"report"},
    {"engine"},
    {"study"},
    {"demo"},
]
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield path, parts[:-1] if parts[-1] == "__init__" else parts


def imported(path, parts):
    """Modules of the package that a file imports, anywhere in it, and whether inside a function."""
    package = parts if path.name == "__init__.py" else parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = (*base, *(node.module or "").split(".")) if node.module else base
            for alias in node.names:
                whole = (*target, alias.name)
                is_module = ROOT.joinpath(*whole).with_suffix(".py").exists()
                yield whole if is_module or ROOT.joinpath(*whole).is_dir() else target


def test_no_arrow_runs_upwards_and_none_goes_between_neighbours():
    wrong = []
    for path, parts in modules():
        if not parts:
            continue  # the package itself shows what is below
        for target in imported(path, parts):
            if not target or target[0] == parts[0] or target == ("versions",):
                continue
            if HEIGHT[target[0]] > HEIGHT[parts[0]] - (parts[0] not in LAYERS[0]):
                wrong.append(f"{'.'.join(parts)} imports {'.'.join(target)}")
    assert not wrong


def test_no_import_goes_in_a_circle():
    graph = {parts: set(imported(path, parts)) - {parts} for path, parts in modules()}
    # An __init__ collects the names of its folder: a file of the folder never imports it back.
    done, path = set(), []

    def visit(module):
        if module in path:
            raise AssertionError(" -> ".join(".".join(m) for m in [*path, module]))
        if module in done or module not in graph:
            return
        path.append(module)
        for target in graph[module]:
            visit(target)
        path.pop()
        done.add(module)

    for module in graph:
        if module:
            visit(module)


def test_every_folder_and_file_has_a_layer():
    found = {parts[0] for _, parts in modules() if parts}
    assert found == set(HEIGHT)


def test_imports_stand_at_the_top_of_a_file():
    """One inside a function hides an arrow."""
    for path, _ in modules():
        tree = ast.parse(path.read_text())
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        inner = [
            node
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        assert not inner, path


def test_an_older_pytorch_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.delattr(torch.library, "custom_op")
    with pytest.raises(ImportError, match=r"needs PyTorch 2\.4 or later, and this is 2") as error:
        importlib.reload(eql_d2)
    assert "\n" not in str(error.value)


def test_pytorch_before_2_7_can_read_the_operators():
    """It infers no schema from list[Tensor], and dies at import."""
    for path in (ROOT / "losses/functional/operators").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef) or "list[" not in ast.unparse(node.args):
                continue
            made = [x for x in node.decorator_list if "custom_op" in ast.unparse(x)]
            assert all("schema" in {k.arg for k in x.keywords} for x in made), node.name
