import gzip
from itertools import product

import pandas as pd
import pytest
from sqlalchemy import text

from replaytree import Search
from replaytree.config import Budget
from replaytree.errors import DataError
from replaytree.evaluate.tabular import TabularEvaluator, read_table
from replaytree.tree import check

ROWS = "arch,accuracy_0,accuracy_1,params,flops\na,0.5,0.7,1,10\nb,0.4,0.4,2,20\na b,0.8,0.9,3,30\nb b,0.1,,4,40\n"


def write(tmp_path, text):
    file = tmp_path / "table.csv"
    file.write_text(text)
    return file


@pytest.fixture
def table(tmp_path):
    return read_table(write(tmp_path, ROWS))


def test_a_table_is_read(table):
    assert table.labels == ("a", "b")
    assert table.accuracies == {(0,): (0.5, 0.7), (1,): (0.4, 0.4), (0, 1): (0.8, 0.9), (1, 1): (0.1,)}
    assert table.true_accuracy((0, 1)) == pytest.approx(0.85)
    assert table.best_accuracy == pytest.approx(0.85)
    assert table.space().cost((0, 1)) == (3, 30)


def test_legal_is_what_the_table_goes_on_with(table):
    space = table.space()
    assert space.legal(()) == (True, True)
    assert space.legal((0,)) == (False, True)


def test_one_of_several_trainings_is_drawn_from_the_seed(table):
    evaluator = TabularEvaluator(table)
    drawn = {evaluator.evaluate([(0, 1)], budget=Budget(1), seed=seed)[0].accuracies for seed in range(40)}
    assert drawn == {(0.5, 0.8), (0.5, 0.9), (0.7, 0.8), (0.7, 0.9)}
    first, again = (evaluator.evaluate([(0, 1)], budget=Budget(1), seed=3) for _ in range(2))
    assert first == again


def test_every_look_up_is_a_training_of_its_own(table):
    evaluator = TabularEvaluator(table)
    together = [evaluator.evaluate([(0, 1), (0,)], budget=Budget(1), seed=seed) for seed in range(40)]
    assert {(first.accuracies[0], second.accuracies[0]) for first, second in together} == {
        (0.5, 0.5), (0.5, 0.7), (0.7, 0.5), (0.7, 0.7)
    }  # fmt: skip
    assert {evaluation.shared for both in together for evaluation in both} == {0}


CELLS = """arch,acc
|x~0|+|none~0|none~1|,50
|x~0|+|x~0|none~1|,60
|none~0|+|none~0|none~1|,10
|x~0|+|x~0|x~1|,70
|none~0|+|none~0|x~1|,20
|x~0|+|none~0|x~1|,40
"""


def read_cells(tmp_path, text=CELLS):
    return read_table(write(tmp_path, text), accuracy=["acc"], percent=True, complete="none")


def test_cells_in_the_notation_of_nas_bench_201_and_completion(tmp_path):
    table = read_cells(tmp_path)
    x, none = (table.labels.index(label) for label in ("x", "none"))
    assert table.true_accuracy((x, x)) == pytest.approx(0.6)
    assert table.true_accuracy((x, none, x)) == pytest.approx(0.4)
    with pytest.raises(DataError, match="no row for 'none x'"):
        table.true_accuracy((none, x))
    assert table.space().legal((none,)) == tuple(label == "none" for label in table.labels)


def test_a_prefix_that_is_no_network_is_not_measured_and_never_0(tmp_path):
    """Of x none none nothing reaches the last node. A whole architecture has the accuracy of its row, whatever it is.

    (none, none, x) is reached from node 1 alone, which nothing reaches.
    """
    table = read_cells(tmp_path)
    x, none = (table.labels.index(label) for label in ("x", "none"))
    assert table.no_networks == {(x, none, none), (none, none, none), (none, none, x)}
    assert table.trainings((x,)) is None
    of = TabularEvaluator(table).evaluate([(x, x, none), (none, none, x), (x,)], budget=Budget(1), seed=0)
    assert [each.accuracies for each in of] == [(None, 0.6, 0.6), (None, None, 0.2), (0.5,)]
    assert table.true_accuracy((x,)) == pytest.approx(0.5)


def test_a_prefix_whose_completion_has_accuracy_0_or_no_row_is_not_measured(tmp_path):
    table = read_cells(tmp_path, "arch,acc\na none none,0\na a none,60\na a a,70\nb a a,50\n")
    a, b = (table.labels.index(label) for label in ("a", "b"))
    assert [table.trainings(path) for path in ((a,), (a, a), (b,), (b, a))] == [None, (0.6,), None, None]


def test_whole_architectures_alone_leave_all_prefixes_unmeasured(tmp_path):
    table = read_table(write(tmp_path, "arch,accuracy\na b,0.5\nb b,0.6\nb a b,0.7\n"))
    assert (table.labels, table.best_accuracy) == (("a", "b"), 0.7)
    [found] = TabularEvaluator(table).evaluate([(1, 0, 1)], budget=Budget(1), seed=0)
    assert found.accuracies == (None, None, 0.7)
    with pytest.raises(DataError, match="no training of 'b a', only of what begins with it"):
        table.true_accuracy((1, 0))
    # Parameters and FLOPs that no column says are unknown, and not 0.
    assert table.space().cost((1, 1)) is None
    # 'b b' ends there, and is no prefix.
    assert table.space().legal((1, 1)) == (False, False)
    assert table.space().legal((1,)) == (True, True)


