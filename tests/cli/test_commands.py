"""The command line as a user meets it: every command, and every mistake."""

import csv
import io
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image

from replaytree.cli.doctor import Finding, _extra
from replaytree.config import DIFFERENTIABLE_STRATEGIES, SearchConfig, by_flag
from replaytree.config.option import PANELS, declared
from replaytree.config.space import LayerOptions
from replaytree.config.strategies import foreign
from replaytree.config.text import TextOptions
from replaytree.config.weights import WeightOptions

QUICK = ["--epochs", "1", "--train-limit", "200", "--max-layers", "3", "--quiet"]
# Nothing is to be said about these images.
ROOMY = ["--epochs", "1", "--train-limit", "300", "--max-layers", "3"]


@pytest.fixture
def searched(replaytree):
    assert replaytree("run", "--name", "first", "--trainings", 3, *QUICK)[0] == 0
    return replaytree


def test_nothing_to_do_shows_help_and_a_wrong_option_is_one_line(replaytree):
    code, out, err = replaytree()
    assert code == 2
    assert "Take away:" in err
    for args, message in (
        (["run", "--max-layer", "3"], "Error: No such option: --max-layer"),
        (["best", "x", "-k", "many"], "Error: Invalid value for '-k': "),
        (["fly"], "Error: No such command 'fly'"),
        (["rename"], "Error: Missing argument"),
        (["run", "--trainings", "²"], "Error: Invalid value for '--trainings': write a whole number"),
    ):
        code, out, err = replaytree(*args)
        assert (code, out) == (2, "")
        assert err.startswith(message)
        assert len(err.splitlines()) == 1
        assert err.endswith("--help` shows what there is\n")


def test_the_version(replaytree):
    assert replaytree("--version") == (0, f"replaytree {version('replaytree')}\n", "")


def test_run_ends_with_the_best_prefixes_and_the_next_commands(replaytree, here):
    code, out, err = replaytree("run", "--trainings", 2, "--warmup", 1, *ROOMY)
    assert (code, err) == (0, "")
    assert re.search(r"digits-1: best of \d+ prefixes, 2 trainings", out)
    assert "stopped" not in out
    headings = "node accuracy at least trainings epochs visits depth params FLOPs RAM flash layers"
    assert headings in re.sub(" +", " ", out)
    commands = re.findall(r"^  replaytree (.+)$", out, re.M)
    assert [command.split()[0] for command in commands] == ["best", "show", "report", "resume", "retrain"]
    for command in commands[:2]:  # the others write or train
        assert replaytree(*command.split())[0] == 0
    assert (here / "replaytree.db").exists()


def test_printed_commands_can_be_pasted_whatever_the_name_and_the_database(replaytree, here):
    """Each is run as it stands, by a shell's rules."""
    storage = f"sqlite:///{here}/an other.db"
    out = replaytree("run", "--name", "it's [b] a; name", "--storage", storage, "--trainings", 2, *ROOMY)[1]
    commands = [shlex.split(line) for line in re.findall(r"^  (replaytree .+)$", out, re.M)]
    assert [words[1] for words in commands] == ["best", "show", "report", "resume", "retrain"]
    for words in commands[:3]:
        code, out, err = replaytree(*words[1:])
        assert (code, err) == (0, ""), words


def test_progress_is_a_line_a_turn_where_there_is_no_terminal(replaytree):
    out = replaytree("run", "--episodes", 2, *QUICK[:-1])[1]
    lines = [line for line in out.splitlines() if line.startswith("best 0.")]
    assert len(lines) == 2
    assert re.fullmatch(
        r"best 0\.\d{4} at 1 epoch  1/2 episodes  \? left  last 0\.\d{4}",
        lines[0],
    )


def test_quiet_prints_the_result_and_no_advice(replaytree):
    out = replaytree("run", "--trainings", 1, *QUICK)[1]
    assert re.match(r"digits-1: best of \d+ prefixes, 1 training\n", out)
    assert "Next:" not in out
    assert "left" not in out


def test_the_prefixes_that_are_counted_are_those_that_are_ranked(replaytree, here):
    growing = ["--train-limit", "200", "--max-layers", "3", "--min-layers", "1", "--grow-every", "1", "--quiet"]
    out = replaytree("run", "--name", "grows", "--trainings", 3, "--epochs", "1:3", *growing)[1]
    ranked = json.loads(replaytree("best", "grows", "-k", 99, "--format", "json")[1])
    with sqlite3.connect("replaytree.db") as connection:
        stored = connection.execute("select count(*) from nodes").fetchone()[0]
    assert len(ranked) < stored
    assert f"grows: best of {len(ranked)} prefixes, 3 trainings" in out


