"""Every command that a page prints is complete: it is run as it stands, from another folder."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from html import unescape

import pytest

from replaytree.cli import app
from replaytree.config import SearchConfig
from replaytree.errors import CorruptTree
from replaytree.report import write_report
from replaytree.report.commands import command, commands_of, companion_config, companion_name, node_commands
from replaytree.report.reading import read_search
from replaytree.report.sections.tree import tree_columns
from replaytree.search.search import Search
from replaytree.tree import ReplayTree


def test_names_are_quoted_and_the_database_is_named(data, tmp_path):
    odd = replace(data, info=replace(data.info, name="my $HOME; 'x'"))
    words = shlex.split(command(odd, "show", (odd.name, "12")))
    assert words == ["replaytree", "show", "my $HOME; 'x'", "12", "--storage", f"sqlite:///{tmp_path}/tree.db"]
    dashed = replace(data, info=replace(data.info, name="-x"))
    assert shlex.split(command(dashed, "retrain", options=["--node", "3"])) == [
        "replaytree", "retrain", "--node", "3", "--storage", f"sqlite:///{tmp_path}/tree.db", "--", "-x",
    ]  # fmt: skip


def test_a_password_stays_out_of_the_page(data):
    bare = replace(data, storage=None)
    assert command(bare, "resume") == 'replaytree resume first --storage "$REPLAYTREE_STORAGE"'
    assert commands_of(bare).environment
    assert not commands_of(data).environment


def test_the_companion_differs_in_the_strategy_alone(grow, golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    config = SearchConfig(dataset="pictures", strategy="guided", warm_start="old", max_layers=3, seed=5, width=0.5)
    grow(golden, "old-random")
    data = read_search(grow(golden, "old", config=json.loads(config.to_json())))
    assert companion_name(data) == "old-random-2"
    found = companion_config(data)
    changed = {name for name, value in config.to_options().items() if value != found.to_options()[name]}
    assert changed == {"strategy", "warm_start", "dataset"}
    assert (found.strategy, found.warm_start, found.source.dataset) == ("random", None, str(tmp_path / "pictures"))
    assert "--trainings 4" in commands_of(data).companion


def test_no_command_line_makes_what_was_given_in_python(grow, golden):
    data = read_search(grow(golden, config={"dataset": None}))
    assert commands_of(data).companion is None
    broken = read_search(grow(golden, "broken", config={"no_such_option": 1}))
    with pytest.raises(CorruptTree, match=r"search 'broken': .*unknown option 'no_such_option'"):
        commands_of(broken)


def test_the_page_cuts_commands_where_the_number_goes(data):
    pieces = tree_columns(data)["commands"]
    assert ["12".join(each) for each in pieces] == node_commands(data, "12")
    tricky = replace(data, info=replace(data.info, name="NODE0"))
    assert ["12".join(each) for each in tree_columns(tricky)["commands"]] == node_commands(tricky, "12")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A small search on pictures in a folder, the folder, and its report; its one file of pictures lies elsewhere."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("work")
    for kind, shade in (("dark", 40), ("light", 200)):
        (folder / "two kinds" / "train" / kind).mkdir(parents=True)
        (folder / "two kinds" / "test" / kind).mkdir(parents=True)
        for number in range(12):
            picture = Image.new("RGB", (8, 8), (shade + number, shade, shade))
            part = "train" if number < 9 else "test"
            picture.save(folder / "two kinds" / part / kind / f"{number}.png")
    storage = f"sqlite:///{folder}/tree.db"
    search = Search(
        dataset=str(folder / "two kinds"), name="my search", storage=storage, max_layers=2, min_layers=2, image_size=8,
        epochs_first=1, epochs_last=1, width=0.05, val_fraction=0.3, strategy="evolution", max_params=5000,
    ).run(trainings=2)  # fmt: skip
    return search.tree, folder, write_report(search.tree, out=folder / "reports")


@pytest.fixture
def run(searched, monkeypatch, capsys):
    """A pasted line, split as a shell splits it, run in a folder that has nothing to do with the search."""
    elsewhere = searched[1] / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    monkeypatch.chdir(elsewhere)
    for name in ("REPLAYTREE_STORAGE", "REPLAYTREE_DATA"):
        monkeypatch.delenv(name, raising=False)

    def run(line):
        program, *words = shlex.split(line)
        assert program == "replaytree"
        with pytest.raises(SystemExit) as ended:
            app(words)
        out, err = capsys.readouterr()
        assert not ended.value.code, f"{line}\n{err}"
        return out

    return run


def test_a_shell_takes_a_printed_command_as_it_stands(searched):
    tree, folder, _ = searched
    node = str(tree.best(1)[0].node_id)
    line = node_commands(read_search(tree), node)[0].replace(
        "replaytree", f"{shlex.quote(sys.executable)} -m replaytree.cli", 1
    )
    done = subprocess.run(
        ["sh", "-c", line], check=True, cwd=folder.parent, capture_output=True, text=True, timeout=300
    )
    assert tree.node(int(node)).label in done.stdout


def test_every_printed_command_does_what_it_says(searched, run):
    tree, folder, page = searched
    text = unescape(page.read_text(encoding="utf-8"))
    printed = dict(re.findall(r'<code data-command="(\w+)">(.*?)</code>', text))
    assert set(printed) == {"companion", "against", "show", "retrain", "export", "resume", "verdict1", "verdict2"}
    run(f"{printed['companion']} --quiet")
    companion = ReplayTree.open(tree.engine, "my search-random")
    own, other = (SearchConfig.from_json(each.info().config_json) for each in (tree, companion))
    assert own.with_options(strategy="random") == other
    assert companion.training_count == 2
    assert companion.info().data_json == tree.info().data_json
    run(printed["against"])
    written = (folder / "elsewhere" / "reports" / page.parent.name / "index.html").read_text(encoding="utf-8")
    assert "“my search-random”" in written
    node = str(tree.best(1)[0].node_id)
    show, retrain, export = node_commands(read_search(tree), node)
    assert [show, retrain, export] == [printed[name] for name in ("show", "retrain", "export")]
    assert " ".join(tree.node(int(node)).labels) in " ".join(run(show).split())
    assert "test accuracy" in run(f"{retrain} --epochs 1 --quiet")
    assert "verified" in run(export)
    assert "test accuracy" in run(f"{printed['retrain']} --epochs 1 --quiet")
    # The page says how to find out whether the search beats a hand-made network.
    assert "trained earlier" in run(f"{printed['verdict1']} --epochs 1 --quiet")
    assert "linear  test accuracy" in run(f"{printed['verdict2']} linear --quiet")
    run(printed["resume"].replace("--trainings 10", "--trainings 1 --quiet"))
    assert tree.training_count == 3
    footer = re.search(r"Written by <code>(.*?)</code>", written)[1]
    assert "--against 'my search-random'" in unescape(footer)
    run(unescape(footer))
    again = read_search(tree)
    assert [model.test_accuracy is not None for model in again.models] == [True] * len(again.models)
