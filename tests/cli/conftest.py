"""Running commands in this process."""

import pytest

from replaytree import cli


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with nothing set in the environment but that faults show where they are."""
    monkeypatch.chdir(tmp_path)
    for name in ("REPLAYTREE_STORAGE", "REPLAYTREE_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REPLAYTREE_TRACEBACK", "1")
    return tmp_path


@pytest.fixture
def replaytree(here, capsys):
    """Run a command: (exit code, what it printed, what it printed to standard error)."""

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run
