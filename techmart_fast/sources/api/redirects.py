"""Where a service may send the loader: redirects, and next addresses in answers."""

from yarl import URL

from techmart_fast.errors import SourceAnswerError

_MOST_CHARACTERS = 8_000


def follow(current: URL, told: str, *, what: str) -> URL:
    """The address that `told` means when it comes with an answer from `current`.

    `what` begins the sentence of an error, like "Page 3 of api.example.com/products leads".

    Raises:
        SourceAnswerError: it is no address, leaves HTTP or TLS, or holds credentials.
    """
    try:
        # As it was told: quoting it anew may break a signature.
        plain = told.isascii() and told.isprintable() and " " not in told
        target = current.join(URL(told, encoded=plain)).with_fragment(None)
        host, port = target.host, target.port
    except ValueError:
        host = port = None
    if not told or not host or port is None or len(told) > _MOST_CHARACTERS:
        raise SourceAnswerError(f"{what} to what is no address.", hint=_HINT)
    if target.scheme not in {"http", "https"}:
        raise SourceAnswerError(f"{what} to an address that is not HTTP.", hint=_HINT)
    if current.scheme == "https" and target.scheme != "https":
        raise SourceAnswerError(f"{what} from https to http: refused.", hint=_HINT)
    if target.raw_user is not None or target.raw_password is not None:
        raise SourceAnswerError(f"{what} to an address with credentials: refused.", hint=_HINT)
    return target


def is_same_origin(one: URL, other: URL) -> bool:
    """Whether credentials for one address may be sent to the other."""
    return one.origin() == other.origin()


_HINT = "Ask the service's operator, or give the right address in the contract."
