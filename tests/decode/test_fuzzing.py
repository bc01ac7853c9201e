"""What the fuzzer begins with and what it once found; and in `make torture`, the fuzzer itself."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from fuzz_targets import SEEDS, TARGETS, replay

HARNESS = Path(__file__).with_name("fuzz_decoders.py")
SECONDS = 60
LONGEST_INPUT_SECONDS = 60
CHOICES = [b"\x03\x05", b"\x30\x05", b"\x43\x03", b"\x01\x00", b"\x00\x84"]

FINDS: list[tuple[str, bytes]] = [
    # Broken ones in a row, and good ones behind them that are nested: found by reasoning.
    ("json_array", b"[" + b'{"a":[{"b":1]},' * 40 + SEEDS["json_array"][1][1:] + b"\x35\x05"),
    ("json_array", b"[" + b'{"a":[{"b":1},' * 40 + SEEDS["json_array"][1][1:] + b"\x35\x05"),
]
"""Target and input. Whatever the fuzzer finds is added here, made as small as it gets."""


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_hold(target: str) -> None:
    for seed in SEEDS.get(target, [seed for seeds in SEEDS.values() for seed in seeds]):
        for choice in CHOICES:
            replay(target, seed + choice)


@pytest.mark.parametrize(("target", "data"), FINDS)
def test_what_was_found_once_holds(target: str, data: bytes) -> None:
    replay(target, data)


@pytest.mark.torture
@pytest.mark.skipif(find_spec("atheris") is None, reason="the fuzzer atheris is not installed")
@pytest.mark.parametrize("target", TARGETS)
def test_coverage_guided_fuzzing_finds_nothing(tmp_path: Path, target: str) -> None:
    fuzzed = subprocess.run(
        [
            sys.executable,
            str(HARNESS),
            target,
            str(tmp_path / "inputs"),
            f"-max_total_time={SECONDS}",
            f"-timeout={LONGEST_INPUT_SECONDS}",
            "-rss_limit_mb=2048",
            "-max_len=3000",
            f"-artifact_prefix={tmp_path}/",
        ],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=10 * (SECONDS + LONGEST_INPUT_SECONDS),
        check=False,
    )
    finds = {path.name: path.read_bytes() for path in tmp_path.glob("*-*") if path.is_file()}
    assert fuzzed.returncode == 0, f"{finds}\n{fuzzed.stderr[-4_000:]}"
    assert "Done " in fuzzed.stderr, "it ended before its time"
