"""What a server's own output says went wrong, in one line, and what to do about it."""

import re
from contextlib import suppress
from pathlib import Path

_TAIL_BYTES = 8192
_CRASH_BYTES = 16 << 20
_CRASH = re.compile(rb"\bPANIC: +(.+)")
_TELLING = re.compile(r"\b(?:FATAL|PANIC|ERROR): +(.+)|\berror: +(.+)|^(\w*Error: .+)")


def complaint(output: bytes) -> str:
    """The last line of an output that says what is wrong, without the server's prefix.

    The very last line, when none says so; empty for no output.
    """
    lines = output.decode(errors="replace").strip().splitlines()
    found = [match for line in lines if (match := _TELLING.search(line))]
    # What follows from a full disk is said later, and says less.
    found = [match for match in found if "No space left" in match[0]] or found
    telling = next(part for part in found[-1].groups() if part) if found else ""
    return (telling or (lines[-1] if lines else "")).strip().rstrip(".")


def complaint_in(log: Path, start: int) -> str:
    """The complaint in a log file from byte `start` on; empty when there is none."""
    try:
        with log.open("rb") as lines:
            lines.seek(max(start, log.stat().st_size - _TAIL_BYTES))
            return complaint(lines.read())
    except OSError:
        return ""


def crash_in(log: Path, start: int) -> str:
    """What the server said when it crashed after byte `start` of its log; empty if it did not."""
    with suppress(OSError), log.open("rb") as lines:
        lines.seek(start)
        # The end of a long log says only that the server is coming back.
        if found := _CRASH.search(lines.read(_CRASH_BYTES)):
            return found[1].decode(errors="replace").rstrip(".")
    return ""


def advice(reason: str) -> str:
    """What to do about a complaint, or nothing."""
    if "No space left" in reason or "quota" in reason:
        return "Free some space, or name a folder on another disk with TECHMART_HOME."
    if "not permitted" in reason or "refused" in reason or "as root" in reason:
        return "Run the command as an ordinary user, or set POSTGRES_HOST to use another server."
    return ""
