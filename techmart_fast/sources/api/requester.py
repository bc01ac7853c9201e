"""Gets one page, however many attempts it takes: what is retried, how often, after which wait."""

import os
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from techmart_fast.contract.endpoint import Endpoint
from techmart_fast.errors import (
    SourceAccessError,
    SourceAnswerError,
    SourceError,
    SourceUnavailableError,
)
from techmart_fast.sources.api.breaker import Breaker
from techmart_fast.sources.api.clocks import Clocks
from techmart_fast.sources.api.deadline import Deadline
from techmart_fast.sources.api.events import Observer, Retrying
from techmart_fast.sources.api.limiter import RateLimiter
from techmart_fast.sources.api.server_hints import quota, retry_after
from techmart_fast.sources.api.transport import Answer, Transport

BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0

_OK, _NO_CONTENT, _NOT_MODIFIED = 200, 204, 304
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_TOO_MANY = 429
_TRANSIENT = frozenset({408, 425, 500, 502, 503, 504})
_MAX_DOUBLINGS = 16
_MOST_REFUSALS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An attempt that may succeed later. `wait_seconds`: the service asked to wait so long."""

    reason: str
    refused: bool = False
    wait_seconds: float | None = None


class Requester:
    """Asks for pages through the rate limit and the breaker, again where a failure may pass."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transport: Transport,
        limiter: RateLimiter,
        deadline: Deadline,
        observer: Observer,
        clocks: Clocks,
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._limiter = limiter
        self._deadline = deadline
        self._observer = observer
        self._clocks = clocks
        self._breaker = Breaker(
            endpoint.limits.failures_in_a_row,
            deadline=deadline,
            observer=observer,
            where=endpoint.where,
        )
        self._refusals_in_a_row = 0
        self.retries = 0

    async def get(
        self,
        address: URL,
        *,
        page: int,
        conditions: Mapping[str, str],
        may_be_absent: bool,
        is_wanted: Callable[[], bool],
    ) -> Answer | None:
        """The answer with a page; None if nobody wants it any more.

        It has status 200, or 204 (no content), or 304 to a conditional request, or 404 if it
        `may_be_absent`. `is_wanted` is asked before every further attempt.

        Raises:
            SourceUnavailableError: it did not come, after all attempts or at the deadline.
            SourceError: the service refuses, or answers what can't be read.
        """
        fine = {_OK, _NO_CONTENT}
        if conditions:
            fine.add(_NOT_MODIFIED)
        if may_be_absent:
            fine.add(_NOT_FOUND)
        failures = 0
        while True:
            async with self._breaker.passage():
                outcome = await self._attempt(address, page, conditions, fine)
                self._take_note(outcome)
            if isinstance(outcome, Answer):
                return outcome
            if not is_wanted():
                return None
            # A refusal is no failure: it says that the next attempt, at its time, will be served.
            failures += not outcome.refused
            if failures > self._endpoint.limits.retries:
                raise SourceUnavailableError(
                    f"Page {page} of {self._endpoint.where} did not come in {failures} attempts: "
                    f"{outcome.reason}.",
                    hint="The next run goes on with the pages that are missing.",
                )
            self.retries += 1
            await self._wait(outcome, page=page, failures=failures)
            if not is_wanted():
                return None

    async def _attempt(
        self, address: URL, page: int, conditions: Mapping[str, str], fine: Collection[int]
    ) -> Answer | Failure:
        try:
            answer = await self._transport.get(address, page=page, conditions=conditions)
        except (aiohttp.ClientError, OSError) as error:
            # Their words quote whole addresses, so neither these nor their traces are kept.
            failure = self._failure(error)
            if isinstance(failure, SourceError):
                raise failure from None
            return failure
        return self._judge(answer, page, fine)

    def _judge(self, answer: Answer, page: int, fine: Collection[int]) -> Answer | Failure:
        now = self._clocks.now()
        if (told := quota(answer.headers, now=now)) is not None:
            self._limiter.respect(told)
        if answer.status in fine:
            return answer
        wait = retry_after(answer.headers, now=now)
        reason = f"status {answer.status}"
        if answer.status == _TOO_MANY or (
            wait is not None and answer.status in _TRANSIENT | {_FORBIDDEN}
        ):
            return Failure(reason=reason, refused=True, wait_seconds=wait)
        if answer.status in _TRANSIENT:
            return Failure(reason=reason)
        raise self._refusal(answer, page)

    def _refusal(self, answer: Answer, page: int) -> SourceError:
        place = f"Page {page} of {self._endpoint.where}"
        if answer.status in {_UNAUTHORISED, _FORBIDDEN}:
            hint = "Check auth in the contract, and the secret that it names."
            if answer.lost_secret:
                hint = (
                    f"The service leads to {answer.address.host}, another origin, where no "
                    "credentials are sent: give that address in the contract if it is right."
                )
            return SourceAccessError(f"{place} was refused with status {answer.status}.", hint=hint)
        return SourceAnswerError(
            f"{place} was answered with status {answer.status}.",
            hint="Check address, query and pagination in the contract.",
        )

    def _failure(self, error: Exception) -> Failure | SourceError:
        where, limits = self._endpoint.where, self._endpoint.limits
        outcome: Failure | SourceError
        match error:
            case aiohttp.ConnectionTimeoutError():
                outcome = Failure(reason=f"no connection within {limits.connect_seconds:g} s")
            case TimeoutError():
                outcome = Failure(reason=f"no whole answer within {limits.answer_seconds:g} s")
            case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
                outcome = SourceError(
                    f"{where}: the TLS certificate or handshake is not good.",
                    hint="Check the address and this machine's certificates and clock.",
                )
            case aiohttp.ClientConnectorDNSError() if _is_unknown(error.os_error):
                outcome = SourceError(
                    f"{where}: there is no host of this name.",
                    hint="Check the address in the contract, and this machine's name server.",
                )
            case aiohttp.ClientConnectorError():
                number = error.os_error.errno
                # The exception's own words may quote addresses.
                words = f" ({os.strerror(number).lower()})" if number and number > 0 else ""
                outcome = Failure(reason=f"no connection{words}")
            case aiohttp.InvalidURL():
                outcome = SourceAnswerError(
                    f"{where} is, or leads to, what is no address.",
                    hint="Check the address in the contract.",
                )
            case aiohttp.ClientResponseError():
                outcome = Failure(reason="an answer that is not HTTP")
            case _:
                outcome = Failure(reason="a connection that was cut")
        return outcome

    def _take_note(self, outcome: Answer | Failure) -> None:
        if isinstance(outcome, Answer):
            self._refusals_in_a_row = 0
            self._breaker.succeeded()
        elif outcome.refused:
            self._refusals_in_a_row += 1
            if self._refusals_in_a_row > _MOST_REFUSALS + self._endpoint.limits.concurrency:
                raise SourceUnavailableError(
                    f"{self._endpoint.where} refused {self._refusals_in_a_row} requests in a row "
                    f"as too many ({outcome.reason}).",
                    hint="Lower limits.requests_per_second in the contract, or try again later.",
                )
        else:
            self._breaker.failed(outcome.reason)

    async def _wait(self, failure: Failure, *, page: int, failures: int) -> None:
        if failure.refused:
            # Everybody waits: the service counts all requests together.
            seconds = failure.wait_seconds or self._backoff(self._refusals_in_a_row)
            self._limiter.pause(seconds, f"the service asked to come later ({failure.reason})")
            return
        seconds = self._backoff(failures)
        self._observer.saw(
            Retrying(page=page, attempt=failures, reason=failure.reason, seconds=seconds)
        )
        self._deadline.waited_seconds += seconds
        await self._deadline.sleep(seconds, f"page {page} was to be tried again")

    def _backoff(self, failures: int) -> float:
        """Full jitter: anything from 0 to a bound that doubles, so that clients do not march."""
        bound = BACKOFF_SECONDS * float(1 << min(failures - 1, _MAX_DOUBLINGS))
        return self._clocks.random() * min(MAX_BACKOFF_SECONDS, bound)


def _is_unknown(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) and error.errno in {
        socket.EAI_NONAME,
        getattr(socket, "EAI_NODATA", socket.EAI_NONAME),
    }
