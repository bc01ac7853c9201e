"""NUMERIC arithmetic is exact: nine decimals, half away from zero, an error on overflow.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types
"""

from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from techmart_fast.standin.exact import exact_divide, exact_multiply
from techmart_fast.standin.storage import Storage

STEP = Decimal("0.000000001")
LIMIT = Decimal(10) ** 29
LONGEST = Decimal("99999999999999999999999999995")
"""More digits than decimal's default context keeps."""

# Counted in steps, so that no context rounds them: small ones, money, everything.
steps = st.one_of(
    st.integers(-1000, 1000),
    st.integers(-(10**8), 10**8).map(lambda cents: cents * 10**7),
    st.integers(-(10**28), 10**28),
    st.integers(-(10**38) + 1, 10**38 - 1),
)
numerics = steps.map(lambda count: Decimal(f"{count}E-9"))


def rounded(value: Decimal) -> Decimal | None:
    """A value as NUMERIC has it, None where it overflows."""
    with localcontext(Context(prec=200)):
        result = value.quantize(STEP, rounding=ROUND_HALF_UP)
        return result if abs(result) < LIMIT else None


def run(storage: Storage, macro: str, left: Decimal, right: Decimal) -> Decimal | None:
    cast = "CAST(? AS DECIMAL(38, 9))"
    with storage.cursor() as cursor:
        sql = f"SELECT {macro}(a, b) FROM (SELECT {cast} AS a, {cast} AS b)"
        ((value,),) = cursor.execute(sql, [str(left), str(right)]).fetchall()
    return value


@given(left=numerics, right=numerics)
@settings(max_examples=120, deadline=None)
def test_a_safe_quotient_is_exact_or_null(storage: Storage, left: Decimal, right: Decimal) -> None:
    with localcontext(Context(prec=200)):
        expected = rounded(left / right) if right else None
    assert run(storage, "bq_safe_divide_numeric", left, right) == expected


@example(left=Decimal(1), right=LONGEST)
@example(left=STEP, right=Decimal("0.5"))
@example(left=-STEP, right=Decimal("1.5"))
@example(left=Decimal("123456789.123456789"), right=Decimal("0.5"))
@example(left=Decimal("99999999.99"), right=Decimal("99999999.99"))
@given(left=numerics, right=numerics)
@settings(max_examples=80, deadline=None)
def test_a_product_is_exact_or_an_overflow(storage: Storage, left: Decimal, right: Decimal) -> None:
    with localcontext(Context(prec=200)):
        expected = rounded(left * right)
    if expected is None:
        with pytest.raises(duckdb.Error, match="overflow"):
            run(storage, "bq_multiply_numeric", left, right)
    else:
        assert run(storage, "bq_multiply_numeric", left, right) == expected


@pytest.mark.parametrize("cents", range(1, 20))
def test_a_quotient_that_is_a_tie_goes_away_from_zero(storage: Storage, cents: int) -> None:
    """Odd multiples of half a step: what a floating-point guess is most likely to miss."""
    dividend = (2 * cents + 1) * STEP
    expected = rounded(dividend / 2)
    assert run(storage, "bq_divide_numeric", dividend, Decimal(2)) == expected
    assert run(storage, "bq_divide_numeric", -dividend, Decimal(2)) == -(expected or 0)


def test_the_slow_functions_agree_with_decimal() -> None:
    assert exact_divide(Decimal(2), Decimal(3)) == Decimal("0.666666667")
    assert exact_multiply(Decimal("0.000000001"), Decimal("-0.5")) == Decimal("-0.000000001")
    with pytest.raises(OverflowError):
        exact_divide(LIMIT - 1, STEP)