def test_a_training_of_what_has_no_row_fails_and_keeps_what_was_measured(tmp_path):
    table = read_cells(tmp_path, "arch,acc\na none none,50\na a a,70\n")
    [found] = TabularEvaluator(table).evaluate([(0, 0)], budget=Budget(1), seed=0)
    assert (found.accuracies, found.failure) == ((0.5, None), "error")
    assert found.failure_text == "the table has no training of 'a a', only of what begins with it"


def test_parquet_is_read_like_csv(tmp_path, table):
    pytest.importorskip("pyarrow", reason="pandas reads Parquet with pyarrow")
    pd.read_csv(tmp_path / "table.csv").to_parquet(tmp_path / "table.parquet")
    assert read_table(tmp_path / "table.parquet") == table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch,params\na,1\n", r"it lacks one whose name begins with accuracy \(--accuracy"),
        ("name,accuracy\na,1\n", "it lacks arch"),
        ("arch,accuracy\n", "has no rows"),
        ("arch,accuracy\na,0.5\n,0.4\n", "row 2 has no architecture"),
        ("arch,accuracy_0,accuracy_1\na,0.5,\nb,0.5,91%\n", r"row 2 \(b\) has accuracy_1 '91%'; it must be a number"),
        ("arch,accuracy,params,flops\na,0.5,3,1\nb,0.5,,1\n", r"row 2 \(b\) lacks params or flops"),
        ("arch,accuracy\na,0.5\nb,91.2\n", r"row 2 \(b\) has accuracy 91.2; .*in percent\? then say so"),
        ("arch,accuracy\na,-0.5\n", r"row 1 \(a\) has accuracy -0.5; it must be in \[0, 1\]$"),
        ("arch,accuracy\na,0.5\na,0.6\n", "row 2 of .* has 'a' a second time"),
        ("arch,accuracy\na,\n", r"row 1 \(a\) has no accuracy"),
        (
            "arch,accuracy\nb,0.5\nb b,0.5\na b,0.5\n",
            r"row 3 of .* \(a b\) lacks one for its prefix 'a', which row 2 \(b b\) has for its own; add that row, ",
        ),
    ],
)
def test_a_table_that_cannot_be_used_names_the_row(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path, text))


def test_a_damaged_file(tmp_path):
    whole = gzip.compress(ROWS.encode() * 50)
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut.csv.gz cannot be read as a table"):
        read_table(tmp_path / "cut.csv.gz")


def test_parquet_with_empty_cells_names_the_row(tmp_path):
    pytest.importorskip("pyarrow", reason="pandas reads Parquet with pyarrow")
    frame = pd.DataFrame({"arch": ["a", "b"], "accuracy": pd.array([0.5, None], dtype="Float64")})
    frame.to_parquet(tmp_path / "table.parquet")
    with pytest.raises(DataError, match=r"row 2 \(b\) has no accuracy"):
        read_table(tmp_path / "table.parquet")
    frame = pd.DataFrame({"arch": pd.array([1, None], dtype="Int64"), "accuracy": [0.5, 0.6]})
    frame.to_parquet(tmp_path / "table.parquet")
    with pytest.raises(DataError, match="row 2 has no architecture"):
        read_table(tmp_path / "table.parquet")


def test_no_table(tmp_path):
    with pytest.raises(DataError, match="there is no table"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="has the layer 'zero'; its layers are a, b"):
        read_table(write(tmp_path, ROWS), complete="zero")


def test_a_search_of_cells_keeps_what_is_no_network_without_accuracy(tmp_path):
    """The depth bound grows from 1, at which nothing can be trained: these trainings fail, and all that is kept agrees.

    `db check` finds nothing, and the replayed rewards of an unmeasured prefix are those of its continuation.
    """
    numbers = enumerate(product("abc", repeat=3), start=50)
    rows = "\n".join(f"{' '.join(path)},0.{number}" for number, path in numbers)
    table = read_table(write(tmp_path, f"arch,accuracy\n{rows}\n"))
    storage = f"sqlite:///{tmp_path}/cells.db"
    search = Search(
        name="cells", storage=storage, space=table.space(), evaluator=TabularEvaluator(table), strategy="replay",
        min_layers=1, max_layers=3, grow_every=4, seed=3,
    )  # fmt: skip
    search.run(episodes=40)
    assert {len(node.path) for node in search.memory if node.average_accuracy is not None} == {3}
    assert {len(node.path) for node in search.memory} == {1, 2, 3}
    best = search.tree.best(1)[0]
    assert best.average_accuracy == table.true_accuracy(best.path)
    assert search.memory.rewards(best.path) == (best.average_accuracy,) * 3
    with search.tree.engine.connect() as connection:
        failures = connection.execute(text("SELECT depth_bound, failure FROM episodes WHERE trained")).all()
    assert {(bound < 3, failure) for bound, failure in failures} == {(True, "error"), (False, None)}
    assert check(search.tree.engine) == []