def test_resume_goes_on(searched):
    code, out, _ = searched("resume", "first", "--trainings", 2, "--quiet")
    assert code == 0
    assert "5 trainings" in out


def test_list(searched):
    out = searched("list")[1]
    assert re.search(r"^first\s+\d+\s+3\s+\d+\s+[23]\s+0\.\d{4}", out, re.M)


def test_best_as_table_json_and_csv_agree_and_are_those_of_the_view(searched, here):
    rows = json.loads(searched("best", "first", "--format", "json", "-k", 4)[1])
    table = searched("best", "first", "-k", 4)[1]
    as_csv = list(csv.DictReader(io.StringIO(searched("best", "first", "--format", "csv", "-k", 4)[1])))
    everything = json.loads(searched("best", "first", "--format", "json", "-k", 999)[1])
    assert table.splitlines()[-1] == f"the best 4 of {len(everything)}; -k shows more"
    assert len(rows) == len(as_csv) == len(table.splitlines()) - 2 == 4
    assert "shows more" not in searched("best", "first", "-k", len(everything))[1]
    shallow = searched("best", "first", "-k", 1, "--max-depth", 3)[1]
    assert shallow.splitlines()[-1] == "the best 1; -k shows more"
    front = json.loads(searched("best", "first", "--pareto", "-k", 99, "--format", "json")[1])
    assert len(front) > 1
    assert searched("best", "first", "--pareto", "-k", 1)[1].splitlines()[2:] == [
        f"1 of {len(front)} on the front; -k shows more"
    ]
    assert len(searched("best", "first", "--pareto", "-k", len(front))[1].splitlines()) == len(front) + 1
    assert [row["labels"] for row in rows] == [row["labels"] for row in as_csv]
    assert all(f"{row['average_accuracy']:.4f}" in table for row in rows)
    with sqlite3.connect(here / "replaytree.db") as connection:
        view = connection.execute("select labels, average_accuracy from best_prefixes limit 4").fetchall()
    assert sorted(accuracy for _, accuracy in view) == sorted(round(row["average_accuracy"], 4) for row in rows)


