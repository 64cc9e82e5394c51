"""The scripts beside this file, in short: what they find wrong is in their exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# In one process, because importing torch takes longer than either.
SCRIPTS = """
import sys
sys.path.insert(0, sys.argv[1])
import crowd, kill_many
kills = ["--kills", "10", "--seed", "3"]
killed = kill_many.main(kills) or kill_many.main([*kills, "--state"])
sys.exit(killed or crowd.main(["--processes", "4", "--seconds", "2"]))
"""


def test_kills_and_a_crowd_lose_nothing_and_count_nothing_twice():
    command = [sys.executable, "-c", SCRIPTS, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    kills = re.findall(r"10 kills: (\d+) at its start, (\d+) in a transaction, (\d+) between", done.stdout)
    assert [sum(map(int, counts)) for counts in kills] == [10, 10], "without and with an evaluator that has a state"
    assert done.stdout.count("episodes lost: 0; evaluations too many: 0; contradictions: 0") == 2
    assert done.stdout.count("equal to an uninterrupted search: episodes True, nodes True, states True") == 2
    assert "processes that failed: 0; contradictions: 0" in done.stdout
    assert "locked" not in done.stdout + done.stderr


def test_layers_that_killed_the_process_are_trained_and_get_the_right_gradient():
    command = [sys.executable, str(Path(__file__).with_name("stress_layers.py")), "--found"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 cases, 0 failed" in done.stdout
