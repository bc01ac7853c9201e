"""Files whose content is another one than before, where the contract refuses such files."""

from collections.abc import Mapping, Sequence

from techmart_fast.contract import Contract
from techmart_fast.errors import ChangedFileError
from techmart_fast.postgres import PostgresSink
from techmart_fast.records import Feed, SourceFile
from techmart_fast.sources import STANDARD_INPUT_NAME


async def refuse_changed(
    files: Mapping[Feed, Sequence[SourceFile]], *, contract: Contract, postgres: PostgresSink
) -> None:
    """See to it that no feed that refuses them has changed files; before anything is loaded.

    Raises:
        ChangedFileError: one has. The message names the file, and when it was loaded first.
    """
    for feed, found in files.items():
        if contract.rules(feed).changed_file == "reload":
            continue
        # Whatever is piped in has the same name.
        named = [file for file in found if file.name != STANDARD_INPUT_NAME]
        changed = await postgres.changed_files(named)
        if not changed:
            continue
        name, since = next(iter(changed.items()))
        others = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise ChangedFileError(
            f"{name}{others} has another content than when it was loaded, on "
            f"{since:%Y-%m-%d %H:%M:%S} UTC, and the contract refuses changed files of {feed}.",
            hint=f'Give it another name, or set changed_file = "reload" in [{feed}].',
        )
