"""Cells retrained on a small text."""

import json
import math

import pytest

import replaytree
from replaytree.bench.text import CELLS, Contender, Job, Mean, found_by, measure, sized
from replaytree.cli import main
from replaytree.data import load_text
from replaytree.errors import ConfigError, SpaceError
from replaytree.space.catalogue import named_space

RECIPE = (("bptt", 8), ("batch_size", 16), ("learning_rate", 5.0))


def job(folder, **changes):
    return Job(**{"dataset": str(folder), "params": 3000, "epochs": 1, "seeds": 2, "options": RECIPE, **changes})


def test_a_mean_has_students_interval():
    # Losses of 3, 4 and 5 nats: s is 1, and t of 2 degrees of freedom is 4.3027.
    found = Mean.of([math.exp(nats) for nats in (3.0, 4.0, 5.0)])
    assert found.mean == pytest.approx(math.exp(4.0))
    half = 4.3027 / math.sqrt(3)
    assert found.interval == pytest.approx((math.exp(4.0 - half), math.exp(4.0 + half)), rel=1e-4)
    assert Mean.of([5.0]) == Mean(pytest.approx(5.0), None)
    assert Mean.of([1e300, 1e308]).interval[1] == math.inf
    assert Mean.of([5.0, math.inf]) == Mean(math.inf, None)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_as_wide_as_its_parameters_allow(text_folder, name):
    data = load_text(text_folder)
    own = job(text_folder, params=20_000)
    subject, hidden = sized(CELLS[name], data, own, {})
    assert subject.graph.params <= 20_000
    wider, _ = sized(CELLS[name], data, job(text_folder, params=10**6), {})
    assert wider.graph.params > subject.graph.params
    # The next size has more.
    space = {"rnn": "plain-rnn", "lstm": "plain-rnn"}.get(name, CELLS[name].space)
    path = " ".join(subject.labels)
    ends = {"ends": "all"} if name == "ENAS-LM" else {}
    more = named_space(
        space, input_shape=(1, 1, 1), num_classes=data.num_classes, max_layers=16, hidden=hidden + 1, **ends
    )  # fmt: skip
    assert more.network(more.parse(path)).params > 20_000
    with pytest.raises(SpaceError, match=rf"{name} has [\d,]+ parameters with a hidden size of 1, more than 10; give"):
        sized(CELLS[name], data, job(text_folder, params=10), {})


def test_cells_are_retrained_and_measured_on_both_parts(text_folder):
    [rnn] = measure([CELLS["rnn"]], job(text_folder))
    assert (rnn.name, rnn.labels, len(rnn.validation), len(rnn.test)) == ("rnn", "rnn", 2, 2)
    assert rnn.validation[0] != rnn.validation[1]
    assert all(1 < perplexity < 60 for perplexity in (*rnn.validation, *rnn.test))
    assert rnn.validation != rnn.test
    (text_folder / "test.txt").unlink()
    [again] = measure([CELLS["rnn"]], job(text_folder))
    assert (again.validation, again.test) == (rnn.validation, ())


def test_a_training_that_diverges_is_infinite(text_folder):
    wild = job(text_folder, seeds=1, options=(*RECIPE[:2], ("learning_rate", 1e6), ("text_clip", None)))
    [found] = measure([CELLS["rnn"]], wild)
    assert (found.validation, found.test) == ((math.inf,), (math.inf,))


def test_the_best_cell_of_a_search(text_folder, tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    search = replaytree.Search(
        name="s", storage=storage, dataset=str(text_folder), space="enas-rnn", hidden=4, ends="all", bptt=8,
        batch_size=16, epochs_first=1, epochs_last=1, max_layers=2, strategy="random",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="search 's' has no cell that was measured"):
        found_by(search.tree, "s")
    search.run(trainings=2)
    [best] = search.tree.best(1)
    assert found_by(search.tree, "s") == Contender("s", "enas-rnn", " ".join(best.labels), {"ends": "all"})


def test_the_command(text_folder, tmp_path, capsys):
    out = tmp_path / "out.json"
    words = ["--dataset", str(text_folder), "--cell", "lstm", "--seeds", "1", "--epochs", "1", "--params", "3k"]
    words += ["--option", "bptt=8", "--option", "batch_size=16", "--json", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(["bench", "text", *words])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("lstm       validation")
    [cell] = json.loads(out.read_text())["cells"]
    assert (cell["name"], cell["params"] <= 3000, len(cell["test"])) == ("lstm", True, 1)
