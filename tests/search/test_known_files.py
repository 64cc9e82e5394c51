"""Architectures and accuracies from CSV files and Optuna studies: what is read, and what is refused, saying where."""

import pytest

from replaytree.errors import ConfigError
from replaytree.metric import ACCURACY, PERPLEXITY
from replaytree.search.known_files import Known, is_optuna, read_csv, read_optuna
from replaytree.space import LabelSpace
from replaytree.space.catalogue import named_space

LABELS = ("conv", "pool", "res")


@pytest.fixture
def read(tmp_path):
    def read(text, *, metric=ACCURACY, published=None):
        (tmp_path / "known.csv").write_text(text, encoding="utf-8-sig")
        return read_csv(tmp_path / "known.csv", space, metric=metric, published=published or {})

    return read


def space(depth):
    return LabelSpace(LABELS, max_layers=depth)


def test_rows_are_paths_with_accuracies_and_epochs(read):
    table = read(
        'layers,accuracy,epochs\nconv pool,0.5,4\n"res, conv, res",1,\nstar,0.25,2\n', published={"star": "res"}
    )
    assert table.known == (Known((0, 1), 0.5, 4), Known((2, 0, 2), 1.0, 1), Known((2,), 0.25, 2))
    assert (table.name, table.space.max_layers) == ("known", 3)


def test_what_best_prints_is_read_too(read):
    table = read("node_id,average_accuracy,epochs,labels\n7,0.75,8,conv\n")
    assert table.known == (Known((0,), 0.75, 8),)


def test_costs_of_another_space_are_refused(tmp_path):
    def made(width):
        return lambda depth: named_space("xu24", input_shape=(1, 8, 8), num_classes=10, max_layers=depth, width=width)

    # `best` of a search with --width 0.25: 10 x 64 / 4 + 10 weights and biases of the head, conv and batch norm.
    file = tmp_path / "best.csv"
    file.write_text("labels,average_accuracy,params,flops\nconv64k5,0.4,602,25760\nres64,0.5,,\n")
    kept = read_csv(file, made(0.25), metric=ACCURACY, published={})
    assert [each.accuracy for each in kept.known] == [0.4, 0.5]
    with pytest.raises(
        ConfigError, match=r"line 2: params of 'conv64k5' is '602', and here it is 2378; give the --width"
    ):
        read_csv(file, made(1.0), metric=ACCURACY, published={})
    file.write_text("labels,average_accuracy,params,flops\nconv64k5,0.4,602.0,25761\n")
    with pytest.raises(ConfigError, match=r"line 2: flops of 'conv64k5' is '25761', and here it is 25760;"):
        read_csv(file, made(0.25), metric=ACCURACY, published={})
    file.write_text("labels,average_accuracy,params\nconv64k5,0.4,2k\n")
    with pytest.raises(ConfigError, match="params of 'conv64k5' is '2k'"):
        read_csv(file, made(1.0), metric=ACCURACY, published={})


