"""The pieces of SQL that a table's description fills into the statements."""

from collections.abc import Iterable
from functools import cache

from techmart_fast.postgres.tables import POSITION, Table, table_of
from techmart_fast.records import Feed

_HELD_VERSIONS = """UNION ALL
    SELECT h.{key}, ARRAY[h.source_ordinal, h.source_offset], NULL, {content_h}
    FROM techmart_loader.held_{table} AS h
    JOIN keys USING ({key})"""


def column_list(names: Iterable[str], alias: str = "") -> str:
    """`"a", "b"`, or `s."a", s."b"`."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(f'{prefix}"{name}"' for name in names)


@cache
def pieces(feed: Feed) -> dict[str, str]:
    """What the braces in `staging.sql` and its like stand for, for one table."""
    table = table_of(feed)
    parts = {
        "table": table.name,
        "key": table.key,
        "stored": column_list(table.stored),
        "stored_kept": _stored_kept(table),
        "staged": column_list(table.staged),
        "staged_s": column_list(table.staged, "s"),
        "model": f"techmart_loader.held_{table.name}" if table.held else f"public.{table.name}",
        "assignments": ", ".join(
            f'"{name}" = s."{name}"' for name in (*table.content, *table.derived, *POSITION)
        ),
        "refresh": f"{_row(table.derived, 's')} IS DISTINCT FROM {_row(table.derived, 't')}"
        if table.refreshes
        else "false",
        "kept_s": f's."{table.kept}"' if table.kept else "NULL::text",
        "kept_t": f't."{table.kept}"' if table.kept else "NULL::text",
        "date_t": f't."{table.date}"' if table.date else "NULL::date",
        "flag": f"s.\"{table.flag[0]}\" = '{table.flag[1]}'" if table.flag else "false",
    }
    for alias in "sth":
        parts[f"content_{alias}"] = _row(table.content, alias)
    parts["held_versions"] = _HELD_VERSIONS.format(**parts) if table.held else ""
    return parts


def _row(names: Iterable[str], alias: str) -> str:
    return f"ROW({column_list(names, alias)})"


def _stored_kept(table: Table) -> str:
    return ", ".join(
        f'coalesce(j.kept, s."{name}")' if name == table.kept else f's."{name}"'
        for name in table.stored
    )
