"""The package's front door: every name is there, and asking for one loads no more than it needs."""

from __future__ import annotations

import subprocess
import sys

import edgeai_core


def test_every_public_name_is_there() -> None:
    for name in dir(edgeai_core):
        assert getattr(edgeai_core, name).__name__ == name or name == "Progress"


def test_a_name_loads_without_numpy_and_pydantic() -> None:
    code = "from edgeai_core import *; import sys; print({'numpy', 'pydantic', 'sqlite3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