def test_of_a_text_the_column_of_the_metric_has_perplexities(read):
    assert read("layers,perplexity\nconv,100\n", metric=PERPLEXITY).known[0].accuracy == 0.01
    assert read("layers,accuracy\nconv,0.01\n", metric=PERPLEXITY).known[0].accuracy == 0.01
    with pytest.raises(ConfigError, match=r"line 2: perplexity is '0.5'; it must be a perplexity of at least 1"):
        read("layers,perplexity\nconv,0.5\n", metric=PERPLEXITY)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", r"known.csv has no column 'layers' in its first line \(nothing\)"),
        ("layers,score\nconv,0.5\n", "has no column 'accuracy' in its first line .*; name it accuracy or average_acc"),
        ("layers,accuracy\n", "has no rows below its header"),
        ("layers,accuracy\nconv,0.5\nconv,93.1\n", "line 3: accuracy is '93.1'; it must be a fraction from 0 to 1"),
        ("layers,accuracy\nconv,nan\n", "line 2: accuracy is 'nan'"),
        ("layers,accuracy\nconv,\n", "line 2: accuracy is ''"),
        ("layers,accuracy\nconv\n", "line 2: accuracy is None"),
        (
            "layers,accuracy\nconv cnov,0.5\n",
            "line 2: layer 2 is 'cnov', which is not in this space; did you mean conv",
        ),
        ("layers,accuracy\n,0.5\n", "line 2: path '' has no layers"),
        ("layers,accuracy,epochs\nconv,0.5,2.5\n", "line 2: epochs is '2.5'; it must be a whole number of at least 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read, text, line):
    with pytest.raises(ConfigError, match=line):
        read(text)


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00layers")
    with pytest.raises(ConfigError, match="is not a text in UTF-8"):
        read_csv(tmp_path / "x.csv", space, metric=ACCURACY, published={})


@pytest.fixture
def storage(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return f"sqlite:///{tmp_path}/optuna.db"


@pytest.fixture
def study(storage):
    """Make a study of trials, each parameters, user attributes and a value."""

    def study(*trials, name="s", direction="maximize"):
        import optuna

        made = optuna.create_study(study_name=name, storage=storage, direction=direction)
        for params, attributes, value in trials:
            spread = {
                key: optuna.distributions.CategoricalDistribution([each])
                if isinstance(each, str)
                else optuna.distributions.IntDistribution(0, 100)
                for key, each in params.items()
            }
            made.add_trial(
                optuna.trial.create_trial(params=params, distributions=spread, user_attrs=attributes, value=value)
            )

    return study


def test_trials_say_their_layers_in_parameters_or_as_text(study, storage, tmp_path):
    study(
        ({"layer0": "conv", "layer1": 1, "rate": 3}, {}, 0.5),
        ({}, {"layers": "res", "accuracy": 0.75, "epochs": 9}, 12.0),
    )
    for where in (storage, str(tmp_path / "optuna.db")):
        table = read_optuna(where, None, space, metric=ACCURACY)
        assert table.known == (Known((0, 1), 0.5, 1), Known((2,), 0.75, 9))
        assert (table.name, table.left_out, table.space.max_layers) == ("s", ("rate",), 2)


def test_layers_of_several_decisions(study, storage):
    made = named_space("zoph", input_shape=(3, 32, 32), num_classes=10, max_layers=2)
    assert [decision.name for decision in made.decisions(1)] == ["filter_height", "filter_width", "filters"]
    study(({"filter_height0": "5", "filter_width0": "3", "filters0": "36"}, {}, 0.5))
    [known] = read_optuna(storage, None, lambda depth: made, metric=ACCURACY).known
    assert known.path == made.parse("5x3f36")


@pytest.mark.parametrize(
    ("trial", "direction", "line"),
    [
        (({"layer0": "cnov"}, {}, 0.5), "maximize", "trial 0: layer0 is 'cnov'; it must be one of conv, pool, res, or"),
        (({"layer0": 9}, {}, 0.5), "maximize", "trial 0: layer0 is 9"),
        (({"x": 1}, {}, 0.5), "maximize", r"has neither the user attribute 'layers' nor .* \(layer0\); it has x"),
        (({"layer0": 0, "layer2": 0}, {}, 0.5), "maximize", "layer2 come after layer 1, and layer 2 is not whole"),
        (({"layer0": 0}, {}, 0.5), "minimize", "trial 0 has no accuracy, and its study does not maximise one"),
        (({"layer0": 0}, {}, 93.0), "maximize", "trial 0: accuracy is 93.0; it must be a fraction"),
        (({}, {"layers": "conv x"}, 0.5), "maximize", "trial 0: layer 2 is 'x'"),
    ],
)
def test_trials_that_say_nothing_usable(study, storage, trial, direction, line):
    study(trial, direction=direction)
    with pytest.raises(ConfigError, match=line):
        read_optuna(storage, None, space, metric=ACCURACY)


def test_which_study_is_meant(study, storage):
    study(({"layer0": 0}, {}, 0.5), name="a")
    study(({"layer0": 1}, {}, 0.5), name="b")
    with pytest.raises(ConfigError, match=r"has 2 studies \(a, b\); name one with --study"):
        read_optuna(storage, None, space, metric=ACCURACY)
    with pytest.raises(ConfigError, match="has no study 'c'; it has a, b"):
        read_optuna(storage, "c", space, metric=ACCURACY)
    assert read_optuna(storage, "b", space, metric=ACCURACY).known[0].path == (1,)
    study(name="empty")
    with pytest.raises(ConfigError, match="study 'empty' has no finished trial"):
        read_optuna(storage, "empty", space, metric=ACCURACY)


def test_a_database_that_is_not_optunas_stays_as_it_is(storage, tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(
        ConfigError,
        match="is not an exported search, and has no tables of Optuna; name the storage of a study",
    ):
        read_optuna(str(tmp_path / "other.db"), None, space, metric=ACCURACY)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    for where in (str(tmp_path / "none.db"), f"sqlite:///{tmp_path}/none.db"):
        with pytest.raises(ConfigError, match="there is no file"):
            read_optuna(where, None, space, metric=ACCURACY)
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "x.db").write_bytes(b"nothing at all" * 99)
    with pytest.raises(ConfigError, match="cannot be read as a storage of Optuna"):
        read_optuna(str(tmp_path / "x.db"), None, space, metric=ACCURACY)


def test_which_files_are_optunas():
    assert [is_optuna(each) for each in ("a.db", "postgresql://h/d", "a.log", "a.jsonl.gz", "a.csv")] == [
        True, True, True, False, False,
    ]  # fmt: skip
