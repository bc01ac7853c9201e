"""Changes of shape are recognised with before and after, and stop or go on by the policy."""

import json
from pathlib import Path
from typing import Any

import pytest
from api_support import STYLES, Notes, endpoint, left_in, raw_server, reply

from techmart_fast.dev.catalog_server import CatalogOptions, CatalogServer, Drift, DriftKind, Pages
from techmart_fast.errors import ExitCode, SourceDriftError
from techmart_fast.sources.api import Change, ChangeKind, Checkpoint, Drifted, Fetched, fetch
from techmart_fast.sources.api.drift import compare, compare_envelopes
from techmart_fast.sources.api.raw_json import NumberText
from techmart_fast.sources.api.shape import Shape, ShapeNotes, Trait, envelope_of

REQUIRED = ("product_id", "name", "price")
PAGES = Pages(size=10)


def products(kind: DriftKind | None = None, from_page: int = 1, field: str = "price") -> Any:
    drift = Drift(kind=kind, from_page=from_page, field=field) if kind else None
    return CatalogServer(CatalogOptions(products=30, pages=PAGES, drift=drift))


async def fetched(
    server: CatalogServer, folder: Path, since: Checkpoint | None = None, **words: Any
) -> Fetched:
    asked = endpoint(server.address, page_size=10, **words)
    if since is not None:
        # Every server has a port of its own: to the checkpoint it is the same service.
        since = since.model_copy(update={"selection": asked.selection})
    return await fetch(asked, folder=folder, since=since, required=REQUIRED)


@pytest.fixture
async def known(tmp_path: Path) -> Checkpoint:
    """What is known after a fetch of the products as they were."""
    async with products() as server:
        got = await fetched(server, tmp_path / "before")
    return Checkpoint.model_validate_json(got.checkpoint.model_dump_json())


@pytest.mark.parametrize("from_page", [1, 2, 3])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (DriftKind.MISSING_FIELD, r"lacks the field 'price' \((number|required)"),
        (DriftKind.RENAMED_FIELD, r"lacks the field 'price' .*has 'price_v2' instead"),
        (DriftKind.TYPE_CHANGE, r"the field 'price' of page \d is object, and was number"),
        (DriftKind.ENVELOPE, r"no list of records at 'data': .* 'result', 'meta'.*result.items"),
    ],
)
async def test_breaking_drift_stops_and_nothing_is_applied(
    kind: DriftKind, words: str, from_page: int, known: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "after"
    async with products(kind, from_page) as server:
        with pytest.raises(SourceDriftError, match=words) as caught:
            await fetched(server, folder, known)
        assert caught.value.changes
        assert f"age {from_page}" in str(caught.value)
        assert caught.value.exit_code is ExitCode.FAILED
        if from_page > 1:
            # Without any memory, the first page tells what the others should be.
            with pytest.raises(SourceDriftError, match=words):
                await fetched(server, folder)
    assert not [name for name in left_in(folder) if name.startswith("api-")]


@pytest.mark.parametrize("policy", ["quarantine", "report"])
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (DriftKind.MISSING_FIELD, (ChangeKind.MISSING_FIELD, "price", "number", "")),
        (DriftKind.RENAMED_FIELD, (ChangeKind.RENAMED_FIELD, "price", "number", "price_v2")),
        (DriftKind.TYPE_CHANGE, (ChangeKind.TYPE_CHANGE, "price", "number", "object")),
    ],
)
async def test_breaking_drift_is_reported_where_the_policy_lets_it_go_on(
    kind: DriftKind, change: tuple[Any, ...], policy: str, known: Checkpoint, tmp_path: Path
) -> None:
    async with products(kind, 2) as server:
        got = await fetched(server, tmp_path, known, drift=policy)
        again = await fetched(server, tmp_path, got.checkpoint, drift=policy)
    (breaking,) = [one for one in got.changes if one.breaking]
    assert (breaking.kind, breaking.name, breaking.before, breaking.after) == change
    assert (breaking.page, got.records, got.complete) == (2, 30, True)
    kept = got.checkpoint.shape.fields["price"]
    # In quarantine the shape stays as it was, so that the change is told until it is dealt with.
    assert (kept == known.shape.fields["price"]) is (policy == "quarantine")
    if policy == "quarantine":
        assert [one for one in again.changes if one.breaking] == [breaking]


@pytest.mark.parametrize("policy", ["stop", "quarantine", "report"])
async def test_a_new_field_is_reported_once_and_stops_nothing(
    policy: str, known: Checkpoint, tmp_path: Path
) -> None:
    async with products(DriftKind.NEW_FIELD, 2) as server:
        got = await fetched(server, tmp_path, known, drift=policy)
        again = await fetched(server, tmp_path, got.checkpoint, drift=policy)
    (change,) = got.changes
    assert (change.kind, change.name, change.after) == (
        ChangeKind.NEW_FIELD,
        "discount_percent",
        "number",
    )
    assert str(change) == "page 2 has a new field 'discount_percent' (number)"
    assert again.changes == ()


