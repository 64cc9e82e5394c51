import gzip

import pandas as pd
import pytest

from replaytree.config import Budget
from replaytree.errors import DataError
from replaytree.evaluate.tabular import TabularEvaluator, read_table

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


def test_cells_in_the_notation_of_nas_bench_201_and_completion(tmp_path):
    cells = (
        "arch,acc\n|x~0|+|none~0|none~1|,50\n|x~0|+|x~0|none~1|,60\n|none~0|+|none~0|none~1|,10\n|x~0|+|x~0|x~1|,70\n"
    )
    table = read_table(write(tmp_path, cells), accuracy=["acc"], percent=True, complete="none")
    x, none = (table.labels.index(label) for label in ("x", "none"))
    assert table.true_accuracy((x,)) == pytest.approx(0.5)
    assert table.true_accuracy((x, x)) == pytest.approx(0.6)
    assert table.true_accuracy((none,)) == pytest.approx(0.1)
    with pytest.raises(DataError, match="no row for 'none x'"):
        table.true_accuracy((none, x))


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
        ("arch,accuracy\na b,0.5\n", "has 'a b' but not its prefix 'a'"),
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
