"""A command that is told to end leaves nothing half done, and no traceback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[1] / "databases" / "0005.db"

# The signal comes while the copy is made, after its first page.
UPGRADE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs behind it without
from replaytree import cli
from replaytree.tree import backup
backup._PAGES_AT_ONCE = 1
backup._progress = lambda *_: os.kill(os.getpid(), int(sys.argv[1]))
cli.main(["db", "upgrade", "--storage", "tree.db"])
"""


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "Stopped at once; what was committed stays.\n"), (signal.SIGTERM, 143, "")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_upgrade_that_is_ended_while_it_copies_leaves_the_database_alone(number, code, said, tmp_path):
    shutil.copy(SAMPLE, tmp_path / "tree.db")
    done = subprocess.run(
        [sys.executable, "-c", UPGRADE, str(int(number))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)
    assert [name for name in os.listdir(tmp_path) if not name.startswith("tree.db")] == []
    assert (tmp_path / "tree.db").read_bytes() == SAMPLE.read_bytes()
