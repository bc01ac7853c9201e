"""The one exception of the stand-in, and the service's JSON shape of an error.

Reasons and their HTTP statuses: https://cloud.google.com/bigquery/docs/error-messages
"""

from collections.abc import Mapping

HTTP_STATUS: Mapping[str, int] = {
    "accessDenied": 403,
    "backendError": 503,
    "bytesBilledLimitExceeded": 500,
    "conditionNotMet": 412,
    "duplicate": 409,
    "internalError": 500,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "notImplemented": 501,
    "quotaExceeded": 403,
    "rateLimitExceeded": 403,
    "required": 400,
    "resourceInUse": 400,
    "resourcesExceeded": 400,
    "responseTooLarge": 403,
    "stopped": 200,
}

_STATUS_WORD: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class ServiceError(Exception):
    """A request or job that the service refuses, with the service's word for the reason.

    Attributes:
        reason: the `reason` of the service's error, e.g. `notFound`.
        location: what it concerns (`query`, a field's name), or an empty string.
    """

    def __init__(self, reason: str, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.location = location

    @property
    def message(self) -> str:
        """The sentence that people read."""
        return str(self.args[0])

    @property
    def http_status(self) -> int:
        """The status of a response that carries this error."""
        return HTTP_STATUS.get(self.reason, 500)

    def proto(self) -> dict[str, str]:
        """The error as jobs carry it (`ErrorProto`)."""
        body = {"reason": self.reason, "message": self.message}
        if self.location:
            body["location"] = self.location
        return body

    def body(self) -> dict[str, object]:
        """The error as responses carry it."""
        status = self.http_status
        entry = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location:
            entry |= {"location": self.location, "locationType": "other"}
        return {
            "error": {
                "code": status,
                "message": self.message,
                "errors": [entry],
                "status": _STATUS_WORD.get(status, "UNKNOWN"),
            }
        }


def not_implemented(what: str) -> ServiceError:
    """The refusal of something that BigQuery can do and the stand-in can't."""
    return ServiceError("notImplemented", f"The BigQuery stand-in does not support {what}.")


def invalid_query(message: str) -> ServiceError:
    """A statement that BigQuery refuses too."""
    return ServiceError("invalidQuery", message, location="query")


def not_found(kind: str, name: str) -> ServiceError:
    """Something that does not exist; `kind` is the service's word, e.g. `Table`."""
    return ServiceError("notFound", f"Not found: {kind} {name}")


def duplicate(kind: str, name: str) -> ServiceError:
    """Something that exists already."""
    return ServiceError("duplicate", f"Already Exists: {kind} {name}")
