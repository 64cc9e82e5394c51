"""What commands that people type all day import: nothing that they do not use."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "torchvision",
    "sqlalchemy",
    "alembic",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "PIL",
    "plotly",
    "rich",
    "ray",
)
IN = """
import sys
from replaytree.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def imported(folder, *words):
    """The heavy packages that a command has imported by its end."""
    done = subprocess.run(
        [sys.executable, "-c", IN, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    modules = set(done.stderr.splitlines()[-1].split())
    assert "typer" in modules
    return modules & set(HEAVY), done.returncode


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["run", "--help-all"], 0),
        (["--version"], 0),
        (["run", "--replay", "2"], 2),
        (["spaces"], 0),
        (["describe", "--path", "poster"], 0),
        (["run", "--space", "x"], 2),
        (["run", "--dataset", "nope"], 2),
        (["run", "--space", "enas-rnn"], 2),
        (["run", "--dataset", "digits", "--space", "xu24", "--task", "foo"], 2),
        (["run", "--dataset", "digits", "--strategy", "nope"], 2),
        (["run", "--dataset", "ptb", "--space", "xu24"], 2),
        (["retrain", "--dataset", "nope", "--path", "conv32k3"], 2),
        (["retrain", "--dataset", "digits", "--path", "conv32k3", "--space", "nope"], 2),
        (["retrain", "--dataset", "digits"], 2),
    ],
    ids=str,
)
def test_help_and_wrong_options_import_nothing_heavy(here, words, code):
    assert imported(here, *words) == (set(), code)


def test_looking_at_a_database_imports_sqlalchemy_alone(replaytree, here):
    assert replaytree("run", "--name", "a", "--trainings", 1, "--epochs", 1, "--train-limit", 200, "--quiet")[0] == 0
    for words in (["list"], ["best", "a"], ["list", "--json"], ["resume", "a"]):
        assert imported(here, *words) == ({"sqlalchemy"}, 0), words
    assert imported(here, "export", "a", "--out", "a.onnx") == ({"sqlalchemy"}, 2), "nothing is retrained"


def test_a_search_of_digits_waits_neither_for_torchvision_nor_for_scikit_learn(here):
    code = "import replaytree.search.search, sys; replaytree.load_data('digits'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"torch", "torchvision", "sklearn"} == {"torch"}
