"""Imports point one way, nothing is imported in a circle, and importing does nothing."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "techmart_fast"

VOCABULARY = {
    *("bundled", "calendar", "contract", "errors", "reasons", "records", "settings"),
    *("fingerprints", "mistakes", "together", "version"),
}
STAGES = VOCABULARY | {"sources", "decode", "validate", "transform", "quality", "results"}
SINKS = {"postgres", "warehouse"}
COMPOSED = STAGES | SINKS | {"local", "monitoring"}
MAY_IMPORT: Mapping[str, set[str]] = {
    **dict.fromkeys(VOCABULARY, VOCABULARY),
    "sources": VOCABULARY,
    "decode": VOCABULARY | {"sources"},
    "validate": VOCABULARY | {"sources", "decode"},
    "transform": VOCABULARY | {"sources", "decode", "validate"},
    "quality": VOCABULARY,
    "results": VOCABULARY | {"quality"},
    "postgres": STAGES,
    "warehouse": STAGES,
    "local": {"errors", "settings"},
    "standin": set(),
    "dev": {"contract", "records", "errors"},
    "monitoring": STAGES | SINKS | {"local"},
    "pipeline": COMPOSED,
    "api": COMPOSED | {"pipeline"},
    "facade": COMPOSED | {"pipeline", "api"},
    "cli": COMPOSED | {"pipeline", "api", "facade", "dev"},
    "__init__": COMPOSED | {"pipeline", "api", "facade"},
    "__main__": {"cli"},
}
"""Which areas (modules and folders of the package) each area may import, besides itself."""

PATHS = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}

WATCH = """
import importlib, json, os, pkgutil, subprocess, sys, threading

seen = []

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and path != os.devnull:
            seen.append(f"{event} {path}")
    elif event in {"os.mkdir", "os.remove", "os.rename", "socket.connect", "socket.bind",
                   "subprocess.Popen", "os.fork", "os.exec", "os.posix_spawn", "signal.signal"}:
        seen.append(f"{event} {arguments}")

def import_all():
    import techmart_fast
    for module in pkgutil.walk_packages(techmart_fast.__path__, "techmart_fast."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

import_all()  # what other packages do when they are imported is theirs
for name in [name for name in sys.modules if name.split(".")[0] == "techmart_fast"]:
    del sys.modules[name]
environment, threads = dict(os.environ), threading.active_count()
sys.addaudithook(watch)
import_all()
if dict(os.environ) != environment:
    seen.append("the environment changed")
if threading.active_count() != threads:
    seen.append(f"threads: {threading.enumerate()}")
print(json.dumps(seen))
"""


def area(name: str) -> str:
    return name.split("/", 1)[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a module imports, wherever in the module it does so."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_area_has_its_place_in_the_order() -> None:
    assert {area(name) for name in PATHS} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", PATHS)
def test_imports_point_one_way(name: str) -> None:
    parts = [dotted.split(".") for dotted in imported(PATHS[name])]
    used = {part[1] for part in parts if part[0] == "techmart_fast" and len(part) > 1}
    assert used - MAY_IMPORT[area(name)] - {area(name)} == set()


def test_the_sinks_do_not_know_each_other() -> None:
    # The table above would let one of them import the other if someone widened it.
    assert not any("warehouse" in MAY_IMPORT[one] for one in ("postgres", "local", "sources"))
    assert "postgres" not in MAY_IMPORT["warehouse"]


def test_no_module_is_imported_in_a_circle() -> None:
    modules = {
        ".".join(("techmart_fast", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in PATHS.values()
    }
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        dotted = list(imported(path))
        names = {name if name in modules else name.rpartition(".")[0] for name in dotted}
        graph[module] = (names & modules.keys()) - {module, "techmart_fast"}
    del graph["techmart_fast"]  # it names its public parts for type checkers only
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


def test_every_package_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        for requirement in (
            *project["dependencies"],
            *project["optional-dependencies"]["local"],
        )
    }
    owners = packages_distributions()
    undeclared = {
        (top, name)
        for name, path in PATHS.items()
        for dotted in imported(path)
        if (top := dotted.split(".")[0])
        not in sys.stdlib_module_names | {"techmart_fast", "_typeshed"}
        and not declared & {owner.lower().replace("_", "-") for owner in owners.get(top, [])}
    }
    assert undeclared == set()


def run_python(code: str, folder: Path) -> str:
    """Run code in a Python of its own, in an empty folder that is also its home."""
    environment = {
        **os.environ,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-W", "error::DeprecationWarning:techmart_fast", "-c", code]
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_any_module_does_nothing(tmp_path: Path) -> None:
    assert json.loads(run_python(WATCH, tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_loads_none_of_the_heavy_ones(tmp_path: Path) -> None:
    code = "import json, sys, techmart_fast; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.split(".")[0] for name in json.loads(run_python(code, tmp_path))}
    heavy = {
        *("pyarrow", "numpy", "asyncpg", "google", "pydantic", "aiohttp", "duckdb", "sqlglot"),
        *(
            "rich",
            "click",
            "structlog",
            "asyncio",
            "uvloop",
            "pgpq",
            "orjson",
            "psutil",
            "requests",
            "thriftpy2",
        ),
    }
    assert loaded & heavy == set()


def test_importing_the_warehouse_does_not_load_what_only_joins_need(tmp_path: Path) -> None:
    code = "import sys, techmart_fast.warehouse; print('thriftpy2' in sys.modules)"
    assert run_python(code, tmp_path).strip() == "False"
