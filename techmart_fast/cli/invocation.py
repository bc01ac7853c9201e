"""What every command shares: its common options, and how they become settings and logging."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from techmart_fast.settings import Settings

_DEFAULT_HOME = "~/.techmart"


@dataclass(slots=True)
class Invocation:
    """One call of the command line. The common options fill it while they are parsed."""

    config: Path | None = None
    home: Path | None = None
    verbose: bool = False
    quiet: bool = False
    log_json: bool = False
    debug: bool = False

    def settings(self, flags: Mapping[str, Mapping[str, object]] | None = None) -> "Settings":
        """The settings, with `--home` and the command's own `flags` (by section) above all else.

        Raises:
            ConfigError: a setting is wrong.
        """
        from techmart_fast.settings import load_settings

        given = {section: dict(values) for section, values in (flags or {}).items()}
        given.setdefault("pipeline", {})["home"] = self.home
        settings = load_settings(given, file=self.config)
        self.home = settings.home
        return settings

    @property
    def home_folder(self) -> Path:
        """The home, as far as it is known without reading the settings file."""
        home = self.home or Path(os.environ.get("TECHMART_HOME") or _DEFAULT_HOME)
        return home.expanduser().absolute()

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Write the log to standard error while a command works."""
        import logging

        from techmart_fast.monitoring.logs import logging_to_stderr

        terminal = sys.stderr.isatty()
        if self.quiet:
            level = logging.ERROR
        elif self.verbose:
            level = logging.DEBUG
        else:
            # On a terminal the progress display tells what the INFO events tell elsewhere.
            level = logging.WARNING if terminal else logging.INFO
        json_lines = self.log_json or not terminal
        with logging_to_stderr(level=level, json_lines=json_lines, colors=use_color(sys.stderr)):
            yield


def use_color(stream: object) -> bool:
    """Whether a stream gets colours: a terminal, and the NO_COLOR convention does not forbid it."""
    is_terminal = bool(getattr(stream, "isatty", lambda: False)())
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
