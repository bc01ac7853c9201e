"""BIGNUMERIC as far as the stand-in holds it; what goes beyond is refused, never rounded."""

from decimal import Decimal, InvalidOperation

from techmart_fast.standin.failure import not_implemented

BEYOND = "BIGNUMERIC values of more than 20 digits before the point or 18 behind it"
WHOLE_DIGITS = 20
_DECIMALS = 18


def held_text(written: str) -> str:
    """A number's text without an exponent; a text that is no number as it is.

    Raises:
        ServiceError: `notImplemented`, the number has too many digits.
    """
    try:
        number = Decimal(written.strip())
    except InvalidOperation:
        return written
    if not number.is_finite():
        return written
    digits, exponent = "".join(map(str, number.as_tuple().digits)), number.as_tuple().exponent
    kept = digits.rstrip("0")
    last = int(exponent) + len(digits) - len(kept)
    if number and (-last > _DECIMALS or number.adjusted() >= WHOLE_DIGITS):
        raise not_implemented(BEYOND)
    return f"{number:f}" if number else "0"
