"""Google credentials for a target: a key file, what the machine has, another account, or none."""

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import google.auth
from google.auth import aws, identity_pool, impersonated_credentials
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import credentials as user
from google.oauth2 import service_account

from techmart_fast.errors import WarehouseAccessError
from techmart_fast.warehouse.faults import first_line
from techmart_fast.warehouse.target import WarehouseTarget

# It warns that no project could be found: the project is a setting of this program.
logging.getLogger("google.auth._default").setLevel(logging.ERROR)

_BIGQUERY = "https://www.googleapis.com/auth/bigquery"
_STORAGE = "https://www.googleapis.com/auth/devstorage.read_write"
_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"

# The library gives these no types.
_anonymous: Callable[[], Credentials] = AnonymousCredentials
_impersonated: Callable[..., Credentials] = impersonated_credentials.Credentials
_session: Callable[[Credentials], AuthorizedSession] = AuthorizedSession
_Load = Callable[..., Credentials]
_service_account: _Load = service_account.Credentials.from_service_account_info
_person: _Load = user.Credentials.from_authorized_user_info
_acting: _Load = impersonated_credentials.Credentials.from_impersonated_service_account_info
_workload: _Load = identity_pool.Credentials.from_info
_aws_workload: _Load = aws.Credentials.from_info

_AWS_TOKEN = "urn:ietf:params:aws:token-type:aws4_request"  # noqa: S105 - the name of a type
_WANTED = (
    "GOOGLE_APPLICATION_CREDENTIALS must name a service account key, or a file that "
    "`gcloud auth application-default login` or a workload identity federation made."
)


def credentials(target: WarehouseTarget) -> Credentials:
    """The credentials that the target asks for.

    Raises:
        WarehouseAccessError: there are none, or the file can't be used.
    """
    if target.anonymous:
        return _anonymous()
    needed = (_BIGQUERY, *((_STORAGE,) if target.staging_bucket else ()))
    if target.impersonate is None:
        return _own(target, needed)
    # A token for another account is asked for with the platform's scope.
    return _impersonated(
        source_credentials=_own(target, (_PLATFORM,)),
        target_principal=target.impersonate,
        target_scopes=list(needed),
    )


def local_session(target: WarehouseTarget, own: Credentials) -> AuthorizedSession | None:
    """The connections to the stand-in; None leaves the client to make those to Google.

    A proxy that the environment names is for what is elsewhere: it can't reach this machine's
    loopback address. Not looking for one also spares a fifth of the time of each request.
    """
    if not target.anonymous:
        return None
    session: AuthorizedSession = _session(own)
    session.trust_env = False
    return session


def _own(target: WarehouseTarget, scopes: tuple[str, ...]) -> Credentials:
    # What `gcloud` left is a file like one that is named: its messages name it, too.
    file = target.credentials_file or _login_file()
    try:
        return google.auth.default(scopes=scopes)[0] if file is None else _of_file(file, scopes)
    except OSError as error:
        raise WarehouseAccessError(
            f"Can't read the credentials file {file}: {error.strerror}.", hint=_WANTED
        ) from None
    except auth.GoogleAuthError as error:
        said = str(error.args[0]) if error.args else type(error).__name__
        raise WarehouseAccessError(
            f"There are no Google credentials here: {first_line(said)}.",
            hint="Run `gcloud auth application-default login`, or name a credentials file in "
            "GOOGLE_APPLICATION_CREDENTIALS.",
        ) from None


def _login_file() -> Path | None:
    """The file of `gcloud auth application-default login`, if there is one.

    https://cloud.google.com/docs/authentication/application-default-credentials#personal
    """
    folder = os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud"
    path = Path(folder, "application_default_credentials.json")
    return path if path.is_file() else None


def _of_file(file: Path, scopes: tuple[str, ...]) -> Credentials:
    """The credentials in a file: a key, a person's login, a workload of another cloud."""
    try:
        content = json.loads(file.read_bytes())
        load = _loader(content) if isinstance(content, dict) else None
        if load is None:
            raise WarehouseAccessError(
                f"The file {file} does not hold Google credentials that can be used.", hint=_WANTED
            )
        return load(content, scopes=scopes)
    except (ValueError, TypeError, KeyError, AttributeError, auth.GoogleAuthError):
        # The library's message may quote the file, or be about its own insides.
        raise WarehouseAccessError(
            f"The credentials file {file} is damaged or incomplete.",
            hint="Download the key, or log in, again.",
        ) from None


def _loader(content: Mapping[str, object]) -> _Load | None:
    """Each kind by its own loader, so that a file can't ask for more than these do."""
    if content.get("type") != "external_account":
        return {
            "authorized_user": _person,
            "impersonated_service_account": _acting,
            "service_account": _service_account,
        }.get(str(content.get("type")))
    source = content.get("credential_source")
    if isinstance(source, Mapping) and "executable" in source:
        return None  # it would run a program that the file names
    return _aws_workload if content.get("subject_token_type") == _AWS_TOKEN else _workload
