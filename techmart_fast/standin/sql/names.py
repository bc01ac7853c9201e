"""Names of tables: which table or view each one means. Views are put in place as subqueries."""

from dataclasses import dataclass, field

from sqlglot import exp

from techmart_fast.standin.failure import ServiceError, invalid_query, not_found, not_implemented
from techmart_fast.standin.refs import DatasetRef, TableRef
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql.parse import parse_query
from techmart_fast.standin.work import ATTACHED, Work

_DEEPEST_VIEWS = 16


@dataclass(slots=True, kw_only=True)
class Names:
    """Resolves names for one job, and remembers what it met.

    Attributes:
        tables: base tables that are read or written.
        referenced: tables and views that the statements name themselves.
        location: the location that the datasets must be in; None: that of the first one met.
    """

    work: Work
    project: str
    default: DatasetRef | None = None
    location: str | None = None
    tables: dict[TableRef, Table] = field(default_factory=dict)
    referenced: dict[TableRef, Table] = field(default_factory=dict)

    def ref(self, node: exp.Table) -> TableRef:
        """The table that a name in SQL means, by the default dataset if it has only one part."""
        if not isinstance(node.this, exp.Identifier):
            raise not_implemented(f"table functions: {node.sql(dialect='bigquery')}")
        name = node.name
        if name.upper().startswith("INFORMATION_SCHEMA") or "INFORMATION_SCHEMA" in node.db.upper():
            raise not_implemented("INFORMATION_SCHEMA")
        if "*" in name:
            raise not_implemented("wildcard tables")
        if node.db:
            return TableRef(node.catalog or self.project, node.db, name)
        if self.default is None:
            raise invalid_query(
                f'Table "{name}" must be qualified with a dataset (e.g. dataset.table).'
            )
        return TableRef(self.default.project, self.default.dataset, name)

    def dataset_ref(self, node: exp.Table) -> DatasetRef:
        """The dataset that the name of a schema in SQL means."""
        return DatasetRef(node.catalog or self.project, node.db or node.name)

    def find(self, node: exp.Table) -> Table:
        """The table or view that a name means.

        Raises:
            ServiceError: `notFound`, also for a dataset in another location.
        """
        ref = self.ref(node)
        dataset = self.work.dataset(ref.parent)
        if self.location is None:
            self.location = dataset.location
        elif self.location.upper() != dataset.location.upper():
            raise not_found("Dataset", f"{ref.parent} was not found in location {self.location}")
        return self.work.table(ref)

    def target(self, node: exp.Table) -> Table:
        """The table that a statement writes; a view is refused."""
        table = self.find(node)
        if table.view_query is not None:
            raise invalid_query(f"{table.ref} is a view, not a table.")
        self.referenced[table.ref] = self.tables[table.ref] = table
        return table

    def resolve(self, query: exp.Expr) -> None:
        """Point every table's name inside a statement at its DuckDB table, in place."""
        self._resolve(query, depth=0)

    def _resolve(self, query: exp.Expr, *, depth: int) -> None:
        if depth > _DEEPEST_VIEWS:
            raise invalid_query("Views are nested too deeply.")
        _shorten_columns(query)
        for node in list(query.find_all(exp.Table)):
            if _is_cte(node) or node.catalog == ATTACHED:
                continue
            _check_use(node)
            table = self.find(node)
            if depth == 0:
                self.referenced[table.ref] = table
            if table.view_query is None:
                self.tables[table.ref] = table
                point_at(node, table.ref)
            else:
                node.replace(self._view(table, node.alias or node.name, depth))

    def _view(self, view: Table, alias: str, depth: int) -> exp.Subquery:
        inner = parse_query(str(view.view_query))
        try:
            own = Names(work=self.work, project=view.ref.project, location=self.location)
            own._resolve(inner, depth=depth + 1)
        except ServiceError as error:
            raise ServiceError(
                error.reason, f"{error.message} (in view {view.ref})", location=error.location
            ) from None
        self.tables |= own.tables
        return exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias)))


def _shorten_columns(query: exp.Expr) -> None:
    """Drop the dataset of `dataset.table.column`, where the table has no other alias."""
    known = {(one.db, one.name) for one in query.find_all(exp.Table) if not one.alias}
    for column in query.find_all(exp.Column):
        if column.db and (column.db, column.table) in known:
            column.set("db", None)
            column.set("catalog", None)


def point_at(node: exp.Table, ref: TableRef) -> None:
    """Make a table node name a DuckDB table; it keeps the alias under which it is referred to."""
    if not node.alias:
        node.set("alias", exp.TableAlias(this=exp.to_identifier(node.name)))
    node.set("catalog", exp.to_identifier(ATTACHED, quoted=True))
    node.set("db", exp.to_identifier(ref.parent.schema, quoted=True))
    node.set("this", exp.to_identifier(ref.table, quoted=True))


def ref_of(node: exp.Table) -> TableRef:
    """The table that a node points at after `point_at`."""
    project, _, dataset = node.db.rpartition(".")
    return TableRef(project, dataset, node.name)


def _check_use(node: exp.Table) -> None:
    for part in ("version", "when", "sample", "pivots", "hints", "ordinality", "changes"):
        if node.args.get(part):
            raise not_implemented(f"this use of a table: {node.sql(dialect='bigquery')}")


def _cte_names(query: exp.Expr) -> set[str]:
    """The names that the WITH of a query defines."""
    found = query.args.get("with_")
    return {one.alias.lower() for one in found.expressions} if found is not None else set()


def _is_cte(node: exp.Table) -> bool:
    """Whether a name of one part means a common table expression of an enclosing query."""
    if node.db or not isinstance(node.this, exp.Identifier):
        return False
    wanted = node.name.lower()
    inside: exp.Expr = node
    above = node.parent
    while above is not None:
        if isinstance(above, exp.With):
            # Within a WITH only the expressions before this one are visible, unless RECURSIVE.
            known = above.expressions
            if not above.args.get("recursive"):
                known = known[: next((i for i, one in enumerate(known) if one is inside), None)]
            if any(one.alias.lower() == wanted for one in known):
                return True
        elif not isinstance(inside, exp.With) and wanted in _cte_names(above):
            return True
        inside, above = above, above.parent
    return False
