import itertools
import json

import numpy as np
import pytest

from replaytree import cli
from replaytree.bench.digits_table import all_paths, digits_space, make_table
from replaytree.bench.strategies import Job, TableFile, WarmStart, checkpoints, parse_table, run_job
from replaytree.config import SCORED_STRATEGIES
from replaytree.space import LabelSpace


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Chains of three labels up to four long; the second label is best, and a training is noisy."""
    file = tmp_path_factory.mktemp("table") / "chains.csv"
    generator = np.random.default_rng(0)
    rows = ["arch,accuracy_0,accuracy_1"]
    for length in range(1, 5):
        for path in itertools.product("abc", repeat=length):
            mean = 0.5 + 0.08 * path.count("b") - 0.04 * path.count("c")
            rows.append(f"{' '.join(path)}," + ",".join(f"{mean + generator.normal(0, 0.01):.4f}" for _ in range(2)))
    file.write_text("\n".join(rows) + "\n")
    return TableFile(str(file))


@pytest.mark.parametrize("strategy", SCORED_STRATEGIES)
def test_every_strategy_is_run_and_its_regret_is_that_of_the_best_node(table, strategy):
    result = run_job(Job(table, strategy, seed=1, trainings=30))
    assert list(result.regrets) == checkpoints(30) == [10, 25, 30]
    assert all(0.0 <= regret < 60.0 for regret in result.regrets.values())
    assert run_job(Job(table, strategy, seed=1, trainings=30)).regrets == result.regrets


def test_guided_finds_the_best_of_120_chains_in_40_trainings(table):
    regrets = [run_job(Job(table, "guided", seed=seed, trainings=40)).regrets[40] for seed in range(3)]
    assert np.mean(regrets) < 2.0


def test_all_paths_of_a_space():
    assert list(all_paths(LabelSpace(["a", "b"], max_layers=2))) == [(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)]
    # 5 + 25 + 125 + 625 chains, less those that would shrink a map of 8x8 below 1x1.
    assert len(list(all_paths(digits_space()))) == 764


def run(*args):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", *map(str, args)])
    return ended.value.code or 0


def test_the_command_prints_writes_and_draws(table, tmp_path, capsys):
    report, figure = tmp_path / "s.json", tmp_path / "s.html"
    options = ["--strategy", "random", "--strategy", "local-search", "--seeds", 2, "--trainings", 12, "--processes", 1]
    assert run("strategies", table.file, "synthetic:cells", *options, "--json", report, "--figure", figure) == 0
    summaries = json.loads(report.read_text())["summaries"]
    assert [(s["table"], s["strategy"], s["trainings"]) for s in summaries] == list(
        itertools.product(["chains.csv", "synthetic:cells"], ["random", "local-search"], [10, 12])
    )
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[3]) == ("chains.csv", "synthetic:cells")
    assert lines[1].startswith(f"random       10: {summaries[0]['mean']:.3f} [")
    # The starts of a peer are the first paths of random search, whose trainings it shares.
    assert (
        "random       10: +0.000 [+0.000, +0.000] local-search"
        in lines[lines.index("chains.csv, less the best peer") + 1]
    )
    assert "regret over that of the best peer, geometric mean of tables" in lines
    earlier = report.read_bytes()
    options = [
        "--strategy",
        "evolution",
        "--seeds",
        2,
        "--trainings",
        10,
        "--beside",
        report,
        "--json",
        tmp_path / "t.json",
    ]
    assert run("strategies", "synthetic:cells", *options) == 0
    [difference] = json.loads((tmp_path / "t.json").read_text())["differences"][-1:]
    assert (difference["strategy"], difference["peer"], difference["seeds"], difference["mean"]) == (
        "evolution", "local-search", 2, 0.0
    )  # fmt: skip
    assert report.read_bytes() == earlier
    assert "plotly" in figure.read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["missing.csv"], "there is no table missing.csv; give a CSV or Parquet file"),
        (["synthetic:hard"], "'synthetic:hard' is no table; one of synthetic:additive, "),
        (["synthetic:cells,percent"], "has 'percent' behind a synthetic table"),
        (["missing.csv,percents"], "has 'percents' behind the file; write accuracy=COLUMN, percent or complete=LAYER"),
        (["TABLE", "--beside", "TABLE"], "chains.csv was not written by bench strategies --json"),
        (["TABLE", "TABLE"], "two tables are called chains.csv; give one of them another name"),
        (["TABLE", "--strategy", "magic"], "strategy is 'magic'; it must be one of evolution, guided"),
        (["TABLE", "--option", "gamma"], "--option is 'gamma'; write NAME=VALUE"),
        (["TABLE", "--option", "gama=1"], "unknown option 'gama'"),
        (["TABLE", "--complete", "z"], "its layers are a, b, c"),
    ],
)
def test_mistakes(table, capsys, args, message):
    assert run("strategies", *(table.file if arg == "TABLE" else arg for arg in args)) == 2
    assert message in capsys.readouterr().err


def test_the_digits_table_is_made_of_real_trainings(tmp_path, monkeypatch):
    monkeypatch.setattr("replaytree.bench.digits_table.LAYERS", 1)
    file = tmp_path / "digits.csv.gz"
    assert make_table(file, seeds=1, processes=1) == 5
    best = run_job(Job(TableFile(str(file)), "random", seed=0, trainings=10))
    assert best.regrets == {10: 0.0}


def test_a_warm_start_is_measured_and_helps(table):
    """Eight trainings are the random start of guided; what another search found is there at once."""
    warm = WarmStart(("accuracy_1",), trainings=60)
    cold, told = (
        [run_job(Job(table, "guided", seed, 8, warm_start=start)).regrets[8] for seed in range(3)]
        for start in (None, warm)
    )
    assert np.mean(told) < np.mean(cold)


def test_a_warm_start_of_what_learns_from_no_tree(table, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "strategies", table.file, "--strategy", "random", "--warm-start", "accuracy_1"])
    assert ended.value.code == 2
    assert "--warm-start is for --strategy guided and replay, not random" in capsys.readouterr().err


def test_how_to_read_a_table_stands_behind_its_name(table):
    default = TableFile("", ("acc",), percent=True)
    assert parse_table("c.csv,accuracy=x,accuracy=y,complete=none", default=default) == TableFile(
        "c.csv", ("x", "y"), percent=True, complete="none"
    )
    assert parse_table("c.csv", default=default) == TableFile("c.csv", ("acc",), percent=True)
    assert parse_table("synthetic:cells", default=default) == TableFile("synthetic:cells")


@pytest.mark.parametrize("kind", ["cells", "decisions"])
@pytest.mark.parametrize("strategy", SCORED_STRATEGIES)
def test_every_strategy_searches_unmeasured_prefixes_and_several_decisions(kind, strategy):
    regrets = run_job(Job(TableFile(f"synthetic:{kind}"), strategy, seed=1, trainings=10)).regrets
    assert 0.0 <= regrets[10] < 60.0
