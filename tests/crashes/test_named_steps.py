"""Runs killed at every named step: the rerun ends as if nothing had been."""

from collections.abc import Callable

import pytest

from tests.crashes.conftest import Known, Target, without_interruption
from tests.crashes.judge import must_be_as
from tests.crashes.steps import STEPS, Step

Make = Callable[..., Target]
KINDS = ("empty", "live")


def needed(kind: str) -> list[Step]:
    return [step for step in STEPS if step.needs in ("", kind)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_that_nobody_interrupts_comes_to_every_step(
    kind: str, target: Make, uninterrupted: Known
) -> None:
    await without_interruption(kind, target, uninterrupted)
    ended, _ = uninterrupted[kind]
    assert {step.name for step in needed(kind)} - ended.met == set()


@pytest.mark.torture
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [pytest.param(step, id=step.name) for step in STEPS])
async def test_killed_at_a_step_twice_in_a_row_a_run_ends_as_if_nothing_had_been(
    step: Step, kind: str, target: Make, uninterrupted: Known
) -> None:
    if step not in needed(kind):
        return
    expected = await without_interruption(kind, target, uninterrupted)
    shop = target(kind)
    assert shop.kill(step.name).killed, "the run never came to this step"
    again = shop.kill(step.name)
    print(f"TWICE {kind}: {step.name}: {again.killed} (once={step.once})")
    shop.finish()
    await must_be_as(shop.shop, expected, after=step.name)
