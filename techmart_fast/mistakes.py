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
    "union_tag_invalid": "must have a kind among {expected_tags}",
    "union_tag_not_found": "needs a kind",
    "finite_number": "must be a finite number",
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
    key, models = _place(fault["loc"], model)
    words = what_is_wrong(fault)
    if fault["type"] == "extra_forbidden":
        words += f" of the contract{_meant(fault['loc'], models)}"
    return f"{key} {words}".lstrip()


def what_is_wrong(fault: Fault) -> str:
    """What is wrong with one value: a predicate, to which its key is the subject."""
    kind = fault["type"]
    if kind == "value_error":
        return str(fault["msg"]).removeprefix("Value error, ")
    words = _SAYS.get(kind) or _KINDS.get(kind.split("_")[0], fault["msg"])
    return words.format_map(fault.get("ctx", {}))


def _place(
    place: Sequence[str | int], model: type[BaseModel]
) -> tuple[str, Sequence[type[BaseModel]]]:
    """`rates.0.since` as people count, `rates[1].since`, and the models that its last step is in.

    Where one of several models was meant, a step that is no key tells by its `kind` which one.
    """
    key, inside, below = "", [model], [model]
    for step in place:
        if isinstance(step, int):
            key += f"[{step + 1}]"
            continue
        if len(below) > 1 and (meant := [one for one in below if _kind(one) == step]):
            below = meant
            continue
        key += f".{step}"
        inside = below
        below = [
            found
            for one in inside
            if step in one.model_fields
            for found in _models_of(one.model_fields[step].annotation)
        ]
    return key.removeprefix("."), inside


def _kind(model: type[BaseModel]) -> object:
    field = model.model_fields.get("kind")
    return field.default if field else None


def _meant(place: Sequence[str | int], models: Sequence[type[BaseModel]]) -> str:
    known = [name for model in models for name in model.model_fields]
    close = difflib.get_close_matches(str(place[-1]), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models in `Model`, `tuple[Model, ...]`, `Model | None` or `Model | Other`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for one in get_args(annotation) for found in _models_of(one)]


def _is_below(place: Sequence[str | int], above: Sequence[str | int]) -> bool:
    return len(place) > len(above) and tuple(place[: len(above)]) == tuple(above)
