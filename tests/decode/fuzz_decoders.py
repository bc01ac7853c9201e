"""Fuzzes a decoder, guided by coverage. Needs the package atheris.

    python tests/decode/fuzz_decoders.py csv /tmp/csv -max_total_time=300

The first word is one of `TARGETS`, the second a folder for inputs; options for libFuzzer follow.
An input that was found goes into `FINDS` of test_fuzzing.py, where it is run without atheris.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["techmart_fast.decode", "techmart_fast.sources"]):
    import fuzz_targets


def main(target: str, folder: str, *options: str) -> None:
    """Fuzz until an option of libFuzzer says that it is enough; does not return."""
    words = fuzz_targets.write_seeds(target, Path(folder))
    command = [sys.argv[0], folder, f"-dict={words}", *options]
    atheris.Setup(command, lambda data: fuzz_targets.replay(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
