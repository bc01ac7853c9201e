"""Labels of jobs, datasets and tables.

https://cloud.google.com/bigquery/docs/labels-intro#requirements
"""

from collections.abc import Mapping

from techmart_fast.standin.failure import ServiceError

_MOST = 64
_LONGEST = 63


def check_labels(labels: object) -> None:
    """Refuse labels that the service would not keep.

    Raises:
        ServiceError: `invalid`, there are too many, or a key or value is malformed.
    """
    if not isinstance(labels, Mapping):
        return
    if len(labels) > _MOST:
        raise ServiceError("invalid", f"A resource can have {_MOST} labels at most.")
    for key, value in labels.items():
        if not (key and _is_plain(key) and key[0].isalpha()):
            raise ServiceError(
                "invalid",
                f'Label key "{key}" must begin with a lower-case letter and hold only lower-case '
                "letters, digits, underscores and dashes, 63 at most.",
            )
        if value is not None and not _is_plain(str(value)):
            raise ServiceError(
                "invalid",
                f'Label value "{value}" must hold only lower-case letters, digits, underscores and '
                "dashes, 63 at most.",
            )


def _is_plain(text: str) -> bool:
    # Letters of any script, as long as they are not capitals.
    return len(text) <= _LONGEST and all(
        char in "_-" or (char.isalnum() and char == char.lower()) for char in text
    )
