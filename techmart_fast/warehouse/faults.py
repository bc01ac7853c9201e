"""Errors of the service as the project's own: one clear line, what to do, whether to try again."""

import re

from techmart_fast.errors import WarehouseAccessError, WarehouseError

TRANSIENT_REASONS = frozenset(
    {
        "backendError",
        "badGateway",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "rateLimitExceeded",
        "quotaExceeded",
        "serviceUnavailable",
        "stopped",
        "tableUnavailable",
        "timeout",
        "unreachable",
    }
)
"""Reasons after which the same request may succeed later.
https://cloud.google.com/bigquery/docs/error-messages"""

_RETRY_SOON = TRANSIENT_REASONS - {"quotaExceeded", "stopped", "timeout", "unreachable"}
_REFUSALS = frozenset(
    {
        "accessDenied",
        "accessNotConfigured",
        "authError",
        "billingNotEnabled",
        "forbidden",
        "required",
    }
)
_SERIALIZE = "could not serialize access"

_PERMISSION = re.compile(r"\b(?:bigquery|iam|storage)\.(?!googleapis\b)[a-zA-Z]+\.[A-Za-z]+")
_ROLES = {
    "bigquery.jobs.create": "roles/bigquery.jobUser on the project",
    "bigquery.jobs.get": "roles/bigquery.jobUser on the project",
    "bigquery.jobs.update": "roles/bigquery.user on the project",
    "bigquery.datasets.create": "roles/bigquery.user on the project (or make the dataset)",
    "storage.objects.create": "roles/storage.objectUser on the staging bucket",
    "storage.objects.delete": "roles/storage.objectUser on the staging bucket",
    "storage.objects.get": "roles/storage.objectUser on the staging bucket",
    "storage.objects.list": "roles/storage.objectUser on the staging bucket",
    "storage.buckets.get": "roles/storage.bucketViewer on the staging bucket",
    "iam.serviceAccounts.getAccessToken": "roles/iam.serviceAccountTokenCreator on the account "
    "that BIGQUERY_IMPERSONATE_SERVICE_ACCOUNT names",
}
_DATA_ROLE = "roles/bigquery.dataEditor on the dataset"
_LOGIN = "`gcloud auth application-default login`."

_LOG_IN = f"Check GOOGLE_APPLICATION_CREDENTIALS, or log in anew with {_LOGIN}"
_REFUSED = {
    "authError": _LOG_IN,
    "billingNotEnabled": "Enable billing for the project.",
    "required": _LOG_IN,
}
_REFUSED_SAYING = {
    "serviceusage": "Grant the account roles/serviceusage.serviceUsageConsumer on the project.",
    "vpc service controls": "A perimeter of VPC Service Controls keeps this machine out: ask "
    "whoever runs it.",
}

_HINTS = {
    "notFound": "Check BIGQUERY_PROJECT_ID, BIGQUERY_DATASET_ID and BIGQUERY_LOCATION.",
    "bytesBilledLimitExceeded": "Raise BIGQUERY_MAXIMUM_BYTES_BILLED if that cost is meant.",
    "quotaExceeded": "A quota of the project is used up; run again later, or ask for more.",
    "rateLimitExceeded": "Too many requests at once; run again.",
    "jobRateLimitExceeded": "Too many jobs at once; run again.",
    "notImplemented": "The stand-in does not do this; BigQuery may.",
}

_LINE_CHARACTERS = 300


def service_error(
    *, reason: str, message: str, doing: str, job_id: str | None = None
) -> WarehouseError:
    """The error for a reason word and message of the service. `doing` completes "can't …"."""
    line = first_line(message)
    what = f"BigQuery can't {doing}: {line} ({reason or 'no reason given'})."
    if reason in _REFUSALS:
        return WarehouseAccessError(
            what, hint=_access_hint(reason, message), reason=reason, job_id=job_id
        )
    transient = reason in TRANSIENT_REASONS or _SERIALIZE in message.lower()
    return WarehouseError(
        what, hint=_hint(reason, message), transient=transient, reason=reason, job_id=job_id
    )


def retry_soon(error: WarehouseError) -> bool:
    """Whether the same statement may be submitted again within the same call."""
    return error.reason in _RETRY_SOON or _SERIALIZE in str(error).lower()


def unreachable(endpoint: str, cause: str, doing: str) -> WarehouseError:
    """The endpoint does not answer."""
    return WarehouseError(
        f"BigQuery can't {doing}: {endpoint} does not answer ({first_line(cause)}).",
        hint="Check the network and the endpoint, then run again: nothing is lost.",
        transient=True,
        reason="unreachable",
    )


def first_line(text: str) -> str:
    """The first line of a message, of bounded length, without its full stop."""
    line = text.strip().partition("\n")[0].strip()
    return line[:_LINE_CHARACTERS].rstrip(".") or "no message"


def login_error(message: str, doing: str) -> WarehouseAccessError:
    """The error for credentials that Google's login refused, before any request was sent."""
    hint = _LOG_IN
    lowered = message.lower()
    if "invalid_grant" in lowered or "reauth" in lowered:
        hint = f"The login or the key has expired or was withdrawn: log in anew with {_LOGIN}"
        hint = f"{hint} Or download a new key. A clock that is wrong has the same effect."
    elif permission := _PERMISSION.search(message):
        hint = _grant(permission[0])
    elif "iamcredentials" in lowered or "service account credentials api" in lowered:
        hint = "Enable the API iamcredentials.googleapis.com in the project of the account."
    return WarehouseAccessError(
        f"BigQuery can't {doing}: the login was refused: {first_line(message)}.",
        hint=hint,
        reason="authError",
    )


def _access_hint(reason: str, message: str) -> str:
    lowered = message.lower()
    if reason in _REFUSED:
        return _REFUSED[reason]
    if reason == "accessNotConfigured" or "has not been used in project" in lowered:
        api = "storage" if "storage" in lowered else "bigquery"
        return f"Enable the API {api}.googleapis.com in the project."
    if permission := _PERMISSION.search(message):
        return _grant(permission[0])
    general = f"Grant the account roles/bigquery.jobUser on the project and {_DATA_ROLE}."
    return next((hint for words, hint in _REFUSED_SAYING.items() if words in lowered), general)


def _grant(permission: str) -> str:
    return f"Grant the account {_ROLES.get(permission, _DATA_ROLE)} ({permission})."


def _hint(reason: str, message: str) -> str:
    if reason == "notFound" and "location" in message.lower():
        return "Set BIGQUERY_LOCATION to the location of the dataset."
    if reason == "notFound" and "bucket" in message.lower():
        return "Make the bucket, or check BIGQUERY_STAGING_BUCKET."
    otherwise = "Run again: nothing is lost." if reason in TRANSIENT_REASONS else ""
    return _HINTS.get(reason, otherwise)
