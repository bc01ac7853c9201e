"""What a user is told when the service refuses: one line, the role or setting, whether to retry."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import google.auth
import pytest
import requests
from google.api_core import exceptions as api
from google.auth import identity_pool, impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.oauth2 import credentials as user_credentials

from techmart_fast.errors import ExitCode, WarehouseAccessError, WarehouseError
from techmart_fast.warehouse import WarehouseSink
from techmart_fast.warehouse.calls import Calls
from techmart_fast.warehouse.credentials import credentials
from techmart_fast.warehouse.faults import TRANSIENT_REASONS, retry_soon, service_error
from techmart_fast.warehouse.wire import from_api
from tests.warehouse.fakes import TARGET


def answered(status: int, reason: str, message: str) -> api.GoogleAPICallError:
    """The client's exception for an error answer of the service."""
    response = requests.Response()
    response.status_code = status
    response.headers["content-type"] = "application/json"
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    response._content = json.dumps({"error": error}).encode()
    response.request = requests.Request("POST", "https://bigquery.googleapis.com/x").prepare()
    return api.from_http_response(response)


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (
            "Access Denied: Project p: User does not have bigquery.jobs.create permission in p.",
            "roles/bigquery.jobUser on the project",
        ),
        (
            "Access Denied: Table p:d.t: permission missing (bigquery.tables.updateData).",
            "roles/bigquery.dataEditor on the dataset",
        ),
        ("Access Denied: User does not have bigquery.datasets.create", "roles/bigquery.user"),
        (
            "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it is gone).",
            "roles/iam.serviceAccountTokenCreator",
        ),
        ("Access Denied", "roles/bigquery.jobUser"),
    ],
)
def test_a_missing_permission_names_the_role(message: str, role: str) -> None:
    error = from_api(answered(403, "accessDenied", message), "run x")
    assert isinstance(error, WarehouseAccessError)
    assert error.exit_code is ExitCode.USAGE
    assert role in error.hint
    assert not error.transient


@pytest.mark.parametrize(
    ("status", "reason", "message", "words", "transient"),
    [
        (404, "notFound", "Dataset p:d was not found in location EU", "BIGQUERY_LOCATION", False),
        (404, "notFound", "Not found: Dataset p:d", "BIGQUERY_DATASET_ID", False),
        (403, "quotaExceeded", "Quota exceeded: load jobs per table", "quota", True),
        (403, "rateLimitExceeded", "Exceeded rate limits", "Too many requests", True),
        (
            400,
            "bytesBilledLimitExceeded",
            "Query exceeded limit for bytes billed: 10485760.",
            "BIGQUERY_MAXIMUM_BYTES_BILLED",
            False,
        ),
        (400, "invalidQuery", "Unrecognized name: x at [1:8]", "Unrecognized name: x", False),
        (503, "backendError", "Error encountered", "nothing is lost", True),
        (501, "notImplemented", "The stand-in does not support x", "stand-in", False),
    ],
)
def test_a_refusal_says_what_to_do_and_whether_it_may_pass(
    status: int, reason: str, message: str, words: str, transient: bool
) -> None:
    error = from_api(answered(status, reason, message), "run merge/users")
    assert str(error).startswith("BigQuery can't run merge/users: ")
    assert words in str(error)
    assert "googleapis" not in str(error)
    assert (error.reason, error.transient) == (reason, transient)
    assert "\n" not in str(error)


def test_an_answer_that_the_client_quotes_is_understood() -> None:
    reason = "storage.objects.create access is denied for the account"
    quoted = json.dumps({"error": {"message": reason, "errors": [{"reason": "forbidden"}]}})
    error = from_api(api.Forbidden(f"POST https://storage/x: {quoted}: ('Request failed',)"), "put")
    assert reason in str(error)
    assert "roles/storage.objectUser on the staging bucket" in error.hint
    assert "{" not in str(error)


def test_a_long_message_is_cut_and_only_its_first_line_is_told() -> None:
    error = service_error(reason="invalid", message="a" * 900 + "\nsecret", doing="run x")
    assert len(str(error)) < 400
    assert "secret" not in str(error)


def test_a_quota_is_passing_but_not_worth_an_immediate_repeat() -> None:
    assert not retry_soon(service_error(reason="quotaExceeded", message="", doing=""))
    assert retry_soon(service_error(reason="rateLimitExceeded", message="", doing=""))
    assert {"quotaExceeded", "rateLimitExceeded"} <= TRANSIENT_REASONS


async def test_an_endpoint_that_does_not_answer_is_told_at_once() -> None:
    nobody = replace(TARGET, api_endpoint="http://127.0.0.1:9", anonymous=True)
    async with WarehouseSink(nobody) as sink:
        with pytest.raises(WarehouseError, match=r"127\.0\.0\.1:9 does not answer") as caught:
            await sink.ensure()
    assert "connection refused" in str(caught.value)
    assert caught.value.transient


