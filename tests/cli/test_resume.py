"""A run has a goal, and `resume` goes on to it."""

import re
import sqlite3
import subprocess
import sys

import pytest

from replaytree import Convolution, LabelSpace, PathEvaluation, Search, chain_space
from replaytree.errors import SearchExists

QUICK = ["--epochs", "1", "--train-limit", "200", "--max-layers", "3", "--quiet"]


def trainings(here):
    with sqlite3.connect(here / "replaytree.db") as connection:
        return connection.execute("select count(*) from episodes where trained").fetchone()[0]


def test_a_killed_run_is_resumed_to_its_goal_and_then_says_that_it_is_reached(replaytree, here):
    command = [sys.executable, "-m", "replaytree", "run", "--name", "far", "--trainings", "5", *QUICK[:-1]]
    process = subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert any(" 2/5 trainings" in line for line in iter(process.stdout.readline, ""))
    process.kill()
    process.communicate(timeout=60)
    assert 2 <= trainings(here) < 5
    code, out, _ = replaytree("resume", "far", "--quiet")
    assert (code, trainings(here)) == (0, 5)
    assert "5 trainings" in out
    code, out, err = replaytree("resume", "far")
    assert (code, err, trainings(here)) == (0, "", 5)
    assert out == (
        "search far has reached its goal, 5 trainings; `replaytree resume far --trainings 100` trains 100 more\n"
    )
    # What is asked beyond counts from now, and is the goal from then on.
    code, out, _ = replaytree("resume", "--trainings", 1)
    assert (code, trainings(here)) == (0, 6)
    assert "; 1 training to do, 5 trainings before; " in out.splitlines()[0]
    assert "\nNext (trainings are counted from now):\n" in out
    assert "its goal, 6 trainings" in replaytree("resume", "--last")[1]


def test_a_search_of_an_earlier_version_has_no_goal(replaytree, here):
    assert replaytree("run", "--name", "old", "--trainings", 1, *QUICK)[0] == 0
    with sqlite3.connect(here / "replaytree.db") as connection:
        connection.execute("delete from goals")
    code, out, _ = replaytree("resume", "old")
    assert (code, out) == (0, "search old has no goal; `replaytree resume old --trainings 100` trains 100 more\n")
    assert trainings(here) == 1


class Table:
    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([0.5] * len(path)) for path in paths]


def test_a_search_with_an_evaluator_of_its_own_goes_on_in_python(replaytree, here):
    own = {"space": LabelSpace(("a", "b"), max_layers=2), "evaluator": Table(), "name": "it's", "max_layers": 2}
    Search(**own).run(trainings=1)
    code, out, err = replaytree("resume", "it's")
    assert (code, err) == (0, "")
    assert out == (
        "search it's has reached its goal, 1 training; its data or evaluator are of your own, so it goes on in Python: "
        'replaytree.Search.resume("it\'s", ...).run(trainings=100), giving them again\n'
    )
    again = re.escape("""; go on with Search.resume("it's", ...), or choose another name (--name, name=)""")
    with pytest.raises(SearchExists, match=again):
        Search(**own)


def test_hours_count_what_was_used_before(replaytree, here):
    assert replaytree("run", "--name", "timed", "--hours", 1, "--episodes", 2, *QUICK)[0] == 0
    with sqlite3.connect(here / "replaytree.db") as connection:
        [(seconds, used)] = connection.execute("select seconds, used_seconds from goals").fetchall()
        assert seconds == 3600.0
        assert 0.0 < used < 600.0
        connection.execute("update goals set episodes = 9, used_seconds = 3600.5")
    assert "has reached its goal, 9 episodes or 1 hour" in replaytree("resume", "timed")[1]
    with sqlite3.connect(here / "replaytree.db") as connection:
        connection.execute("update goals set episodes = 3, used_seconds = 100.0")
    assert replaytree("resume", "timed", "--quiet")[0] == 0
    with sqlite3.connect(here / "replaytree.db") as connection:
        [(episodes, seconds, used)] = connection.execute("select episodes, seconds, used_seconds from goals").fetchall()
    assert (episodes, round(seconds, 6)) == (3, 3600.0)
    assert 100.0 < used < 700.0


