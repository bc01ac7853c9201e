"""Calls of Google's libraries whose failures become the project's errors."""

from collections.abc import Callable
from typing import TypeVar

import requests.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from techmart_fast.errors import WarehouseError
from techmart_fast.warehouse.faults import login_error, unreachable
from techmart_fast.warehouse.wire import from_api

_T = TypeVar("_T")


class Calls:
    """Makes calls to one service. `endpoint` names it where it does not answer."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def __call__(self, doing: str, request: Callable[[], _T]) -> _T:
        """What the request returns. `doing` completes "can't …".

        Raises:
            WarehouseError: the service refused, failed, or did not answer.
        """
        try:
            return request()
        except WarehouseError:
            raise
        except api.RetryError as error:
            cause = error.cause
            if isinstance(cause, api.GoogleAPICallError):
                raise from_api(cause, doing) from None
            raise self._unreachable(cause or error, doing) from None
        except api.GoogleAPICallError as error:
            raise from_api(error, doing) from None
        except auth.TransportError as error:
            raise self._unreachable(error, doing) from None
        except auth.GoogleAuthError as error:
            # Its text is a list: what Google said, and the whole answer once more.
            said = str(error.args[0]) if error.args else type(error).__name__
            raise login_error(said, doing) from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise self._unreachable(error, doing) from None

    def _unreachable(self, error: BaseException, doing: str) -> WarehouseError:
        # The library's text quotes an object's address; the system's words are deep inside it.
        cause = type(error).__name__
        text = str(error)
        for words in ("Connection refused", "Name or service not known", "timed out"):
            if words.lower() in text.lower():
                cause = words.lower()
        return unreachable(self._endpoint, cause, doing)
