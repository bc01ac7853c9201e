"""Finds the files that ship beside the code: schemas, sample data and example contracts."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def bundled(*parts: str) -> Path:
    """Path of a shipped file or folder, e.g. `bundled("schemas", "postgres_schema.sql")`.

    In a wheel these folders lie inside the package; in a checkout they lie beside it.
    """
    inside = _PACKAGE / "_bundled"
    root = inside if inside.is_dir() else _PACKAGE.parent
    return root.joinpath(*parts)
