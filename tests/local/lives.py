"""A command of its own process that uses the embedded PostgreSQL until its input ends.

`python lives.py HOME` prints one JSON line when it is ready (or has failed) and waits.
"""

import asyncio
import json
import sys
from pathlib import Path

from techmart_fast.errors import TechmartError
from techmart_fast.local import LocalHome, LocalOptions, embedded


async def main(home: LocalHome) -> int:
    options = LocalOptions(shared_buffers_bytes=16 << 20)
    try:
        async with embedded(home, standin=False, options=options) as endpoints:
            postgres = endpoints.postgres
            assert postgres is not None
            print(
                json.dumps({"pid": postgres.pid, "sockets": str(postgres.socket_dir)}), flush=True
            )
            await asyncio.to_thread(sys.stdin.read)
    except TechmartError as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(LocalHome(Path(sys.argv[1])))))
