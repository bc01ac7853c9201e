"""Google credentials for a target: a key file, what the machine has, another account, or none."""

from collections.abc import Callable

import google.auth
from google.auth import exceptions as auth
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.oauth2 import service_account

from techmart_fast.errors import WarehouseAccessError
from techmart_fast.warehouse.faults import first_line
from techmart_fast.warehouse.target import WarehouseTarget

_BIGQUERY = "https://www.googleapis.com/auth/bigquery"
_STORAGE = "https://www.googleapis.com/auth/devstorage.read_write"
_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"

# The library gives these no types.
_anonymous: Callable[[], Credentials] = AnonymousCredentials
_impersonated: Callable[..., Credentials] = impersonated_credentials.Credentials
_from_file: Callable[..., Credentials] = service_account.Credentials.from_service_account_file


def credentials(target: WarehouseTarget) -> Credentials:
    """The credentials that the target asks for.

    Raises:
        WarehouseAccessError: there are none, or the key file can't be used.
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


def _own(target: WarehouseTarget, scopes: tuple[str, ...]) -> Credentials:
    try:
        if target.credentials_file is not None:
            return _from_file(str(target.credentials_file), scopes=scopes)
        return google.auth.default(scopes=scopes)[0]
    except OSError as error:
        raise WarehouseAccessError(
            f"Can't read the key file {target.credentials_file}: {error.strerror}.",
            hint="GOOGLE_APPLICATION_CREDENTIALS must name a service account key.",
        ) from None
    except ValueError:
        # The library's message quotes the file.
        raise WarehouseAccessError(
            f"The key file {target.credentials_file} is not a service account key.",
            hint="Download the JSON key of the service account again.",
        ) from None
    except auth.GoogleAuthError as error:
        raise WarehouseAccessError(
            f"There are no Google credentials here: {first_line(str(error))}.",
            hint="Run `gcloud auth application-default login`, or name a key file in "
            "GOOGLE_APPLICATION_CREDENTIALS.",
        ) from None
