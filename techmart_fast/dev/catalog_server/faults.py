"""What befalls a request by chance: decided by the seed and its number, before the answer."""

from dataclasses import dataclass
from decimal import Decimal

from techmart_fast.dev.catalog_server.options import Faults
from techmart_fast.dev.randomness import Dice

_STATUSES = (500, 502, 503, 504)
_FINE = 1_000_000_000
_PERMILLE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How an answer is cut: after `permille` of its body.

    `chunked`: without a length, so that only the missing last chunk tells. `reset`: the connection
    is reset rather than closed.
    """

    permille: int
    chunked: bool
    reset: bool

    def kept_bytes(self, body_bytes: int) -> int:
        """How much of a body is sent: not all of it, and something if there is any."""
        return min(max(1, body_bytes * self.permille // _PERMILLE), max(0, body_bytes - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What befalls a request: a delay, then an error `status` or a cut answer, or neither."""

    delay_seconds: float
    status: int | None
    cut: Cut | None


def fate_of(dice: Dice, faults: Faults) -> Fate:
    """The fate of the request that has these dice.

    All of them are rolled whatever the options: a higher share of one fault leaves the others.
    """
    jitter = dice.between(-faults.jitter_ms, faults.jitter_ms)
    fails, status = dice.below(_FINE), dice.below(len(_STATUSES))
    cuts, permille, form = dice.below(_FINE), dice.below(_PERMILLE), dice.below(4)
    failing, cutting = _below(fails, faults.fail), _below(cuts, faults.cut)
    return Fate(
        delay_seconds=(faults.latency_ms + jitter) / 1_000,
        status=_STATUSES[status] if failing else None,
        cut=Cut(permille=permille, chunked=bool(form & 1), reset=bool(form & 2))
        if cutting and not failing
        else None,
    )


def _below(rolled: int, share: Decimal) -> bool:
    return rolled < share * _FINE
