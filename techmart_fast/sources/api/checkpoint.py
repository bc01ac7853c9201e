"""What one fetch leaves for the next: the watermark, the validators and the remembered shape."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from techmart_fast.sources.api.shape import Shape


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Validators(_Value):
    """What asks whether a first page is still the same: of the request that `request` digests."""

    request: str
    etag: str | None = None
    last_modified: str | None = None


class Checkpoint(_Value):
    """The state of an endpoint after a fetch. Store it with the rows, in their transaction.

    `model_dump_json` and `model_validate_json` write and read it. A checkpoint of another endpoint
    (`selection` differs) is worth nothing.

    Attributes:
        watermark: the newest change that was seen, with an offset.
        validators: of the first page, where it vouches for everything.
    """

    selection: str
    watermark: datetime | None = None
    validators: Validators | None = None
    shape: Shape = Shape()
