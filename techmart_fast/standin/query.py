"""Query jobs: a script of statements, planned before it runs, and the result of the last query.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationquery
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from techmart_fast.standin.bqtypes import field_of
from techmart_fast.standin.failure import ServiceError, invalid_query, not_implemented
from techmart_fast.standin.jobs import Outcome
from techmart_fast.standin.refs import DatasetRef, TableRef, table_ref
from techmart_fast.standin.results import ResultStore
from techmart_fast.standin.sql.names import Names
from techmart_fast.standin.sql.parameters import Parameters, parameters_of
from techmart_fast.standin.sql.parse import parse_script
from techmart_fast.standin.sql.statements import Context, Done, Rows, run_statement, writes_of
from techmart_fast.standin.work import Work

Body = Mapping[str, object]

_KNOWN = {
    "query",
    "useLegacySql",
    "defaultDataset",
    "destinationTable",
    "createDisposition",
    "writeDisposition",
    "maximumBytesBilled",
    "parameterMode",
    "queryParameters",
    "priority",
    "useQueryCache",
    "allowLargeResults",
    "preserveNulls",
    "flattenResults",
}
MIB = 1 << 20


@dataclass(slots=True)
class QueryPlan:
    """A query job that was parsed.

    `dry` plans it against the tables as they are, and runs nothing.
    """

    job_id: str
    project: str
    location: str | None
    settings: Body
    statements: list[exp.Expr]
    parameters: Parameters
    default: DatasetRef | None
    destination: TableRef | None
    results: ResultStore
    dry: bool = False
    writes: Collection[TableRef] = field(default_factory=tuple)

    def run(self, work: Work) -> Outcome:
        """Run the statements; what the last one gives is the job's result.

        A script keeps what its statements did before one that fails, unless they are between BEGIN
        and COMMIT. A transaction that is still open at the end is rolled back.
        """
        done: list[Done] = []
        explicit = False
        for place, statement in enumerate(self.statements, start=1):
            _check_place(statement, in_transaction=explicit)
            if isinstance(statement, exp.Rollback) and not self.dry:
                work.roll_back()
            result = run_statement(statement, self._context(work, place))
            if place < len(self.statements) and result.rows is not None:
                result.rows.drain()
            done.append(result)
            if isinstance(statement, (exp.Transaction, exp.Commit, exp.Rollback)):
                explicit = isinstance(statement, exp.Transaction)
            if not explicit and place < len(self.statements) and not self.dry:
                work.commit()
        outcome = self._outcome(done)
        if explicit and not self.dry:
            work.roll_back()
        return outcome

    def _context(self, work: Work, place: int) -> Context:
        names = Names(work=work, project=self.project, default=self.default, location=self.location)
        return Context(
            text=f"{place} {self.settings['query']}",
            work=work,
            names=names,
            parameters=self.parameters,
            limit_bytes=self._limit_bytes(),
            dry=self.dry,
            destination=self.destination,
            create_disposition=str(self.settings.get("createDisposition") or "CREATE_IF_NEEDED"),
            write_disposition=str(self.settings.get("writeDisposition") or "WRITE_EMPTY"),
        )

    def _limit_bytes(self) -> int | None:
        given = self.settings.get("maximumBytesBilled")
        return None if given in (None, "") else int(str(given))

    def _outcome(self, done: list[Done]) -> Outcome:
        last = done[-1]
        processed = sum(one.bytes_processed for one in done)
        billed = sum(one.bytes_billed for one in done)
        query: dict[str, object] = {
            "statementType": last.statement if len(done) == 1 else "SCRIPT",
            "totalBytesProcessed": str(processed),
            "totalBytesBilled": "0" if self.dry else str(billed),
            "totalBytesProcessedAccuracy": "PRECISE",
            "cacheHit": False,
            "billingTier": 1,
            "totalPartitionsProcessed": "0",
            "referencedTables": [ref.body() for ref in sorted({r for d in done for r in d.tables})],
            **last.statistics,
        }
        outcome = Outcome({"query": query, "totalBytesProcessed": str(processed)})
        if isinstance(last.rows, Rows):
            fields = [
                field_of(name, kind).to_api()
                for name, kind in zip(last.rows.names, last.rows.kinds, strict=True)
            ]
            outcome.fields = fields
            query["schema"] = {"fields": fields}
            if last.rows.reader is not None:
                outcome.rows = self.results.write(self.job_id, last.rows.reader)
        return outcome


def _check_place(statement: exp.Expr, *, in_transaction: bool) -> None:
    """Refuse a statement that can't stand inside, or outside, of a transaction.

    https://cloud.google.com/bigquery/docs/transactions#limitations
    """
    if isinstance(statement, (exp.Commit, exp.Rollback)) and not in_transaction:
        raise invalid_query("There is no active transaction to end.")
    if in_transaction and isinstance(statement, exp.Transaction):
        raise invalid_query("A transaction is active already: transactions do not nest.")
    if in_transaction and isinstance(statement, (exp.Create, exp.Drop, exp.Alter)):
        raise invalid_query("DDL on permanent entities is not supported inside a transaction.")


def plan_query(
    configuration: Body,
    *,
    job_id: str,
    project: str,
    location: str | None,
    results: ResultStore,
) -> QueryPlan:
    """Understand a query job as far as its text goes.

    Raises:
        ServiceError: the text can't be parsed, or the configuration asks for something unknown.
    """
    settings = configuration.get("query")
    if not isinstance(settings, Mapping) or not settings.get("query"):
        raise ServiceError("required", "Required parameter is missing: query")
    for key, value in settings.items():
        if key not in _KNOWN and value not in (None, False, "", [], {}):
            raise not_implemented(f"the query option {key}")
    if settings.get("useLegacySql"):
        raise not_implemented("legacy SQL: set useLegacySql to false")
    statements = parse_script(str(settings["query"]))
    given = settings.get("defaultDataset")
    default: DatasetRef | None = None
    if isinstance(given, Mapping) and given.get("datasetId"):
        default = DatasetRef(str(given.get("projectId") or project), str(given["datasetId"]))
    destination = settings.get("destinationTable")
    target = table_ref(destination, project=project) if destination else None
    if target is not None and (len(statements) > 1 or not isinstance(statements[0], exp.Query)):
        raise ServiceError("invalid", "Only a query can have a destination table.")
    plan = QueryPlan(
        job_id=job_id,
        project=project,
        location=location,
        settings=settings,
        statements=statements,
        parameters=parameters_of(settings),
        default=default,
        destination=target,
        results=results,
        dry=bool(configuration.get("dryRun")),
    )
    plan.writes = frozenset(_writes(plan))
    return plan


def _writes(plan: QueryPlan) -> Collection[TableRef]:
    if plan.dry:
        return ()
    written = {plan.destination} if plan.destination is not None else set()
    for statement in plan.statements:
        written |= writes_of(statement, project=plan.project, default=plan.default)
    return written
