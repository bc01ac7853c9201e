"""Arithmetic that the macros can't do exactly, done by Python's decimals: right, and slow."""

from decimal import MAX_EMAX, MIN_EMIN, ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from math import isfinite

import duckdb
from duckdb.func import FunctionNullHandling

from techmart_fast.standin.bignumeric import held_text

_WIDE = Context(prec=120, rounding=ROUND_HALF_UP)
_STEP = Decimal("0.000000001")
_LIMIT = Decimal(10) ** 29
_WIDEST = Context(prec=1200, Emax=MAX_EMAX, Emin=MIN_EMIN)
_NUMERIC = "DECIMAL(38,9)"


def _fitted(value: Decimal) -> Decimal:
    """`value` with nine decimals, rounded half away from zero (decimal's ROUND_HALF_UP).

    Raises:
        OverflowError: it has more than 29 digits before the point.
    """
    # Not `abs`, which rounds to the 28 digits of the thread's own context.
    if value.copy_abs() > _LIMIT:
        raise OverflowError("numeric overflow")
    rounded = value.quantize(_STEP, context=_WIDE)
    if rounded.copy_abs() >= _LIMIT:
        raise OverflowError("numeric overflow")
    return rounded


def exact_divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    """`dividend / divisor` as BigQuery's NUMERIC has it; the divisor is not zero."""
    # 120 digits hold the quotient's 38 and enough beyond: a double rounding can't happen, as a
    # quotient of two 38-digit numbers that is not a tie differs from one within 80 digits.
    return _fitted(_WIDE.divide(dividend, divisor))


def exact_multiply(left: Decimal, right: Decimal) -> Decimal:
    """`left * right` as BigQuery's NUMERIC has it."""
    return _fitted(_WIDE.multiply(left, right))


def safe_exact_divide(dividend: Decimal | None, divisor: Decimal | None) -> Decimal | None:
    """`exact_divide`, or null where that is null or overflows."""
    if dividend is None or divisor is None:
        return None
    try:
        return exact_divide(dividend, divisor)
    except OverflowError:
        return None


def exact_numeric(value: float) -> Decimal:
    """A float's exact binary value as NUMERIC."""
    if not isfinite(value):
        raise OverflowError(f"numeric out of range: {value}")
    return _fitted(Decimal(value))


def safe_exact_numeric(value: float | None) -> Decimal | None:
    """`exact_numeric`, or null where that is null or overflows."""
    if value is None:
        return None
    try:
        return exact_numeric(value)
    except OverflowError:
        return None


def exact_round(value: float, places: int) -> float:
    """`value` to some decimals, half away from zero, by its exact binary value."""
    return _to_places(value, places, ROUND_HALF_UP)


def exact_trunc(value: float, places: int) -> float:
    """`value` cut to some decimals."""
    return _to_places(value, places, ROUND_DOWN)


def _to_places(value: float, places: int, rounding: str) -> float:
    if not isfinite(value) or places > 400:
        return value
    step = Decimal(1).scaleb(-max(places, -400))
    return float(Decimal(value).quantize(step, rounding=rounding, context=_WIDEST))


def register_exact(engine: duckdb.DuckDBPyConnection) -> None:
    """Make these functions known to the engine, by their names."""
    engine.create_function("exact_divide", exact_divide, [_NUMERIC, _NUMERIC], _NUMERIC)
    engine.create_function("exact_multiply", exact_multiply, [_NUMERIC, _NUMERIC], _NUMERIC)
    # DuckDB refuses a null from a function unless nulls are also passed to it.
    engine.create_function(
        "safe_exact_divide",
        safe_exact_divide,
        [_NUMERIC, _NUMERIC],
        _NUMERIC,
        null_handling=FunctionNullHandling.SPECIAL,
    )
    engine.create_function("exact_numeric", exact_numeric, ["DOUBLE"], _NUMERIC)
    engine.create_function(
        "safe_exact_numeric",
        safe_exact_numeric,
        ["DOUBLE"],
        _NUMERIC,
        null_handling=FunctionNullHandling.SPECIAL,
    )
    engine.create_function("held_text", held_text, ["VARCHAR"], "VARCHAR")
    for function in (exact_round, exact_trunc):
        engine.create_function(function.__name__, function, ["DOUBLE", "BIGINT"], "DOUBLE")