def test_best_filters(searched):
    everything = json.loads(searched("best", "first", "-k", 99, "--format", "json")[1])
    for option, column in (
        ("--max-depth", "depth"),
        ("--max-params", "params"),
        ("--max-flops", "flops"),
        ("--max-ram", "ram_bytes"),
        ("--max-flash", "flash_bytes"),
    ):
        limit = sorted(row[column] for row in everything)[len(everything) // 2]
        found = json.loads(searched("best", "first", "-k", 99, option, limit, "--format", "json")[1])
        assert [row["node_id"] for row in found] == [r["node_id"] for r in everything if r[column] <= limit]
    none = searched("best", "first", "--max-params", 1, "--max-depth", 2)[1]
    assert none == "search 'first' has no prefix of at most 2 layers and at most 1 parameters; allow more\n"
    none = searched("best", "first", "--max-ram", 70, "--max-flash", 5)[1]
    assert none == "search 'first' has no prefix of at most 70 bytes of RAM and at most 5 bytes of flash; allow more\n"
    assert "no prefix measured at 99 epochs that fits; ask for others" in searched("best", "first", "--epochs", 99)[1]
    assert json.loads(searched("best", "first", "--max-params", 1, "--format", "json")[1]) == []


@pytest.mark.parametrize(
    "option", ["-k", "--max-depth", "--max-params", "--max-flops", "--max-ram", "--max-flash", "--epochs"]
)
def test_best_takes_numbers_that_the_database_holds(searched, option):
    code, out, err = searched("best", "first", option, "9" * 20)
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: Invalid value for '{option}': the largest whole number is 9223372036854775807;")
    assert searched("best", "first", option, 2**63 - 1)[0] == 0


def test_show_a_node_by_number_by_labels_and_by_path(searched):
    node = json.loads(searched("best", "first", "-k", 1, "--max-depth", 1, "--format", "json")[1])[0]
    by_number = searched("show", "first", node["node_id"])[1]
    assert by_number == searched("show", "first", node["labels"])[1]
    path = re.search(r"^path\s+(\S+)", by_number, re.M)[1]
    assert re.search(r"^\d+ next layers?, best first", by_number, re.M)
    child = searched("show", "first", f"{path}.0", "--format", "json")
    assert child[0] in (0, 2)
    assert json.loads(searched("show", "first", node["node_id"], "--format", "json")[1])[0] == node


def test_db_check_finds_a_wrong_sum_and_repairs_it(searched, here):
    assert searched("db", "check")[1].startswith("ok: 1 search,")
    with sqlite3.connect(here / "replaytree.db") as connection:
        connection.execute("update nodes set visit_count = visit_count + 1 where id = 1")
    code, out, _ = searched("db", "check")
    assert code == 1
    assert "node 1: visit_count is" in out
    assert "--repair" in out
    assert "`replaytree db check --repair` fixes 1 of them" in out
    code, out, _ = searched("db", "check", "--repair")
    assert code == 0
    assert re.search(r"1 rows rebuilt .*; a copy of the database as it was is .*replaytree.backup-unrepaired.db", out)
    assert "ok: 1 search," in out
    assert (here / "replaytree.backup-unrepaired.db").exists()


def test_db_check_says_what_it_cannot_fix(searched, here):
    with sqlite3.connect(here / "replaytree.db") as connection:
        connection.execute("delete from strategy_states")
    code, out, _ = searched("db", "check", "--repair")
    assert code == 1
    assert "search 'first': episodes of the strategy's state is None, expected 3" in out
    assert "1 problems; `replaytree db check --repair` fixes 0 of them" in out
    assert "import the search from its last export" in out


def test_db_check_says_what_to_do_about_lost_weights(replaytree, here):
    space = ("--space", "enas-macro", "--channels", 2, "--max-layers", 2, "--train-limit", 64)
    run = ("run", "--name", "own", "--weights", "shared", "--strategy", "random", "--trainings", 1, "--quiet", *space)
    assert replaytree(*run)[0] == 0
    for file in here.glob("replaytree.db.state/*/*"):
        file.unlink()
    code, out, _ = replaytree("db", "check")
    assert (code, out.count("\n")) == (1, 3)
    assert "go on with fresh ones: `replaytree resume own --restart-weights`" in out
    # Neither a backup nor an export would have them.
    assert "restore a backup" not in out
    assert replaytree("resume", "own", "--restart-weights", "--trainings", 1, "--quiet")[0] == 0
    assert replaytree("db", "check")[0] == 0


def test_db_export_and_import(searched, here):
    code, out, _ = searched("db", "export", "first", "first.jsonl.gz")
    assert code == 0
    assert re.fullmatch(r"first.jsonl.gz: search 'first': \d+ nodes, 3 episodes, \d+ evaluations\n", out)
    code, out, _ = searched("db", "import", "first.jsonl.gz", "--storage", "sqlite:///other.db")
    assert code == 0
    assert re.search(r"imported search 'first': \d+ nodes, 3 episodes", out)
    assert "replaytree resume first --trainings 100 --storage sqlite:///other.db" in out
    best = searched("best", "first", "--format", "json")[1]
    assert searched("best", "first", "--format", "json", "--storage", "sqlite:///other.db")[1] == best
    assert searched("db", "import", "first.jsonl.gz", "--name", "copy")[0] == 0
    assert "4 trainings" in searched("resume", "copy", "--trainings", 1, "--quiet")[1]
    assert searched("db", "check")[1].startswith("ok: 2 searches")


def test_a_limit_that_cannot_be_leaves_no_search(replaytree):
    code, _, err = replaytree("run", "--name", "first", "--trainings", 0, *QUICK)
    assert (code, err) == (2, "Error: trainings is 0; it must be over 0 (--trainings)\n")
    assert "there is no file replaytree.db" in replaytree("best", "first")[2]


def test_db_export_and_import_refuse(searched, here):
    assert searched("db", "export", "first", "first.jsonl.gz")[0] == 0
    (here / "cut.gz").write_bytes((here / "first.jsonl.gz").read_bytes()[:-9])
    before = searched("list")[1]
    for args, message in (
        (["export", "second", "x.gz"], "no search 'second'.*it has: first"),
        (["export", "first", "first.jsonl.gz"], "first.jsonl.gz exists; choose another file, or give --force"),
        (["export", "first", ".", "--force"], r"\. is a folder; name a file in it"),
        (["export", "first", "no/where.gz"], "cannot be written"),
        (["import", "first.jsonl.gz"], "a search 'first' already; import this one under another name with --name"),
        (["import", "cut.gz", "--name", "cut"], "cut.gz is truncated"),
        (["import", "replaytree.db"], "replaytree.db is not an exported search"),
        (["import", "missing.gz"], "missing.gz cannot be read"),
    ):
        code, out, err = searched("db", *args)
        assert code == 2
        assert re.search(message, err)
        assert "Traceback" not in out + err
    assert searched("list")[1] == before
    assert searched("db", "check")[0] == 0
    assert sorted(file.name for file in here.glob("*.gz*")) == ["cut.gz", "first.jsonl.gz"]


def test_db_upgrade_makes_a_database_and_leaves_a_new_one_alone(replaytree, here):
    assert "from nothing to revision" in replaytree("db", "upgrade", "--storage", "sqlite:///new.db")[1]
    assert replaytree("db", "upgrade", "--storage", "sqlite:///new.db")[0] == 0
    assert "no searches yet" in replaytree("list", "--storage", "sqlite:///new.db")[1]


def test_doctor_says_what_is_here_and_how_to_get_the_rest(searched, here):
    code, out, _ = searched("doctor")
    assert all(line == line.rstrip() for line in out.splitlines())
    assert code == 0
    assert re.search(r"ok\s+torch\s+2\.", out)
    assert re.search(r"ok\s+database\s+sqlite:///replaytree.db: schema \w+, searches: 1", out)
    assert re.search(r"ok\s+digits\s+in scikit-learn", out)
    assert re.search(r"--\s+cifar10", out)
    assert "replaytree run --dataset cifar10" in out
    for extra in ("postgres", "onnx", "tflite", "ray", "tensorboard", "mlflow"):
        assert re.search(rf"^ok\s+{extra}\s+(\S+ \d|.* not installed; only .* needs (it|them)$)", out, re.M), extra
    assert re.search(r"--\s+database", searched("doctor", "--storage", "sqlite:///other.db")[1])
    assert not (here / "other.db").exists()


def test_doctor_says_which_packages_of_an_extra_are_missing(monkeypatch):
    here = {"onnx": "1.17", "ray": "2.40"}
    monkeypatch.setattr("replaytree.cli.doctor.version_of", lambda package: here.get(package, "not installed"))
    assert _extra("ray") == Finding("ray", True, "ray 2.40")
    told = "onnxruntime and onnxscript not installed; only ONNX needs them"
    assert _extra("onnx") == Finding("onnx", True, told, "pip install 'replaytree[onnx]'")


def test_the_environment_names_the_database(searched, here, monkeypatch):
    monkeypatch.setenv("REPLAYTREE_STORAGE", "sqlite:///elsewhere.db")
    assert searched("run", "--trainings", 1, *QUICK)[0] == 0
    assert (here / "elsewhere.db").exists()


# Every field that a digits search of one training can have, set to something else than its default.
EVERY_OPTION = {
    "seed": 3, "max_layers": 4, "min_layers": 3, "grow_every": 7, "replay": 0.1, "continue_": 0.2,
    "return_kind": "final", "gamma": 0.3, "temperature": 0.4, "rho_bar": 0.5, "hidden_size": 6,
    "policy_learning_rate": 0.7, "entropy": 0.8, "grad_clip": 0.9, "num_paths": 2, "evaluator": "separate",
    "width": 0.125, "batch_size": 90, "learning_rate": 0.01, "momentum": 0.5, "weight_decay": 0.001,
    "label_smoothing": 0.2, "class_weights": "balanced", "crop_padding": 2, "flip": True, "image_size": 6,
    "train_limit": 100, "val_fraction": 0.2,
    "skip_bad": True, "device": "cpu", "data_dir": ".", "epochs_first": 1, "epochs_last": 2, "reward": "balanced",
    "max_params": 10**6, "max_flops": 10**9, "max_ram": 10**7, "max_flash": 10**6,
    "target_params": 1000, "target_flops": 10**5, "cost_weight": -0.1,
    "fuse": False,
    "prune": False, "capture": False, "grow_patience": 3, "grow_by": 2, "controller_layers": 2, "reward_power": 2.0,
    "reward_epochs": 2, "baseline": "parent", "baseline_decay": 0.5, "warmup": 2, "candidates": 9, "mutants": 0.25,
    "population": 4, "tournament": 2, "exploration": 0.5, "threads": 1, "q_trainings": 9, "q_rate": 0.5, "q_replays": 7,
    "adam_beta": 0.0, "adam_epsilon": 1e-3, "init_range": 0.1, "softmax_temperature": 5.0, "tanh_constant": 1.5,
    "removal": "worst", "mutation": "amoebanet", "identity": 0.5, "resize": "pad", "channel_axis": "last",
    "op_tanh_reduce": 2.5, "entropy_in": "drawn", "baseline_first": True, "ahead": 2,
}  # fmt: skip


@pytest.mark.parametrize("strategy", ["evolution", "guided", "q-learning", "replay"])
def test_every_option_of_run_reaches_the_configuration(replaytree, strategy):
    """Together these strategies have all options of strategies."""
    own = {name: value for name, value in EVERY_OPTION.items() if not foreign(strategy, [name])}
    config = SearchConfig(strategy=strategy, **own)
    same = [f.name for f in declared(SearchConfig).values() if config.to_options()[f.name] == f.default]
    # The options of other spaces than xu24 are tested with spaces (test_spaces.py).
    unset = {"dataset", "space", *(name for name in declared(LayerOptions) if name != "width")}
    # They need other searches, or a supernet (tests/tree/test_prior.py, tests/search/test_shared_search.py).
    unset |= {"warm_start", "prior"}
    # They need a table (test_latency.py).
    unset |= {"latency_table", "max_latency", "target_latency"}
    # Images have no option of texts (tests/config/test_text.py).
    unset |= {*declared(TextOptions), "task", "min_count"}
    # What only shared weights have is tested with them (tests/config/test_weights.py).
    unset |= {*declared(WeightOptions), "state_dir"}
    # xu24 has neither skips, nor options named sep..., nor cells (tests/policy/test_scores.py).
    unset |= {"skip_weight", "skip_target", "separable_bias", "cell_bias"} - set(
        foreign(strategy, declared(SearchConfig))
    )
    assert set(same) - set(foreign(strategy, same)) - {"strategy"} == unset
    assert replaytree("run", "--name", "all", "--trainings", 1, "--quiet", *config.to_arguments())[0] == 0
    with sqlite3.connect("replaytree.db") as connection:
        stored = connection.execute("select config_json from searches").fetchone()[0]
    # A folder is stored so that it is found from elsewhere, too.
    assert SearchConfig.from_json(stored) == config.with_options(data_dir=str(Path.cwd()))


def test_together_the_strategies_of_that_test_have_every_option():
    names = set(declared(SearchConfig))
    # Those of differentiable strategies are tested with them (tests/search/test_differentiable_search.py).
    learned = ("evolution", "guided", "q-learning", "replay", *DIFFERENTIABLE_STRATEGIES)
    assert not set.intersection(*(set(foreign(each, names)) for each in learned))


def test_an_option_of_a_strategy_that_was_not_chosen_is_one_line(replaytree):
    code, out, err = replaytree("run", "--strategy", "random", "--tournament", 3, "--trainings", 1)
    assert (code, out) == (2, "")
    assert (
        err.strip()
        .splitlines()[-1]
        .endswith(
            "tournament is an option of evolution, and the strategy is random; leave out --tournament, or choose "
            "--strategy evolution"
        )
    )


def test_help_of_run_shows_what_matters_first_and_everything_when_asked(replaytree, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, short, _ = replaytree("run", "--help")
    assert code == 0
    assert re.findall(r"^  (--[a-z-]+) ", short, re.M) == [
        "--dataset", "--name", "--trainings", "--hours", "--max-layers", "--epochs", "--max-params", "--max-flops",
        "--seed", "--storage", "--help-all",
    ]  # fmt: skip
    code, long, _ = replaytree("run", "--help-all")
    assert code == 0
    assert set(by_flag(SearchConfig)) <= set(re.findall(r"--[a-z-]+", long))
    assert [line[:-1] for line in long.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)] == [*PANELS, "Options"]
    assert max(map(len, long.splitlines())) < 80
    hidden = len(re.findall(r"^  (?:-., )?--", long, re.M)) - len(re.findall(r"^  (?:-., )?--", short, re.M))
    assert f"{hidden} more options: replaytree run --help-all" in short
    assert not re.search(r"<(str|int|float|path)>", long)


def test_a_patient_bound_is_stored_and_goes_on(searched):
    assert searched("run", "--name", "patient", "--grow-every", "auto", "--trainings", 1, *QUICK)[0] == 0
    with sqlite3.connect("replaytree.db") as connection:
        [(stored,)] = connection.execute("select config_json from searches where name = 'patient'").fetchall()
    assert json.loads(stored)["grow_every"] is None
    assert searched("resume", "patient", "--trainings", 1, "--quiet")[0] == 0


def test_a_warm_start_is_stored_with_the_search(searched):
    assert searched("run", "--name", "second", "--warm-start", "first", "--trainings", 1, *QUICK)[0] == 0
    with sqlite3.connect("replaytree.db") as connection:
        [(stored,)] = connection.execute("select config_json from searches where name = 'second'").fetchall()
        told = connection.execute("select count(distinct path) from priors where search_id = 2").fetchone()[0]
        known = connection.execute("select count(*) from nodes where search_id = 1").fetchone()[0]
    assert json.loads(stored)["warm_start"] == "first"
    assert told == known
    assert searched("resume", "second", "--trainings", 1, "--quiet")[0] == 0
    assert searched("db", "check")[0] == 0
    code, _, err = searched("run", "--strategy", "random", "--warm-start", "first", *QUICK)
    assert code == 2
    assert "choose --strategy guided or replay" in err


MISTAKES = [
    (["run", "--dataset", "imagnet"], "imagnet.*digits, mnist, fashion-mnist, cifar10, cifar100, svhn"),
    (["run", "--dataset", "./nowhere"], "nowhere"),
    (["run", "--max-layers", "0"], "max_layers is 0"),
    (["run", "--min-layers", "5", "--max-layers", "3"], "min_layers is 5, more than max_layers, 3"),
    (["run", "--replay", "1.5"], r"replay is 1.5.*\(--replay\)"),
    (["run", "--continue", "-1"], "continue is -1.0"),
    (["run", "--epochs", "5:1"], "epochs are 5:1"),
    (["run", "--epochs", "0"], r"epochs_first is 0; it must be .* at least 1 .*\(--epochs\)"),
    (["run", "--batch-size", "0"], r"batch_size is 0; it must be .* at least 1 \(--batch-size\)"),
    (["retrain", "first", "--momentum", "1"], r"momentum is 1.0; it must be .* less than 1 \(--momentum\)"),
    (["retrain", "first", "--batch-size", "few"], "--batch-size is 'few'; write a whole number"),
    (["run", "--space", "xu25"], r"there is no space 'xu25' \(--space\); did you mean xu24\? The spaces are xu24"),
    (["run", "--strides"], r"space 'xu24' has no option 'strides'; it has width"),
    (
        ["run", "--preset", "enas-macro", "--space", "xu24"],
        "preset enas-macro sets --channels, and space 'xu24' has no such option; leave out --space, or --preset",
    ),
    (["run", "--preset", "darts", "--space", "nasnet"], "preset darts sets --final, and space 'nasnet' has no"),
    # What was given is the user's own, whatever the preset.
    (["run", "--preset", "zoph", "--space", "tiny", "--cells", "3"], "space 'tiny' has no option 'cells'"),
    (["run", "--epochs", "few"], "--epochs is 'few'"),
    (
        ["run", "--grow-every", "often"],
        "--grow-every is 'often'; write a whole number, as in 12, 100k or 5M, or 'auto'",
    ),
    (["run", "--device", "cuda:7"], r"device is 'cuda:7', which is not here( \(.*\))?; this machine has"),
    (
        ["bench", "evaluator", "--device", "cuda:7"],
        r"device is 'cuda:7', which is not here( \(.*\))?; this machine has",
    ),
    (["bench", "evaluator", "--width", "0.001"], "width is 0.001, which leaves 32 channels none"),
    (["bench", "evaluator", "--method", "magic"], "method is 'magic'; it must be one of plain, separate, joint, trie"),
    (["run", "--width", "0.001"], "width is 0.001, which leaves 32 channels none"),
    (["run", "--trainings", "0"], "trainings is 0"),
    (["run", "--storage", "sqlite:////nowhere/at/all.db"], "nowhere/at"),
    (["run", "--storage", "sqlite:what"], "not a database URL"),
    (["run", "--storage", "mysql://localhost/x"], "mysql"),
    (["run", "--seed", "9" * 20], "--seed is '9+'; the largest whole number is 9223372036854775807"),
    (["run", "--strategy", "magic"], "strategy is 'magic'; it must be one of darts, evolution, gdas, guided"),
    (["run", "--no-such-option"], "No such option"),
    (["resume", "nobody"], "replaytree.db"),
    (["list", "--storage", "sqlite:///missing.db"], "missing.db"),
]


@pytest.mark.parametrize(
    ("args", "message"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_gets_exit_code_2_and_one_clear_message(replaytree, args, message):
    code, out, err = replaytree(*args)
    assert code == 2
    assert re.search(message, " ".join(err.split()))
    assert "Traceback" not in out + err


def test_a_failed_start_leaves_no_search_behind(searched):
    before = searched("list")[1]
    for args, _ in MISTAKES[:9]:
        searched(*args)
    assert searched("list")[1] == before


def test_a_taken_name_says_resume(searched):
    code, _, err = searched("run", "--name", "first", *QUICK)
    assert code == 2
    assert "replaytree resume first" in err


def test_an_unknown_search_lists_those_there_are(searched):
    for command in (["best", "second"], ["resume", "second"], ["show", "second", "1"]):
        code, _, err = searched(*command)
        assert code == 2
        assert "it has: first" in err


@pytest.mark.parametrize("node", ["999999", "res128 nothing", "0.0.0.0.0.0.0.0", "99", "9" * 20])
def test_an_unknown_node(searched, node):
    code, _, err = searched("show", "first", node)
    assert code == 2
    assert err.startswith("Error: ")


def test_files_that_are_no_database_stay_as_they_are(replaytree, here):
    (here / "notes.db").write_text("not a database, but somebody's notes " * 100)
    before = (here / "notes.db").read_bytes()
    for command in (["run"], ["list"], ["db", "check"], ["db", "upgrade"]):
        code, _, err = replaytree(*command, "--storage", "sqlite:///notes.db")
        assert code == 2
        assert "is not a SQLite database" in err
    assert (here / "notes.db").read_bytes() == before


@pytest.mark.parametrize(
    ("revision", "message"), [("0000", "replaytree db upgrade"), ("9999", "newer")], ids=["older", "newer"]
)
def test_a_database_of_another_schema(searched, here, revision, message):
    with sqlite3.connect(here / "replaytree.db") as connection:
        connection.execute("update replaytree_alembic_version set version_num = ?", (revision,))
    for command in (["list"], ["best", "first"], ["resume", "first"]):
        code, _, err = searched(*command)
        assert code == 2
        assert revision in err
        assert "Traceback" not in err


def picture(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (shade, 255 - shade, 40)).save(path)


@pytest.fixture
def folder(here):
    for n in range(12):
        picture(here / "pictures/train/red" / f"{n}.png", 200 + n)
        picture(here / "pictures/train/green" / f"{n}.png", 20 + n)
    return here / "pictures"


def test_a_folder_of_pictures(replaytree, folder):
    options = ["--image-size", 8, "--epochs", 2, "--max-layers", 2, "--trainings", 2, "--quiet"]
    code, out, err = replaytree("run", "--dataset", folder, *options)
    assert (code, err) == (0, "")
    assert "pictures-1" in out


def test_pictures_that_cannot_be_read_are_listed_and_skipped_only_when_told(replaytree, folder):
    (folder / "train/red/broken.png").write_bytes(b"no picture")
    options = ["--image-size", 8, "--epochs", 1, "--max-layers", 2, "--trainings", 1, "--quiet"]
    code, _, err = replaytree("run", "--dataset", folder, *options)
    assert code == 2
    assert "broken.png" in err
    assert "--skip-bad" in err
    assert replaytree("run", "--dataset", folder, "--skip-bad", *options)[0] == 0


def test_folders_that_cannot_be_searched(replaytree, folder, here):
    (here / "empty").mkdir()
    assert replaytree("run", "--dataset", here / "empty")[0] == 2
    picture(folder / "train/lonely/1.png", 100)
    code, _, err = replaytree("run", "--dataset", folder)
    assert code == 2
    assert "lonely" in err


def start(here, *args):
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "replaytree.cli", "run", "--epochs", "1", "--train-limit", "200", *args]
    return subprocess.Popen(
        command, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_finishes_by_saving(replaytree, here, signal_):
    process = start(here, "--name", "stopped", "--trainings", "500")
    for line in process.stdout:
        if " 3/500 trainings" in line:
            process.send_signal(signal_)
            break
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0, rest
    assert "Stopping after this training" in rest
    assert re.search(r"best of \d+ prefixes, [3-9] trainings", rest)
    assert re.search(r"^stopped after [3-9] of 500 trainings\n\nNext:\n  replaytree resume stopped\n", rest, re.M)
    assert replaytree("db", "check")[0] == 0
    assert replaytree("resume", "stopped", "--trainings", 1, "--quiet")[0] == 0


def test_a_second_ctrl_c_quits_at_once_and_what_was_committed_stays(replaytree, here):
    process = start(
        here, "--name", "quit", "--hours", "1", "--max-layers", "30", "--min-layers", "30", "--epochs", "200"
    )
    begun(process, "search quit: digits: 200 train, 180 validation images")
    compute(process, seconds=2)
    process.send_signal(signal.SIGINT)
    begun(process, "Ctrl-C again quits at once")
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 130, out
    assert "Traceback" not in out
    assert replaytree("db", "check")[0] == 0


def test_depth_calibration_is_refused_with_its_reason_and_is_not_in_help(replaytree, here):
    removed = "--calibrate was removed, because depth calibration made rankings less faithful; leave it out"
    assert replaytree("run", "--trainings", 1, "--calibrate", 0.2, *QUICK) == (2, "", f"Error: {removed}\n")
    assert not (here / "replaytree.db").exists()
    assert "--calibrate" not in replaytree("run", "--help-all")[1]


def compute(process, *, seconds):
    """Wait until a process has used so much more processor time: it is training then, however busy the machine."""
    stat = Path(f"/proc/{process.pid}/stat")

    def used():
        return int(stat.read_text().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")

    start = used()
    while used() < start + seconds:
        time.sleep(0.05)


def begun(process, text):
    """Wait for a line of a process."""
    assert any(text in line for line in iter(process.stdout.readline, ""))


def test_a_second_driver_is_refused_until_it_takes_the_search_over(replaytree, here):
    process = start(here, "--name", "held", "--hours", "1")
    begun(process, " 2 trainings")
    for command in (["resume", "held"], ["run", "--name", "held"]):
        code, _, err = replaytree(*command)
        assert code == 2
        assert re.search(
            rf"'held' is being run by process {process.pid} on \S+, since 20\S+ \S+ UTC, last seen 0:0", err
        )
        assert "`replaytree resume held --take-over`" in err
        if command[0] == "run":
            assert err.startswith(
                "Error: a search named 'held' exists already; choose another name (--name, name=), or "
            )
    assert replaytree("resume", "held", "--take-over", "--trainings", 2, "--quiet")[0] == 0
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 1, rest
    assert "Traceback" not in rest
    assert len(re.findall("search 'held' was taken over by", rest)) == 1
    assert replaytree("db", "check")[0] == 0


def test_a_killed_search_is_resumed_without_a_word(replaytree, here):
    process = start(here, "--name", "killed", "--hours", "1")
    begun(process, " 3 trainings")
    process.kill()
    process.communicate(timeout=60)
    assert replaytree("db", "check")[0] == 0
    code, out, err = replaytree("resume", "killed", "--trainings", 1, "--quiet")
    assert (code, err) == (0, "")
    assert "best of" in out


def test_a_read_only_database_is_read_and_not_searched_further(searched, here):
    storage = ["--storage", f"sqlite:///file:{here}/replaytree.db?mode=ro&uri=true"]
    assert searched("best", "first", *storage)[0] == 0
    for command in (["resume", "first", "--trainings", "1", "--quiet"], ["run", "--quiet"]):
        code, out, err = searched(*command, *storage)
        assert (code, out) == (2, "")
        assert "is read-only (its URL says so); make the file and its folder writable, or copy it elsewhere" in err
    assert searched("db", "check")[0] == 0


@pytest.mark.parametrize(("words", "noted"), [((), True), (("--warmup", 1), False), (("--strategy", "random"), False)])
def test_a_search_that_ends_in_its_warm_up_is_told(replaytree, words, noted):
    few = ("--trainings", 2, "--max-layers", 2, "--train-limit", 64, "--epochs", 1)
    code, _, err = replaytree("run", *few, *words)
    assert code == 0
    assert ("so that this is random search" in err) == noted