def test_the_search_that_is_meant(replaytree, here):
    assert replaytree("best")[2].startswith("Error: sqlite:///replaytree.db cannot be opened: there is no file")
    for name in ("one", "two"):
        assert replaytree("run", "--name", name, "--trainings", 1, *QUICK)[0] == 0
        if name == "one":
            assert replaytree("best") == replaytree("best", "one")
            node = re.search(r"^ *(\d+)", replaytree("best")[1].splitlines()[1])[1]
            assert replaytree("show", node) == replaytree("show", "one", node)
    for words in (["best"], ["resume"], ["report"], ["show", "1"]):
        code, _, err = replaytree(*words)
        assert (code, err) == (2, "Error: which search is meant? Name one of one, two, or give --last\n")
    assert replaytree("best", "--last") == replaytree("best", "two")
    assert replaytree("best", "one", "--last")[0] == 2
    code, _, err = replaytree("best", "tow")
    assert code == 2
    assert "did you mean 'two'? it has: one, two" in err


def test_limits_that_leave_only_pooling_are_an_error(replaytree, here):
    code, out, err = replaytree("run", "--max-params", "100", "--trainings", 1, *QUICK)
    assert (code, out) == (2, "")
    assert err == (
        "Error: --max-params 100 leaves only layers that learn nothing, such as pooling: conv32k3, the least that "
        "learns, has 178 parameters; raise it, or lower --width\n"
    )
    # Behind pooling there is room for a convolution.
    assert replaytree("run", "--max-flops", "3k", "--name", "some", "--trainings", 1, *QUICK)[0] == 0


def test_a_run_says_before_it_starts_how_far_it_goes(replaytree, here):
    out = replaytree("run", "--trainings", 1, *QUICK[:-1])[1]
    assert "; 1 training to do; Ctrl-C stops and keeps what is done" in out.splitlines()[0]
    # What may take long says for how long: without --trainings, or with pictures of one's own (test_pictures.py).
    out = replaytree("run", "--hours", 0.0001, *QUICK[:-1])[1]
    assert "0.0001 hours to do; Ctrl-C" in out.splitlines()[0]


def test_limits_are_raised_and_never_lowered(replaytree, here):
    assert replaytree("run", "--name", "more", "--trainings", 2, *QUICK)[0] == 0
    code, out, _ = replaytree("resume", "more", "--max-layers", 5, "--epochs", "1:2")
    assert code == 0
    assert "`replaytree resume more --max-layers 5 --epochs 1:2 --trainings 100` trains 100 more" in out
    for words, message in (
        (["--max-layers", 2], "max_layers is 2, and the search has 3 by now; it can only be raised (--max-layers)"),
        (["--max-layers", "x"], "--max-layers is 'x'; write a whole number, as in 12, 100k or 5M"),
        (["--epochs", "9:1"], "epochs are 9:1, but the budget must not fall; write --epochs 1:9"),
    ):
        code, out, err = replaytree("resume", "more", "--trainings", 1, *words)
        assert (code, out, err) == (2, "", f"Error: {message}\n")
    assert replaytree("resume", "more", "--max-layers", 5, "--epochs", "1:2", "--trainings", 3, "--quiet")[0] == 0
    with sqlite3.connect(here / "replaytree.db") as connection:
        found = connection.execute("select depth_bound, epochs from episodes order by number").fetchall()
        # Half-way from 2 to 5 layers is at 3.5, where the epochs reach 2.
        assert found == [(2, 1), (3, 1), (3, 2), (4, 2), (5, 2)]
    assert replaytree("db", "check")[0] == 0


def test_a_space_that_only_its_author_has_is_asked_for_in_one_line(replaytree, here):
    options = {"input_shape": (1, 8, 8), "num_classes": 10, "max_layers": 2}
    space = chain_space({"kernel": [1, 3]}, lambda kernel: Convolution(8, kernel), **options)
    search = Search(name="own", dataset="digits", space=space)
    search.tree.engine.dispose()
    code, out, err = replaytree("resume", "own", "--trainings", 1)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "which the database does not hold (ChainPlan is your own code); give it again in Python:" in err
    code, out, _ = replaytree("db", "check")
    assert (code, out.splitlines()[0]) == (
        0,
        "search own: shapes and costs of its layers are not checked: ChainPlan is your own code",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("replace(space_json, '\"format\": 1', '\"format\": 2')", "by a newer replaytree (format 2, here 1); upgrade"),
        ("substr(space_json, 2)", "its stored space cannot be used"),
        ("replace(space_json, '\"zoph\"', '\"zoph-2\"')", "of kind 'zoph-2', which is not known here"),
    ],
)
def test_a_space_that_cannot_be_read_is_one_line(replaytree, here, change, message):
    search = Search(name="first", dataset="digits", space="zoph", max_layers=2)
    search.tree.engine.dispose()
    with sqlite3.connect(here / "replaytree.db") as connection:
        connection.execute(f"update searches set space_json = {change}")
    code, out, err = replaytree("resume", "first", "--trainings", 1)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    code, out, _ = replaytree("db", "check")
    assert code == 1
    assert "column space_json" in out
