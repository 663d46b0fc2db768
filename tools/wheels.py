"""Resolves the base dependencies to binary wheels for aarch64 Linux, and fails where one is missing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = (
    "manylinux2014_aarch64",
    "manylinux_2_17_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux_2_28_aarch64",
)


def main() -> int:
    """Return 0 when every Python has its wheels."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    missing = 0
    for python in PYTHONS:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
                "--disable-pip-version-check", "--only-binary", ":all:", "--implementation", "cp",
                "--python-version", python, "--target", folder,
            ]  # fmt: skip
            for platform in PLATFORMS:
                command += ["--platform", platform]
            done = subprocess.run(
                [*command, *project["dependencies"]], capture_output=True, text=True, check=False
            )
        if done.returncode:
            missing += 1
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            print(f"Python {python} on aarch64: {errors[-1] if errors else done.stderr.strip()}")
        else:
            print(f"Python {python} on aarch64: every base dependency has a wheel")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
