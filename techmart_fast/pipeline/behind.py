"""What a run or a sync says of a warehouse that is not, or only partly, up to date."""

from techmart_fast.errors import SpoolError, WarehouseBehindError, WarehouseError


def behind_error(error: WarehouseError | SpoolError, said: str) -> WarehouseBehindError:
    """What the end of a run says of a warehouse that could not be brought up to date."""
    todo = "" if error.transient else error.hint
    return WarehouseBehindError(
        f"{said}: {error.args[0]}",
        hint=f"{todo} Run again: the next run carries on where this one stopped.".lstrip(),
        transient=error.transient,
    )


def expired_note(days: int) -> str:
    """What is to note of days whose facts have expired in the warehouse."""
    of_days = "1 day" if days == 1 else f"{days} days"
    return (
        f"Transactions came in for {of_days} whose facts have expired in the warehouse: its "
        "reports of that time stay as they are. A transaction that was moved out of such a day is "
        "counted there and on its new day."
    )
