"""pgloader: clean rows into the final table."""

import shutil

from benchmarks.side_by_side.model import Measured, Way, WayFailedError
from benchmarks.side_by_side.server import literal
from benchmarks.side_by_side.site import Site

_COLUMNS = """SELECT string_agg(attname, ',' ORDER BY attnum)
    FROM pg_attribute
    WHERE attrelid = 'public.transactions'::regclass AND attnum > 0 AND NOT attisdropped"""


def run(site: Site) -> Measured:
    """Copy the clean file with all keys and indexes there; the audit triggers are off."""
    program = shutil.which("pgloader")
    if program is None:
        raise WayFailedError("pgloader is not installed")
    site.ask("ALTER TABLE transactions DISABLE TRIGGER USER")
    columns = ", ".join(f'"{name}"' for name in site.ask(_COLUMNS).split(","))
    local = site.bench.server.local
    password = local.password.get_secret_value()
    place = f"{local.user}:{password}@unix:{local.socket_dir}:{local.port}/{site.database}"
    commands = site.folder / "commands.load"
    commands.touch(mode=0o600)  # it names the password
    commands.write_text(
        f"""LOAD CSV FROM {literal(str(site.case.clean))} ({columns})
INTO postgresql://{place}
TARGET TABLE public.transactions ({columns})
WITH fields terminated by ',', fields optionally enclosed by '"',
     fields escaped by double-quote;
""",
        encoding="utf-8",
    )
    command = [program, "--root-dir", str(site.folder), str(commands)]
    measured, _ = site.measure(command, site.bench.server.psql_environment)
    site.check()
    return measured


WAY = Way(
    name="pgloader",
    title="pgloader",
    reads="clean CSV",
    lacks=r"as `\copy`; but rows that PostgreSQL refuses are set aside in a file",
    run=run,
    program="pgloader",
)
