"""A real process whose database is deleted while it trains."""

from __future__ import annotations

import subprocess
import sys
import time

from replaytree.search import stored
from replaytree.tree import ReplayTree, open_engine


def test_a_database_deleted_in_mid_run_ends_it_and_what_was_stored_goes_on(tmp_path):
    file, saved = tmp_path / "tree.db", tmp_path / "tree.rescued.db"
    run = [sys.executable, "-m", "replaytree", "run", "--name", "lost", "--dataset", "digits", "--train-limit", "60"]
    run += ["--width", "0.0625", "--max-layers", "2", "--epochs", "1", "--trainings", "10000", "--quiet"]
    process = subprocess.Popen(
        [*run, "--storage", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        deadline = time.monotonic() + 120
        while not (file.exists() and _episodes(file)):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
        for path in tmp_path.glob("tree.db*"):
            path.unlink()
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    last = told.splitlines()[-1]
    assert process.returncode == 2
    assert "was deleted or moved away while it was in use" in last
    assert f"are saved in {saved}" in last
    engine = open_engine(f"sqlite:///{saved}")
    done = ReplayTree.open(engine, "lost").training_count
    assert done >= 1
    assert stored.check(engine) == []
    resume = [sys.executable, "-m", "replaytree", "resume", "lost", "--trainings", "1", "--storage", str(saved)]
    resumed = subprocess.run(resume, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert (resumed.returncode, ReplayTree.open(engine, "lost").training_count) == (0, done + 1), resumed.stderr
    engine.dispose()


def _episodes(file):
    """0 while the process is making the database."""
    try:
        engine = open_engine(f"sqlite:///{file}", create=False)
    except Exception:
        return 0
    try:
        return ReplayTree.open(engine, "lost").episode_count
    except Exception:
        return 0
    finally:
        engine.dispose()
