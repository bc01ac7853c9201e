"""Brings the schema up to date: the whole file on an empty database, numbered steps afterwards.

`schemas/postgres_schema.sql` is the complete current schema, and says which versions it contains.
`schemas/postgres/NNN_name.sql` takes a database from version NNN − 1 to NNN, in one transaction.
"""

from pathlib import Path

from techmart_fast.errors import SinkError
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement

_DOING = "applying the schema"


async def migrate(session: Session, schemas: Path) -> tuple[int, ...]:
    """Apply what is missing; returns the versions applied now.

    Raises:
        SinkError: the database holds another application's tables, or a schema newer than this
            loader's.
        SinkAccessError: the role may not create schemas or tables.
    """
    before = await _versions(session)
    if not before:
        await _apply_complete(session, schemas / "postgres_schema.sql")
        before = await _versions(session)
        return before
    steps = _steps(schemas / "postgres")
    newest = max(_complete_version(schemas / "postgres_schema.sql"), *steps, 0)
    if before[-1] > newest:
        raise SinkError(
            f"The database has schema version {before[-1]}, newer than this loader's {newest}.",
            hint="Upgrade techmart-fast.",
        )
    applied = [version for version in sorted(steps) if version > before[-1]]
    return tuple([version for version in applied if await _step(session, version, steps[version])])


async def _versions(session: Session) -> tuple[int, ...]:
    row = await session.fetchrow(statement("migrate", "known"), doing=_DOING)
    if row is None or not row["known"]:
        return ()
    rows = await session.fetch(statement("migrate", "versions"), doing=_DOING)
    return tuple(row["version"] for row in rows)


async def _apply_complete(session: Session, file: Path) -> None:
    try:
        await session.script(_text(file), doing=_DOING)
    except SinkError:
        await session.rollback()
        raise


async def _step(session: Session, version: int, file: Path) -> bool:
    try:
        await session.script(statement("migrate", "begin"), doing=_DOING)
        due = version not in await _versions(session)
        if due:
            await session.script(_text(file), doing=_DOING)
            await session.execute(statement("migrate", "record"), version, doing=_DOING)
        await session.script("COMMIT", doing=_DOING)
    except SinkError:
        await session.rollback()
        raise
    return due


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _steps(folder: Path) -> dict[int, Path]:
    return {int(file.name.split("_", 1)[0]): file for file in folder.glob("[0-9]*_*.sql")}


def _complete_version(file: Path) -> int:
    marker = "INSERT INTO techmart_loader.schema_migrations (version) VALUES "
    lines = [line for line in _text(file).splitlines() if marker in line]
    values = lines[-1].removeprefix(marker).partition(" ON CONFLICT")[0]
    return max(int(value) for value in values.replace("(", "").replace(")", "").split(","))