@pytest.mark.parametrize("policy", ["quarantine", "report"])
async def test_a_list_that_moved_cannot_be_read_by_any_policy(policy: str, tmp_path: Path) -> None:
    async with products(DriftKind.ENVELOPE, 2) as server:
        with pytest.raises(SourceDriftError, match=r"set records = 'result.items'"):
            await fetched(server, tmp_path, drift=policy)


async def test_a_bare_array_that_gets_an_envelope_is_drift(tmp_path: Path) -> None:
    async with products(DriftKind.ENVELOPE, 3) as server:
        asked = endpoint(server.address, "/link/products", page_size=10, **STYLES["link"])
        with pytest.raises(SourceDriftError, match=r"Page 3 .*\(the answer itself\).*'items'"):
            await fetch(asked, folder=tmp_path)


async def test_an_optional_field_that_goes_stops_nothing(known: Checkpoint, tmp_path: Path) -> None:
    async with products(DriftKind.MISSING_FIELD, 1, "supplier_id") as server:
        got = await fetched(server, tmp_path, known)
    (change,) = got.changes
    assert (change.kind, change.name, change.breaking) == (
        ChangeKind.MISSING_FIELD,
        "supplier_id",
        False,
    )
    assert not got.checkpoint.shape.fields["supplier_id"].always


@pytest.mark.parametrize("policy", ["stop", "quarantine", "report"])
async def test_members_of_the_envelope_are_remembered(policy: str, tmp_path: Path) -> None:
    rows = [{"product_id": "1", "name": "a", "price": 1}]
    async with raw_server(
        reply(json.dumps({"data": rows, "total": 1, "currency": "USD"})),
        reply(json.dumps({"data": rows, "total": "1", "version": 2})),
        reply(json.dumps({"data": rows, "total": "1", "version": 2})),
    ) as server:
        asked = endpoint(server.address, drift=policy)
        first = await fetch(asked, folder=tmp_path, required=REQUIRED)
        if policy == "stop":
            with pytest.raises(SourceDriftError, match=r"'total' .* is string, and was number"):
                await fetch(asked, folder=tmp_path, since=first.checkpoint, required=REQUIRED)
            return
        second = await fetch(asked, folder=tmp_path, since=first.checkpoint, required=REQUIRED)
        third = await fetch(asked, folder=tmp_path, since=second.checkpoint, required=REQUIRED)
    assert [(one.name, one.before, one.after, one.breaking) for one in second.changes] == [
        ("currency", "string", "", False),
        ("total", "number", "string", True),
        ("version", "", "number", False),
    ]
    assert third.changes == (second.changes if policy == "quarantine" else ())


async def test_changes_are_told_while_they_are_found(known: Checkpoint, tmp_path: Path) -> None:
    notes = Notes()
    async with products(DriftKind.NEW_FIELD, 2) as server:
        asked = endpoint(server.address, page_size=10)
        since = known.model_copy(update={"selection": asked.selection})
        got = await fetch(asked, folder=tmp_path, since=since, observer=notes)
    assert [event.change for event in notes.of(Drifted)] == list(got.changes)


def shape(*records: dict[str, Any], envelope: dict[str, Trait] | None = None) -> Shape:
    notes = ShapeNotes()
    for record in records:
        notes.note(record)
    return notes.shape(envelope or {})


def changes(known: Shape, came: Shape, *required: str) -> list[Change]:
    return list(compare(known, came, page=2, required=required))


NUMBER = NumberText("1")


def test_shapes_know_kinds_and_what_is_always_there() -> None:
    found = shape({"a": NUMBER, "b": None}, {"a": "x"}, {"a": True, "c": [], "d": {}})
    assert {name: (trait.kinds, trait.always) for name, trait in found.fields.items()} == {
        "a": (("boolean", "number", "string"), True),
        "b": (("null",), False),
        "c": (("array",), False),
        "d": (("object",), False),
    }
    assert found.joined(Shape()) == found == Shape().joined(found)
    joined = found.joined(shape({"e": NUMBER}))
    assert {name for name, trait in joined.fields.items() if trait.always} == set()
    assert joined.records == 4


def test_objects_that_are_maps_do_not_fill_the_memory() -> None:
    notes = ShapeNotes()
    for number in range(5_000):
        notes.note({f"k{number}": NUMBER})
    assert len(notes.shape({}).fields) == 1_000


