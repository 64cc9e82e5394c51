"""Tab completes the names of searches, spaces and architectures, in a real bash."""

import shutil
import subprocess
import sys

import pytest

from replaytree.records import PathEvaluation
from replaytree.search.search import Search
from replaytree.space import LabelSpace


class Ones:
    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([1.0] * len(path)) for path in paths]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["best", ""], ["first", "other"]),
        (["resume", "fi"], ["first"]),
        (["best", "--storage", "elsewhere.db", ""], ["there"]),
        (["show", "nothing"], []),
        (["best", "--storage", "missing.db", ""], []),
        (["run", "--space", "xu"], ["xu24"]),
        (["describe", "--space", "nascell", "--path", ""], ["readme"]),
    ],
)
def test_names(here, typed, offered):
    for name, file in (("first", "replaytree.db"), ("other", "replaytree.db"), ("there", "elsewhere.db")):
        space = LabelSpace(["a"], max_layers=2)
        Search(name=name, storage=file, space=space, evaluator=Ones())
    (here / "replaytree").write_text(f'#!/bin/sh\nexec {sys.executable} -m replaytree "$@"\n')
    (here / "replaytree").chmod(0o755)
    words = " ".join(f"'{word}'" for word in ["replaytree", *typed])
    script = f"""
        PATH="$PWD:$PATH"
        eval "$(_REPLAYTREE_COMPLETE=source_bash replaytree)"
        COMP_WORDS=({words}); COMP_CWORD={len(typed)}
        $(complete -p replaytree | sed -E 's/.*-F ([^ ]+) .*/\\1/') replaytree
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.stderr) == (offered, "")
    assert not (here / "missing.db").exists()
