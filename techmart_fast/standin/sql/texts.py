"""Texts, bytes and hashes.

https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions
https://cloud.google.com/bigquery/docs/reference/standard-sql/hash_functions
"""

import re

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType, Kind
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.sql.coercion import coerced
from techmart_fast.standin.sql.kinds import (
    BOOL,
    BYTES,
    INT64,
    STRING,
    call,
    cast,
    kind_of,
    literal_of,
    noted,
    shown,
    text,
)
from techmart_fast.standin.sql.rules import always, plain, rule

STRINGS = BqType(Kind.ARRAY, element=STRING)


def _texts(node: exp.Expr, *arguments: str) -> list[exp.Expr]:
    """Arguments that must be texts."""
    return [coerced(node.args[one], STRING, what=node.key.upper()) for one in arguments]


def _refuse(node: exp.Expr, *arguments: str) -> None:
    for one in arguments:
        if node.args.get(one) is not None:
            raise not_implemented(f"this use of {node.key.upper()}: {shown(node)}")


@rule(exp.ByteString, type_of=always(BYTES))
def _bytes(node: exp.Expr) -> exp.Expr:
    if not node.name.isascii() or "\\" in node.name:
        raise not_implemented("bytes literals with escapes")
    return call("encode", text(node.name))


@rule(exp.RawString, type_of=always(STRING))
def _raw(node: exp.Expr) -> exp.Expr:
    result = text(node.name)
    result.meta["written"] = exp.Literal.string(node.name)
    return result


def _joined_type(node: exp.Expr) -> BqType:
    parts = node.expressions or [node.this, node.expression]
    kinds = {kind_of(one).kind for one in parts} - {Kind.NULL}
    if kinds <= {Kind.STRING}:
        return STRING
    raise not_implemented(f"joining {', '.join(sorted(kinds))}: {shown(node)}")


@rule(exp.Concat, exp.DPipe, type_of=_joined_type)
def _joined(node: exp.Expr) -> exp.Expr:
    parts = node.expressions or [node.this, node.expression]
    result, *others = [coerced(one, STRING, what="CONCAT") for one in parts]
    for one in others:
        result = exp.DPipe(this=result, expression=one)
    return exp.Paren(this=result)


@rule(exp.Upper, exp.Lower, type_of=always(STRING))
def _cased(node: exp.Expr) -> exp.Expr:
    return call(f"bq_{node.key}", *_texts(node, "this"))


@rule(exp.Reverse, type_of=always(STRING))
def _reversed(node: exp.Expr) -> exp.Expr:
    return call("reverse", *_texts(node, "this"))


def _of_text(node: exp.Expr) -> BqType:
    if kind_of(node.this).kind not in (Kind.STRING, Kind.NULL):
        raise not_implemented(f"{node.key.upper()} of {kind_of(node.this)}")
    return INT64


@rule(exp.Length, type_of=_of_text)
def _length(node: exp.Expr) -> exp.Expr:
    return call("length", *_texts(node, "this"))


@rule(exp.ByteLength, type_of=_of_text)
def _byte_length(node: exp.Expr) -> exp.Expr:
    return cast(call("strlen", *_texts(node, "this")), INT64)


@rule(exp.Substring, type_of=always(STRING))
def _substring(node: exp.Expr) -> exp.Expr:
    start = coerced(node.args["start"], INT64, what="SUBSTR")
    arguments = [*_texts(node, "this"), start]
    if node.args.get("length") is not None:
        arguments.append(coerced(node.args["length"], INT64, what="SUBSTR"))
        return call("bq_substr_length", *arguments)
    return call("bq_substr", *arguments)


@rule(exp.Left, exp.Right, type_of=always(STRING))
def _end(node: exp.Expr) -> exp.Expr:
    length = coerced(node.expression, INT64, what=node.key.upper())
    return call(f"bq_{node.key}", *_texts(node, "this"), length)


@rule(exp.Split, type_of=always(STRINGS))
def _split(node: exp.Expr) -> exp.Expr:
    return call("string_split", *_texts(node, "this", "expression"))


@rule(exp.StrPosition, type_of=always(INT64))
def _position(node: exp.Expr) -> exp.Expr:
    _refuse(node, "position", "occurrence")
    return call("strpos", *_texts(node, "this", "substr"))


@rule(exp.Trim, type_of=always(STRING))
def _trim(node: exp.Expr) -> exp.Expr:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position")), "trim")
    if node.expression is None:
        # BigQuery removes all white space of Unicode, DuckDB only the space.
        return call(f"bq_{name}", *_texts(node, "this"))
    return call(name, *_texts(node, "this", "expression"))