def test_null_is_no_type_and_one_known_type_is_enough() -> None:
    known = shape(*[{"a": NUMBER, "b": None}] * 3)
    assert changes(known, shape(*[{"a": None, "b": "x"}] * 3)) == []
    assert changes(known, shape({"a": "1", "b": None}, *[{"a": NUMBER, "b": "x"}] * 3)) == []
    (change,) = changes(known, shape(*[{"a": "1", "b": None}] * 3))
    assert (change.kind, change.breaking) == (ChangeKind.TYPE_CHANGE, True)


def test_a_page_of_few_records_proves_nothing() -> None:
    known = shape(*[{"a": NUMBER}] * 9)
    assert [one.breaking for one in changes(known, shape({"b": NUMBER}), "a")] == [False]
    assert changes(known, shape(), "a") == []


def test_the_most_similar_of_several_new_fields_is_taken_for_the_old_one() -> None:
    known = shape(*[{"price": NUMBER, "id": "x"}] * 3)
    came = shape(*[{"weight": NUMBER, "prices": NUMBER, "id": "x", "note": "y"}] * 3)
    (renamed,) = [one for one in changes(known, came, "price") if one.breaking]
    assert (renamed.kind, renamed.after) == (ChangeKind.RENAMED_FIELD, "prices")
    came = shape(*[{"weight": NUMBER, "size": NUMBER, "id": "x"}] * 3)
    (missing,) = [one for one in changes(known, came, "price") if one.breaking]
    assert missing.kind is ChangeKind.MISSING_FIELD


def test_a_required_field_that_never_was_is_missing_on_the_first_page() -> None:
    (change,) = changes(Shape(), shape(*[{"a": NUMBER}] * 3), "b")
    assert (change.kind, change.name, change.before) == (ChangeKind.MISSING_FIELD, "b", "required")


def test_only_the_way_to_the_list_is_of_the_envelope() -> None:
    answer = {"meta": {"x": NUMBER}, "result": {"items": [], "n": NUMBER}}
    assert {
        name: str(trait) for name, trait in envelope_of(answer, ["result", "items"]).items()
    } == {
        "meta": "object",
        "result": "object",
        "result.items": "array",
        "result.n": "number",
    }
    assert set(envelope_of(answer, [], ["meta.x", "meta.y"])) == {"meta.x"}
    assert envelope_of([], []) == {}
    new = Shape(envelope={"a": Trait(kinds=("null",))})
    assert list(compare_envelopes(Shape(), new, page=1, used=["a"])) == []


async def test_a_next_address_that_is_absent_at_the_end_is_no_drift(tmp_path: Path) -> None:
    rows = json.dumps([{"product_id": "1", "name": "a", "price": 1}])
    more, last = f'{{"data": {rows}, "next": "/2"}}', f'{{"data": {rows.replace("1", "2")}}}'
    async with raw_server(reply(more), reply(last), reply(last)) as server:
        asked = endpoint(server.address, **STYLES["next"])
        first = await fetch(asked, folder=tmp_path, required=REQUIRED)
        again = await fetch(asked, folder=tmp_path, required=REQUIRED, since=first.checkpoint)
    assert (first.records, again.records) == (2, 1)
    assert not any(change.breaking for change in again.changes)


async def test_one_damaged_value_of_a_seldom_field_is_no_change_of_the_service(
    tmp_path: Path,
) -> None:
    def page(currency: str) -> bytes:
        rows = [f'{{"product_id": "p{n}", "price": 1}}' for n in range(9)]
        rows.append(f'{{"product_id": "p9", "price": 1, "currency": {currency}}}')
        return reply(f'{{"data": [{", ".join(rows)}], "total": 10}}')

    async with raw_server(page('"USD"'), page("5")) as server:
        asked = endpoint(server.address)
        first = await fetch(asked, folder=tmp_path)
        again = await fetch(asked, folder=tmp_path, since=first.checkpoint)
    assert again.records == 10
    assert [change.breaking for change in again.changes] == [False]


async def test_a_field_that_nobody_reads_may_change_its_type(tmp_path: Path) -> None:
    def page(colour: str) -> bytes:
        rows = [f'{{"product_id": "p{n}", "colour": {colour}}}' for n in range(9)]
        return reply(f'{{"data": [{", ".join(rows)}], "total": 9}}')

    async with raw_server(page('"red"'), page("5"), page("5")) as server:
        asked = endpoint(server.address)
        first = await fetch(asked, folder=tmp_path)
        read = {"product_id", "price"}
        again = await fetch(asked, folder=tmp_path, since=first.checkpoint, fields=read)
        assert [change.breaking for change in again.changes] == [False]
        with pytest.raises(SourceDriftError, match="colour"):
            await fetch(asked, folder=tmp_path, since=first.checkpoint)
