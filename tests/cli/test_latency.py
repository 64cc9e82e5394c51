"""From a latency table to a search within it, and what `best` says of it."""

import json

import pytest

SPACE = ("--width", 0.25, "--max-layers", 2)
QUICK = ("--max-layers", 2, "--epochs", 1, "--width", 0.25, "--quiet")


@pytest.fixture
def table(here):
    """As replaytree latency-table writes them: 1 ms a layer with weights, 2 ms a pooling, 0.25 a head, 0.5 beside."""
    from replaytree.space.catalogue import named_space
    from replaytree.space.latency_table import LatencyTable, distinct_layers, key_of, write_table

    space = named_space("xu24", input_shape=(1, 8, 8), num_classes=10, max_layers=2, width=0.25)
    parts = distinct_layers(space)
    costs = {"head": 0.25, "avg": 2.0, "max": 2.0}
    found = {key_of(*part): costs.get(part[0].label if part[0].label == "head" else part[0].label[:3], 1.0)
             for part in parts}  # fmt: skip
    write_table(here / "lat.csv", LatencyTable(found, 0.5), parts)
    return here / "lat.csv"


def test_a_table_is_measured_and_compared(replaytree, here):
    common = ("--input", "1x4x4", "--classes", 3, "--max-layers", 1)
    code, out, _ = replaytree("latency-table", "xu24", "--out", "lat.csv", "--width", 0.1, *common)
    assert (code, out.splitlines()[-1]) == (0, "wrote lat.csv")
    lines = (here / "lat.csv").read_text().splitlines()
    # The 24 layers at the image of 4x4, and a head for each map that they make; those of half the side are 4 in number.
    assert lines[0] == "layer,inputs,milliseconds,description"
    assert len(lines) == 2 + 24 + len({line for line in lines if line.startswith("head,")})
    words = ("bench", "latency", "xu24", "--width", 0.1, "--table", "lat.csv", "--networks", 3, *common)
    code, out, _ = replaytree(*words, "--json", "found.json")
    assert code == 0
    assert "n = 3: Spearman" in out
    assert json.loads((here / "found.json").read_text())["agreement"]["n"] == 3


def test_a_table_made_with_defaults_fits_a_run_with_defaults(replaytree, here):
    """The width of xu24 is by the device; tiny is as wide on every one."""
    from replaytree.training import resolve_device

    width = 0.25 if resolve_device("auto").type == "cpu" else 1
    for space in ("xu24", "tiny"):
        made = ("--max-layers", 1)
        code, out, _ = replaytree("latency-table", space, "--out", f"{space}.csv", "--input", "1x8x8", *made)
        assert code == 0
        assert f" layers of {space} --width {width if space == 'xu24' else 1} at distinct shapes" in out
        words = ("--space", space, "--latency-table", f"{space}.csv", "--max-latency", "1s", "--epochs", 1, "--quiet")
        assert replaytree("run", "--name", space, "--trainings", 1, *words, *made)[0] == 0


def test_a_search_keeps_to_the_latency_of_the_table(replaytree, table):
    limits = ("--latency-table", "lat.csv", "--max-latency", "2.75ms")
    assert replaytree("run", "--name", "fast", "--trainings", 6, *limits, *QUICK)[0] == 0
    rows = json.loads(replaytree("best", "fast", "-k", 99, "--latency-table", "lat.csv", "--format", "json")[1])
    # Two layers with weights take 0.5 + 1 + 1 + 0.25; a pooling and the head 2.75, too; nothing slower was trained.
    assert rows
    assert max(row["latency_ms"] for row in rows) <= 2.75
    kinds = {row["labels"].replace("res", "w").replace("conv", "w") for row in rows if row["depth"] == 2}
    assert all(labels.count("w") == 2 for labels in kinds)
    # The table of the search is used where none is given.
    found = json.loads(replaytree("best", "fast", "-k", 99, "--max-latency", "1750us", "--format", "json")[1])
    assert {row["latency_ms"] for row in found} == {1.75}
    assert [row["node_id"] for row in found] == [row["node_id"] for row in rows if row["latency_ms"] == 1.75]
    front = json.loads(replaytree("best", "fast", "-k", 99, "--max-latency", "9ms", "--pareto", "--format", "json")[1])
    assert {row["node_id"] for row in front} <= {row["node_id"] for row in rows}
    assert replaytree("best", "fast", "--max-latency", "1us")[1].endswith("of at most 0.001 ms; allow more\n")
    assert replaytree("resume", "fast", "--trainings", 1, "--quiet")[0] == 0
    kept = table.read_text()
    table.unlink()
    code, _, err = replaytree("resume", "fast", "--trainings", 1, "--quiet")
    said = f"there is no latency table {table}; check --latency-table; a search that began with it needs it back"
    assert (code, said in err) == (2, True)
    table.write_text(kept.replace("0.500000", "0.600000"))
    code, _, err = replaytree("resume", "fast", "--trainings", 1, "--quiet")
    assert code == 2
    assert "the latency table of search 'fast' has been changed since it began" in err


def test_a_table_of_other_data_says_what_measures_the_right_one(replaytree, here):
    """The command that the error prints makes a table that the same run takes."""
    made = ("latency-table", "xu24", "--out", "lat.csv", "--width", 0.1, "--input", "1x8x8", "--max-layers", 1)
    assert replaytree(*made, "--classes", 3)[0] == 0
    run = ("run", "--max-layers", 1, "--epochs", 1, "--width", 0.1, "--trainings", 1, "--quiet")
    code, _, err = replaytree(*run, "--latency-table", "lat.csv", "--max-latency", "1s")
    said = f"`replaytree latency-table xu24 --width 0.1 --max-layers 1 --input 1x8x8 --classes 10 --out {here}/lat.csv`"
    assert (code, said in err) == (2, True)
    assert replaytree(*said.strip("`").split()[1:])[0] == 0
    assert replaytree(*run, "--latency-table", "lat.csv", "--max-latency", "1s")[0] == 0


def test_a_target_is_soft(replaytree, table):
    words = ("--latency-table", "lat.csv", "--target-latency", "1ms", *QUICK)
    assert replaytree("run", "--name", "soft", "--trainings", 2, *words)[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--max-latency", "2ms"), "--max-latency goes by how long layers take; give a --latency-table, too: "
         "`replaytree latency-table --out lat.csv` makes one, given the search's --max-layers, and --input and"),
        (("run", "--target-latency", "2ms"), "--target-latency goes by how long layers take; give a --latency-table"),
        (("run", "--latency-table", "gone.csv"), "gone.csv; check --latency-table; a search"),
        (("run", "--latency-table", "lat.csv", "--max-latency", "soon"), "write a latency over 0, as in 2ms"),
        (("run", "--latency-table", "lat.csv", "--max-latency", "1ms"),
         "obeys --max-latency 1ms: the cheapest first layer, conv32k3, has 1.75 ms with its head; raise the limit"),
        (("run", "--latency-table", "lat.csv", "--width", "0.5", "--max-layers", "2"),
         "lat.csv has no layer conv32k3 of this width at 1x8x8, and "),
        (("latency-table", "xu24"), "name the file to write: --out lat.csv"),
        (("latency-table", "zoph", "--out", "z.csv"), "a latency table is for chains"),
        (("latency-table", "darts-rnn", "--out", "z.csv"), "darts-rnn is for text, one word at a time"),
    ],
)  # fmt: skip
def test_bad_input(replaytree, table, words, message):
    given = QUICK if words[0] == "run" and "--width" not in words else ()
    code, _, err = replaytree(*words, *given)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
