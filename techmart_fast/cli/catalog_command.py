"""`dev catalog-server`: a simulated REST API of products."""

from pathlib import Path
from typing import Any

import click

from techmart_fast.cli.framework import Command, Facts, Number
from techmart_fast.cli.invocation import Invocation

PAGINATIONS = ("page", "offset", "cursor", "link", "next", "all")
RETRY_AFTER = ("seconds", "date", "none")
DRIFTS = ("new-field", "missing-field", "renamed-field", "type-change", "envelope")
MISBEHAVIOURS = (
    *("never-answers", "endless-pages", "same-page", "looping-cursor", "broken-json"),
    *("html-page", "gzip-bomb", "nested-bomb", "redirect", "redirect-loop", "wrong-type"),
)


@click.command(
    name="catalog-server",
    cls=Command,
    examples=(
        ("A thousand products on a port of your choice", "dev catalog-server --port 9051"),
        (
            "Ten requests a second, now and then an error, a cut connection, a slow answer",
            "dev catalog-server --rate 10 --fail 0.05 --cut 0.02 --latency 80 --jitter 60",
        ),
        (
            "Prices get another type from page 3 on; a token is needed",
            "dev catalog-server --drift type-change --drift-from 3 --token secret",
        ),
        ("For a script: its address as JSON, then it runs on", "dev catalog-server --json"),
    ),
    facts=Facts(
        title="Addresses",
        rows=(
            ("/products", "pages by --pagination, or by the words of the query"),
            ("/page/products", "page, per_page; the body tells total and total_pages"),
            ("/offset/products", "offset, limit; the body tells total"),
            ("/cursor/products", "cursor, limit; the body tells next_cursor and has_more"),
            ("/link/products", "a bare array; the Link header tells next, prev, first, last"),
            ("/next/products", "the body tells the addresses next and previous"),
            ("/all/products", "all products in one array"),
            ("?updated_since=TIME", "only products changed then or later, with any pages"),
            ("/misbehave/KIND/products", "as with --misbehave KIND, for this request"),
            ("/stats", "counts: requests, answers by status, most in a second, at once"),
            ("POST /revise?products=N", "N products change, an hour later"),
        ),
    ),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--products",
    type=click.IntRange(min=0),
    default=1_000,
    show_default=True,
    metavar="N",
    help="Number of products.",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Serve the products of this JSON file (one a line) instead of generated ones.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="S",
    help="Decides the products, and what befalls the n-th request.",
)
@click.option(
    "--pagination",
    type=click.Choice(PAGINATIONS),
    default="page",
    show_default=True,
    help="Kind of pages where a request does not choose.",
)
@click.option(
    "--page-size",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="Products on a page where a request does not choose.",
)
@click.option(
    "--max-page-size",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    metavar="N",
    help="Most products on a page, whatever a request asks for.",
)
@click.option(
    "--rate",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="R",
    help="Requests in any rolling second, over all clients; more get 429. 0 is no limit.",
)
@click.option(
    "--retry-after",
    type=click.Choice(RETRY_AFTER),
    default="seconds",
    show_default=True,
    help="How a 429 says when to come again.",
)
@click.option(
    "--fail",
    type=Number(),
    default="0",
    show_default=True,
    metavar="RATE",
    help="Share of requests answered with a 5xx: 0 to 1.",
)
@click.option(
    "--cut",
    type=Number(),
    default="0",
    show_default=True,
    metavar="RATE",
    help="Share of answers whose connection is cut in the middle: 0 to 1.",
)
@click.option(
    "--latency",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="MS",
    help="Milliseconds that an answer takes.",
)
@click.option(
    "--jitter",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="MS",
    help="By how much an answer may be quicker or slower than --latency.",
)
@click.option(
    "--drift", type=click.Choice(DRIFTS), help="Products change their shape in this way …"
)
@click.option(
    "--drift-from",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="… from this page on …",
)
@click.option(
    "--drift-field",
    default="price",
    show_default=True,
    metavar="NAME",
    help="… in this field (missing, renamed, other type).",
)
@click.option("--misbehave", type=click.Choice(MISBEHAVIOURS), help="Go wrong at /products.")
@click.option(
    "--redirect-to",
    default="",
    metavar="URL",
    help="Where `--misbehave redirect` leads. Without it: this server under another host name.",
)
@click.option("--token", metavar="TEXT", help="Ask for `Authorization: Bearer TEXT`.")
@click.option("--api-key", metavar="TEXT", help="Ask for `X-Api-Key: TEXT`.")
@click.option("--basic", metavar="USER:PASSWORD", help="Ask for basic credentials.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when it is ready.")
@click.pass_obj
def catalog_server(invocation: Invocation, /, *, as_json: bool, **choice: Any) -> int:
    """Run a simulated catalogue of products to load from.

    A REST API as slow and as unreliable as you ask for, on this machine only, until Ctrl-C. The
    same options give the same products, and the same fate to the n-th request. If several kinds of
    credentials are asked for, one is enough.
    """
    from techmart_fast.cli.cataloguing import serve_catalog

    return serve_catalog(choice, quiet=invocation.quiet, as_json=as_json)
