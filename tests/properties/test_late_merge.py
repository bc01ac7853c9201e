"""A MERGE that a killed run had submitted, and that takes effect while the next run publishes."""

from pathlib import Path

from techmart_fast.records import Feed
from techmart_fast.warehouse import LoadTable
from tests.properties.histories import History
from tests.properties.shop_world import World

USER = (
    '{"user_id": "u1", "email": "u1@example.com", "registration_date": "2024-01-01", '
    '"country": "US", "age_group": "25-34", "customer_tier": "standard"}'
)


def sale(day: int) -> str:
    return (
        '{"transaction_id": "t1", "user_id": "u1", "product_id": null, "amount": 1, '
        f'"currency": "USD", "timestamp": "2025-03-0{day}T12:00:00Z", '
        '"payment_method": "paypal", "status": "completed"}'
    )


def days(world: World) -> list[str]:
    rows = world.bigquery.rows[LoadTable.TRANSACTIONS]
    return [str(row["transaction_date"]) for row in rows]


def test_a_merge_of_a_killed_run_that_comes_late_does_no_harm(tmp_path: Path) -> None:
    with World(tmp_path).opened() as world:
        world.receive(History(Feed.USERS, 1, (USER,), (1,), 1))
        world.receive(History(Feed.TRANSACTIONS, 1, (sale(1),), (1,), 1))
        first = world.run(world.files, load_job_bytes=1 << 20)
        world.bigquery.holds = "merge/transactions"
        while not any(job.name == "merge/transactions" for job in world.bigquery.jobs.values()):
            assert not first.ended
            world.let_go_on(first, 1)
        world.kill(first)
        assert days(world) == []
        world.bigquery.holds = ""
        world.receive(History(Feed.TRANSACTIONS, 1, (sale(2),), (1,), 1))
        second = world.run(world.files, load_job_bytes=1 << 20)
        while days(world) != ["2025-03-02"]:
            assert not second.ended
            world.let_go_on(second, 1)
        world.bigquery.finish_jobs()
        assert days(world) == ["2025-03-02"]
        world.let_go_on(second, None)
        assert days(world) == ["2025-03-02"]
