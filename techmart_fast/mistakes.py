"""Says in plain words what is wrong with a contract or a setting."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Fault = Mapping[str, Any]
"""One of `ValidationError.errors()`."""

_SAYS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not a key",
    "literal_error": "must be {expected}",
    "string_type": "must be text",
    "string_pattern_mismatch": "does not match {pattern}",
    "string_too_short": "must not be empty",
    "string_too_long": "has more than {max_length} characters",
    "too_short": "needs {min_length} or more entries, and has {actual_length}",
    "too_long": "may have {max_length} entries at most, and has {actual_length}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "decimal_max_digits": "has more than {max_digits} digits",
    "decimal_max_places": "has more than {decimal_places} decimals",
    "decimal_whole_digits": "has more than {whole_digits} digits before the point",
    "int_from_float": "must be a whole number",
}
_KINDS: Mapping[str, str] = {
    "decimal": "must be a number",
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "date": "must be a date like 2025-01-31",
    "tuple": "must be a list",
    "dict": "must be a table",
    "model": "must be a table",
    "string": "must be text",
}
"""By the first word of an error's type, for whatever has no words of its own."""


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """All mistakes, each with its key as it stands in the file."""
    faults = error.errors(include_url=False, include_input=False)
    places = [fault["loc"] for fault in faults]
    return [
        _told(fault, model)
        for fault in faults
        # A list whose entries are wrong counts as empty: that is no mistake of its own.
        if fault["type"] != "too_short"
        or not any(_is_below(place, fault["loc"]) for place in places)
    ]


def _told(fault: Fault, model: type[BaseModel]) -> str:
    words = what_is_wrong(fault)
    if fault["type"] == "extra_forbidden":
        words += f" of the contract{_meant(fault['loc'], model)}"
    return f"{_key(fault['loc'])} {words}".lstrip()


def what_is_wrong(fault: Fault) -> str:
    """What is wrong with one value: a predicate, to which its key is the subject."""
    kind = fault["type"]
    if kind == "value_error":
        return str(fault["msg"]).removeprefix("Value error, ")
    words = _SAYS.get(kind) or _KINDS.get(kind.split("_")[0], fault["msg"])
    return words.format_map(fault.get("ctx", {}))


def _key(place: Sequence[str | int]) -> str:
    """`rates.0.since` as people count: `rates[1].since`."""
    key = ""
    for step in place:
        key += f"[{step + 1}]" if isinstance(step, int) else f".{step}"
    return key.removeprefix(".")


def _meant(place: Sequence[str | int], model: type[BaseModel]) -> str:
    known = model
    for step in place[:-1]:
        if isinstance(step, str):
            known = _model_of(known.model_fields[step].annotation)
    close = difflib.get_close_matches(str(place[-1]), known.model_fields, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _model_of(annotation: Any) -> type[BaseModel]:
    """The model in `Model`, `tuple[Model, ...]` or `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_model_of(one) for one in get_args(annotation) if one is not Ellipsis)


def _is_below(place: Sequence[str | int], above: Sequence[str | int]) -> bool:
    return len(place) > len(above) and tuple(place[: len(above)]) == tuple(above)
