"""Any records, cut into any batches, in any order, cut off anywhere: what a plain model says.

hypothesis draws files of few keys (duplicates, corrections, orphans, garbage), cuts them into
blocks and lanes, and draws an order in which their batches come, again and again, under two
contracts, between releases, restarts and writes of runs that were replaced. Any of these may be cut
off at any statement. After every step PostgreSQL must hold what `tests.properties.ledger` holds.

To replay what failed: run again (hypothesis keeps failures in `.hypothesis`), paste the printed
`@reproduce_failure(…)` above the test, or give the seed to pytest: `--hypothesis-seed=NUMBER`.
The long form: `make torture ARGS=tests/postgres/test_sink_any_history.py`.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from techmart_fast.local import LocalPostgres
from tests.postgres.cut_off import CutOff, Wire
from tests.postgres.history_shop import Delivery, Late, Release, Rest, Restart, Shop, Step
from tests.postgres.places import another_session
from tests.properties.histories import files

_cut_offs = st.one_of(
    st.none(),
    st.builds(CutOff, at=st.integers(0, 14), reaches=st.booleans(), twice=st.booleans()),
)


@st.composite
def histories(draw: st.DrawFn, *, most: int = 4, most_lines: int = 5) -> list[Step]:
    """All batches of some files, some again, in any order; then the rest, and a release."""
    every = [
        (file, block, lane, "strict")
        for file in draw(files(most=most, most_lines=most_lines))
        for block in range(len(file.blocks))
        for lane in range(file.lanes)
    ]
    again = draw(st.lists(st.sampled_from(every), max_size=4))
    otherwise = [
        (file, block, lane, "lenient")
        for file, block, lane, _ in draw(st.lists(st.sampled_from(every), max_size=4))
    ]
    coming = [Delivery(*one, draw(_cut_offs)) for one in (*every, *again, *otherwise)]
    late = st.one_of(st.sampled_from(coming).map(Late), st.just(Late(Release(2, None))))
    others = st.one_of(
        st.builds(Release, max_rows=st.integers(1, 3), cut_off=_cut_offs), st.just(Restart()), late
    )
    steps: list[Step] = list(draw(st.permutations([*coming, *draw(st.lists(others, max_size=5))])))
    rest = Rest(tuple(Delivery(*one, None) for one in dict.fromkeys((*every, *otherwise))))
    return [*steps, rest, Release(2, None)]


@pytest.fixture
def play(
    database: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Sequence[Step]], None]]:
    shop = Shop(database, Wire(monkeypatch))
    with asyncio.Runner() as runner:
        session = another_session(database)
        shop.other = runner.run(session.__aenter__())
        yield lambda steps: runner.run(shop.play(steps))
        runner.run(session.__aexit__(None, None, None))


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@_settings(25)
@given(steps=histories())
def test_any_history_ends_where_the_model_says(
    steps: list[Step], play: Callable[[Sequence[Step]], None]
) -> None:
    play(steps)


@pytest.mark.torture
@_settings(500)
@given(steps=histories(most=8, most_lines=8))
def test_many_histories_end_where_the_model_says(
    steps: list[Step], play: Callable[[Sequence[Step]], None]
) -> None:
    play(steps)