@pytest.mark.parametrize(
    "content",
    [
        None,
        "not json",
        "{}",
        "[]",
        '{"type": "none"}',
        '{"type": "authorized_user"}',
        '{"type": "external_account"}',
        '{"type": "external_account", "credential_source": {"executable": {"command": "x"}}}',
        '{"type": "impersonated_service_account"}',
        '{"type": "service_account", "private_key": "x", "client_email": "a", "token_uri": "b"}',
    ],
)
def test_a_key_file_that_is_none_is_told_without_its_content(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(WarehouseAccessError, match=r"key\.json") as caught:
        credentials(replace(TARGET, credentials_file=path))
    assert content is None or content not in str(caught.value)


@pytest.mark.parametrize("content", ["not json", "[]", '{"type": "impersonated_service_account"}'])
def test_a_login_file_that_is_none_is_told_as_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    path = tmp_path / "application_default_credentials.json"
    path.write_text(content)
    with pytest.raises(WarehouseAccessError, match=str(path)) as caught:
        credentials(TARGET)
    assert content not in str(caught.value)
    assert "(" not in str(caught.value)


def test_another_account_is_acted_as_with_ones_own_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Sequence[str]] = []

    def mine(scopes: Sequence[str]) -> tuple[Credentials, str]:
        asked.append(scopes)
        return AnonymousCredentials(), "project"

    monkeypatch.setattr(google.auth, "default", mine)
    loader = "loader@shop.iam.gserviceaccount.com"
    acting = credentials(replace(TARGET, impersonate=loader))
    assert isinstance(acting, impersonated_credentials.Credentials)
    assert acting.service_account_email == loader
    assert asked == [("https://www.googleapis.com/auth/cloud-platform",)]


def test_missing_default_credentials_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_options: object) -> object:
        raise DefaultCredentialsError("Your default credentials were not found.")

    monkeypatch.setattr(google.auth, "default", none)
    with pytest.raises(WarehouseAccessError, match="gcloud auth application-default login"):
        credentials(TARGET)


def test_the_file_of_a_persons_login_serves_as_well_as_a_key(tmp_path: Path) -> None:
    login = {"type": "authorized_user", "client_id": "c", "client_secret": "s"}
    path = tmp_path / "login.json"
    path.write_text(json.dumps(login | {"refresh_token": "r"}))
    mine = credentials(replace(TARGET, credentials_file=path))
    assert isinstance(mine, user_credentials.Credentials)
    acting = credentials(replace(TARGET, credentials_file=path, impersonate="a@b.example"))
    assert isinstance(acting, impersonated_credentials.Credentials)


def test_a_workload_of_another_cloud_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "workload.json"
    path.write_text(
        json.dumps(
            {
                "type": "external_account",
                "audience": "//iam.googleapis.com/projects/1/locations/global/pools/p/providers/q",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": "https://sts.googleapis.com/v1/token",
                "credential_source": {"file": "/var/run/token"},
            }
        )
    )
    workload = credentials(replace(TARGET, credentials_file=path))
    assert isinstance(workload, identity_pool.Credentials)


@pytest.mark.parametrize(
    ("said", "todo"),
    [
        ("invalid_grant: Token has been expired or revoked.", "gcloud auth application-default"),
        ("Reauthentication is needed.", "gcloud auth application-default login"),
        (
            "IAM Service Account Credentials API has not been used in project 1 before.",
            "Enable the API iamcredentials.googleapis.com",
        ),
        (
            "Permission 'iam.serviceAccounts.getAccessToken' denied on resource",
            "roles/iam.serviceAccountTokenCreator",
        ),
    ],
)
def test_a_refused_login_says_how_to_get_in(said: str, todo: str) -> None:
    def refused() -> None:
        raise RefreshError(said, {"error": "secret"})

    with pytest.raises(WarehouseAccessError, match="login was refused") as told:
        Calls("bigquery.googleapis.com")("list it", refused)
    assert todo in told.value.hint
    assert "roles/bigquery" not in told.value.hint
    assert "secret" not in str(told.value)


def test_an_api_that_is_off_is_named() -> None:
    message = "BigQuery API has not been used in project 7 before or it is disabled."
    error = service_error(reason="accessNotConfigured", message=message, doing="run it")
    assert isinstance(error, WarehouseAccessError)
    assert error.hint == "Enable the API bigquery.googleapis.com in the project."


@pytest.mark.parametrize(
    ("message", "todo"),
    [
        (
            "Permission storage.objects.list denied",
            "roles/storage.objectUser on the staging bucket",
        ),
        ("Permission bigquery.jobs.update denied", "roles/bigquery.user on the project"),
        ("Cloud Storage API has not been used in project 7", "storage.googleapis.com"),
        ("needs serviceusage.services.use", "roles/serviceusage.serviceUsageConsumer"),
        ("Request is prohibited by VPC Service Controls", "perimeter"),
        ("denied by iam.googleapis.com for the account", "roles/bigquery.jobUser"),
    ],
)
def test_a_refusal_says_what_to_grant(message: str, todo: str) -> None:
    assert todo in service_error(reason="forbidden", message=message, doing="load it").hint