@rule(exp.StartsWith, exp.EndsWith, type_of=always(BOOL))
def _edge(node: exp.Expr) -> exp.Expr:
    name = "starts_with" if isinstance(node, exp.StartsWith) else "ends_with"
    return call(name, *_texts(node, "this", "expression"))


@rule(exp.Replace, type_of=always(STRING))
def _replace(node: exp.Expr) -> exp.Expr:
    return call("bq_replace", *_texts(node, "this", "expression", "replacement"))


@rule(exp.Pad, type_of=always(STRING))
def _pad(node: exp.Expr) -> exp.Expr:
    name = "lpad" if node.args.get("is_left") else "rpad"
    fill = node.args.get("fill_pattern") or noted(text(" "), STRING)
    length = exp.Cast(
        this=coerced(node.expression, INT64, what=name.upper()), to=exp.DataType.build("INT")
    )
    return call(name, *_texts(node, "this"), length, coerced(fill, STRING, what=name.upper()))


@rule(exp.Repeat, type_of=always(STRING))
def _repeat(node: exp.Expr) -> exp.Expr:
    return call("repeat", *_texts(node, "this"), coerced(node.args["times"], INT64, what="REPEAT"))


@rule(exp.RegexpLike, type_of=always(BOOL))
def _matches(node: exp.Expr) -> exp.Expr:
    return call("regexp_matches", *_texts(node, "this", "expression"))


@rule(exp.RegexpReplace, type_of=always(STRING))
def _regexp_replaced(node: exp.Expr) -> exp.Expr:
    return call("regexp_replace", *_texts(node, "this", "expression", "replacement"), text("g"))


@rule(exp.RegexpExtract, type_of=always(STRING))
def _regexp_extracted(node: exp.Expr) -> exp.Expr:
    _refuse(node, "position", "occurrence")
    pattern = literal_of(node.expression)
    if pattern is None:
        raise not_implemented("REGEXP_EXTRACT with a pattern that is not a literal")
    groups = pattern.name.replace("\\(", "").replace("(?:", "").count("(")
    if groups == 1 and re.search(r"\)[?*{]|\|", pattern.name):
        # A group that takes no part gives null, which DuckDB can't tell from an empty one.
        raise not_implemented("REGEXP_EXTRACT of a group that may take no part")
    if groups > 1:
        raise invalid_query("Regular expression has more than one capturing group.")
    return call(
        "bq_regexp_extract", *_texts(node, "this", "expression"), exp.Literal.number(groups)
    )


_HASHES = {256: "sha256"}


@rule(exp.SHA2Digest, exp.SHA2, type_of=always(BYTES))
def _sha(node: exp.Expr) -> exp.Expr:
    length = literal_of(node.args["length"])
    if length is None or int(length.name) not in _HASHES:
        raise not_implemented("SHA512")
    return call("unhex", call("sha256", _hashed(node)))


@rule(exp.MD5, type_of=always(STRING))
def _md5_text(node: exp.Expr) -> exp.Expr:
    return call("md5", _hashed(node))


def first_md5_byte(value: exp.Expr) -> exp.Expr | None:
    """The number that `CONCAT('0x', SUBSTR(TO_HEX(MD5(x)), 1, 2))`, rewritten, is as INT64.

    DuckDB has the hash as a number too, in half the time. None for any other text.
    """
    joined = value.unnest()
    if not isinstance(joined, exp.DPipe) or joined.this != text("0x"):
        return None
    part = joined.expression
    if not isinstance(part, exp.Anonymous) or part.name != "bq_substr_length":
        return None
    whole, *range_ = part.expressions
    if not isinstance(whole, exp.Anonymous) or whole.name != "md5":
        return None
    if [one and one.name for one in map(literal_of, range_)] != ["1", "2"]:
        return None
    return cast(call("bq_md5_byte", *whole.expressions), INT64)


@rule(exp.MD5Digest, type_of=always(BYTES))
def _md5(node: exp.Expr) -> exp.Expr:
    return call("unhex", call("md5", _hashed(node)))


def _hashed(node: exp.Expr) -> exp.Expr:
    value: exp.Expr = node.this
    if kind_of(value) not in (STRING, BYTES):
        raise invalid_query(f"A hash of {kind_of(value)}: {shown(node)}")
    return value


@rule(exp.LowerHex, type_of=always(STRING))
def _hexadecimal(node: exp.Expr) -> exp.Expr:
    return call("lower", call("hex", coerced(node.this, BYTES, what="TO_HEX")))


@rule(exp.ToBase64, type_of=always(STRING))
def _base64(node: exp.Expr) -> exp.Expr:
    return call("to_base64", coerced(node.this, BYTES, what="TO_BASE64"))


plain(exp.Uuid, type_of=always(STRING))
