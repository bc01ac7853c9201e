"""Routes of datasets: insert, list, get, patch, delete.

https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets
"""

from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import ServiceError
from techmart_fast.standin.refs import DATASET_NAME, DatasetRef, TableRef
from techmart_fast.standin.resources import Dataset, kept_dataset_details, patched_dataset
from techmart_fast.standin.service import (
    SERVICE,
    answer,
    check_etag,
    dataset_of,
    json_body,
)
from techmart_fast.standin.work import Work

routes = web.RouteTableDef()
_ALL = "/bigquery/v2/projects/{project}/datasets"
_ONE = _ALL + "/{dataset}"


def _whole(ref: DatasetRef) -> TableRef:
    """What is locked for a change of a dataset itself."""
    return TableRef(ref.project, ref.dataset, "")


@routes.post(_ALL)
async def insert(request: web.Request) -> web.Response:
    """Make a dataset."""
    body = await json_body(request)
    given = body.get("datasetReference")
    name = str(given.get("datasetId") or "") if isinstance(given, Mapping) else ""
    if not DATASET_NAME.fullmatch(name):
        raise ServiceError("invalid", f'Invalid dataset ID "{name}".')
    now = now_ms()
    dataset = Dataset(
        ref=DatasetRef(request.match_info["project"], name),
        location=str(body.get("location") or "US"),
        created_ms=now,
        modified_ms=now,
        details=kept_dataset_details(body),
    )
    service = request.app[SERVICE]
    await service.change(_whole(dataset.ref), lambda work: work.add_dataset(dataset))
    return answer(dataset.to_api())


@routes.get(_ALL)
async def list_all(request: web.Request) -> web.Response:
    """All datasets of the project."""
    project = request.match_info["project"]
    found = await request.app[SERVICE].read(lambda work: work.datasets_of(project))
    keys = ("kind", "id", "datasetReference", "location", "labels", "friendlyName")
    listed = [{k: v for k, v in one.to_api().items() if k in keys} for one in found]
    return answer({"kind": "bigquery#datasetList", "datasets": listed})


@routes.get(_ONE)
async def get(request: web.Request) -> web.Response:
    """One dataset."""
    ref = dataset_of(request)
    found = await request.app[SERVICE].read(lambda work: work.dataset(ref))
    return answer(found.to_api())


async def patch(request: web.Request) -> web.Response:
    """Change properties of a dataset."""
    ref, body = dataset_of(request), await json_body(request)

    def change(work: Work) -> Dataset:
        found = work.dataset(ref)
        check_etag(request, found.to_api())
        if body.get("location") not in (None, found.location):
            raise ServiceError("invalid", "The location of a dataset can't be changed.")
        changed = replace(
            found,
            details=patched_dataset(found.details, body),
            modified_ms=max(now_ms(), found.modified_ms + 1),
        )
        work.put_dataset(changed)
        return changed

    return answer((await request.app[SERVICE].change(_whole(ref), change)).to_api())


routes.patch(_ONE)(patch)
routes.put(_ONE)(patch)


@routes.delete(_ONE)
async def delete(request: web.Request) -> web.Response:
    """Delete a dataset; with `deleteContents` also if it holds tables."""
    ref = dataset_of(request)
    contents = request.query.get("deleteContents", "").lower() == "true"

    def change(work: Work) -> None:
        work.dataset(ref)
        if work.tables_of(ref) and not contents:
            raise ServiceError("resourceInUse", f"Dataset {ref} is still in use")
        work.remove_dataset(ref)

    await request.app[SERVICE].change(_whole(ref), change)
    return web.Response(status=204)
