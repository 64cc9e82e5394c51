"""The loop, end to end: on a table in memory for exactness, on digits for truth."""

import json

import pytest
import torch
from sqlalchemy import text

import replaytree
from replaytree.config import SCORED_STRATEGIES, Pruning, SearchConfig
from replaytree.config.strategies import without_foreign
from replaytree.data import from_arrays, load_data
from replaytree.errors import (
    ConfigError,
    DataError,
    EvaluationError,
    LeaseLost,
    SearchExists,
    SearchHeld,
    SearchNotFound,
    SpaceError,
    StorageError,
)
from replaytree.records import PathEvaluation
from replaytree.search.state import unpack
from replaytree.search.turns import episode_seed
from replaytree.tree import check, list_searches, open_engine
from replaytree.tree.engine import reading

LABELS = ["identity", "good", "bad"]


class Table:
    """A smooth function of the path with a little noise from the seed; counts what it is asked."""

    def __init__(self):
        self.calls = []

    def evaluate(self, paths, *, budget, seed):
        self.calls.append((tuple(paths), budget.epochs, seed))
        noise = torch.Generator().manual_seed(seed)
        results = []
        for path in paths:
            values = []
            for t in range(len(path)):
                prefix = path[: t + 1]
                value = 0.5 + 0.05 * prefix.count(1) - 0.05 * prefix.count(2) + 0.01 * budget.epochs
                values.append(value + 0.001 * float(torch.rand((), generator=noise)))
            results.append(PathEvaluation(values))
        return results


def make(storage, *, name="table", evaluator=None, **options):
    space = replaytree.LabelSpace(LABELS, max_layers=5)
    options = {
        "strategy": "replay", "min_layers": 1, "epochs_first": 1, "epochs_last": 4, "grow_every": None,
        "grow_patience": 2, "continue_": 0.3, **options,
    }  # fmt: skip
    options = without_foreign(options["strategy"], options)
    return replaytree.Search(space=space, evaluator=evaluator or Table(), storage=storage, name=name, **options)


def resume(storage, *, name="table", evaluator=None, **options):
    space = replaytree.LabelSpace(LABELS, max_layers=5)
    return replaytree.Search.resume(name, space=space, evaluator=evaluator or Table(), storage=storage, **options)


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/test.db"


def everything(search):
    """All that a search has stored, but for times and database ids of the search itself."""
    episodes = [
        (e.number, e.path, e.source, e.trained, e.depth_bound, e.epochs, e.accuracies, e.policy_loss, e.entropy)
        for e in search.tree.episodes()
    ]
    return search.tree.node_stats(), episodes, search.growth, search.tree.strategy_state()


class GoodFirst:
    """The first layer is the best prefix, 0.9 and then 0.8; what follows it is bad."""

    def __init__(self):
        self.first = [0.9, 0.8, 0.95]

    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([self.first.pop(0), *[0.1] * (len(path) - 1)]) for path in paths]


def test_a_path_counts_by_its_best_prefix(storage):
    search = make(storage, evaluator=GoodFirst(), strategy="random", min_layers=3, grow_patience=5)
    search.run(trainings=1)
    assert (search.growth.best_accuracy, search.growth.stale) == (0.9, 0)
    search.run(trainings=1)
    assert (search.growth.best_accuracy, search.growth.stale) == (0.9, 1)
    search.run(trainings=1)
    assert (search.growth.best_accuracy, search.growth.stale) == (0.95, 0)


def test_searches_that_begin_together_without_a_name_get_one_each(storage, monkeypatch):
    make(storage, name=None)
    first, names = [], replaytree.search.assembly.search_names

    def names_of_a_moment_ago(engine):
        if first:
            return names(engine)
        first.append(names(engine))
        make(storage, name=None)
        return first[0]

    monkeypatch.setattr(replaytree.search.assembly, "search_names", names_of_a_moment_ago)
    assert make(storage, name=None).name == "search-3"
    with pytest.raises(SearchExists, match="'search-2' exists already"):
        make(storage, name="search-2")


@pytest.mark.parametrize("strategy", SCORED_STRATEGIES)
@pytest.mark.parametrize("num_paths", [1, 3])
def test_interrupted_after_any_turn_and_resumed_is_as_if_uninterrupted(tmp_path, strategy, num_paths):
    options = {"strategy": strategy, "num_paths": num_paths, "seed": 5}
    whole = make(f"sqlite:///{tmp_path}/whole.db", **options)
    for _ in range(6):
        whole.turn(num_paths)
    for stop in range(6):
        storage = f"sqlite:///{tmp_path}/{stop}.db"
        first = make(storage, **options)
        for _ in range(stop):
            first.turn(num_paths)
        del first
        torch.rand(stop)  # the global generator is nobody's business
        second = resume(storage)
        for _ in range(6 - stop):
            second.turn(num_paths)
        assert everything(second) == everything(whole)


def test_the_same_seed_gives_the_same_tree_and_another_seed_another(tmp_path):
    def nodes(name, seed):
        return make(f"sqlite:///{tmp_path}/{name}.db", seed=seed).run(episodes=12).tree.node_stats()

    assert nodes("a", 1) == nodes("b", 1)
    assert nodes("a2", 1) != nodes("c", 2)


def test_limits_count_from_the_call(storage):
    search = make(storage, replay=0.5, continue_=0.0, num_paths=4)
    search.run(trainings=7)
    assert search.tree.training_count == 7
    episodes = search.tree.episode_count
    search.run(episodes=5)
    assert search.tree.episode_count == episodes + 5 == search.episode_count
    assert search.run(hours=1e-12).tree.episode_count == episodes + 5


def test_a_strategy_may_know_how_many_trainings_the_first_run_has(tmp_path):
    whole = make(f"sqlite:///{tmp_path}/whole.db", strategy="q-learning").run(trainings=8)
    assert whole.strategy.state_dict()["trainings"] == 8
    storage = f"sqlite:///{tmp_path}/halves.db"
    make(storage, strategy="q-learning", q_trainings=8).run(trainings=5)
    halves = resume(storage).run(trainings=3)
    assert everything(halves) == everything(whole)
    assert halves.run(trainings=2).strategy.state_dict()["trainings"] == 8


def test_stop_ends_after_the_turn_under_way(storage):
    search = make(storage)
    search.run(episodes=100, on_turn=lambda progress: progress.episode_count == 3 and search.stop())
    assert search.tree.episode_count == 3


def test_threads_are_recorded_and_may_be_others_when_it_is_resumed(storage, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    search = make(storage, threads=1)
    assert search.tree.info().versions["threads"] == "1 thread"
    assert resume(storage).config.machine.threads == 1
    assert resume(storage, threads=2).config.machine.threads == 2
    with pytest.raises(ConfigError, match=r"threads is 0; .*--threads"):
        resume(storage, threads=0)
    monkeypatch.setattr("replaytree.training.threads.usable_cpus", lambda: 6)
    assert make(storage, name="chosen").tree.info().versions["threads"] == "1 to 6 threads"


def test_replayed_episodes_train_nothing(storage):
    table = Table()
    search = make(storage, evaluator=table, replay=0.6, continue_=0.0).run(episodes=30)
    replayed = [episode for episode in search.tree.episodes() if episode.source == "replay"]
    assert replayed
    assert not any(episode.trained or episode.accuracies for episode in replayed)
    assert len(table.calls) == 30 - len(replayed) == search.tree.training_count


def test_depth_and_budget_grow(storage):
    search = make(storage, grow_every=2, replay=0.0).run(episodes=10)
    bounds = [(episode.depth_bound, episode.epochs, len(episode.path)) for episode in search.tree.episodes()]
    assert bounds == [(1, 1, 1)] * 2 + [(2, 2, 2)] * 2 + [(3, 4, 3)] * 2 + [(4, 4, 4)] * 2 + [(5, 4, 5)] * 2


def test_the_design_example(storage):
    look_up = {(0,): 0.5, (1,): 0.6, (0, 0): 0.7, (0, 1): 0.8, (1, 0): 0.1, (1, 1): 0.2}.__getitem__

    class Lookup:
        def evaluate(self, paths, *, budget, seed):
            return [PathEvaluation(accuracies=[look_up(path[: t + 1]) for t in range(len(path))]) for path in paths]

    space = replaytree.LabelSpace(["a", "b"], max_layers=2)
    search = replaytree.Search(space=space, evaluator=Lookup(), storage=storage, name="t", min_layers=2, max_layers=2)
    search.run(trainings=20)
    best = search.tree.best(k=1)[0]
    assert (best.path, best.labels) == ((0, 1), ("a", "b"))
    assert best.average_accuracy == pytest.approx(0.8)
    assert best.visit_count >= best.evaluation_count >= 1


def test_a_space_with_no_more_than_the_contract_asks(storage):
    class Minimal:
        num_actions, max_layers = 2, 3

        def legal(self, prefix):
            return (True, len(prefix) > 0)

        def label(self, action):
            return "xy"[action]

        def build(self, prefix, num_classes):
            raise AssertionError("nothing is built in tabular work")

        def cost(self, prefix):
            return 10 * len(prefix), 100 * len(prefix)

    search = replaytree.Search(space=Minimal(), evaluator=Table(), storage=storage, name="minimal").run(trainings=3)
    assert search.tree.best(k=1)[0].params in (10, 20, 30)
    assert search.tree.best(k=9, max_depth=1)[0].labels == ("x",)


def test_failures_are_stored_and_the_search_goes_on(storage):
    class Fails:
        def evaluate(self, paths, *, budget, seed):
            return [PathEvaluation([0.5], failure="diverged", failure_text="loss is nan") for _ in paths]

    search = make(storage, evaluator=Fails(), min_layers=3, replay=0.0).run(episodes=4)
    assert {(e.failure, e.failure_text, e.accuracies) for e in search.tree.episodes()} == {
        ("diverged", "loss is nan", (0.5,))
    }
    assert check(search.tree.engine) == []


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "returned 0 evaluations for 1 paths"),
        ([PathEvaluation([0.5])], "1 accuracies for a path of 3 layers"),
        ([PathEvaluation([0.5] * 4)], "4 accuracies for a path of 3 layers"),
        (None, "what Broken.evaluate returned is None; it must be a list"),
    ],
)
def test_an_evaluator_that_breaks_its_contract_is_told_and_nothing_is_stored(storage, results, message):
    class Broken:
        def evaluate(self, paths, *, budget, seed):
            return results

    search = make(storage, evaluator=Broken(), min_layers=3)
    with pytest.raises(EvaluationError, match=message):
        search.run(episodes=1)
    assert search.tree.episode_count == 0


def test_names(storage):
    make(storage)
    with pytest.raises(SearchExists, match=r"Search\.resume\('table'"):
        make(storage)
    first, second = (make(storage, name=None) for _ in range(2))
    assert (first.name, second.name) == ("search-1", "search-2")
    with pytest.raises(SearchNotFound, match="table, search-1, search-2"):
        resume(storage, name="tabel")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"evaluator": Table()}, SpaceError, "needs a space"),
        ({"space": replaytree.LabelSpace(["a"], max_layers=3)}, SpaceError, "needs an evaluator"),
        ({"dataset": "digits", "evaluator": Table()}, ConfigError, "dataset was given beside"),
        ({"max_layer": 3}, ConfigError, "unknown option 'max_layer'"),
        ({"config": SearchConfig(), "seed": 1}, ConfigError, r"not both \(got seed\)"),
        ({"space": "zophs"}, SpaceError, r"there is no space 'zophs' \(--space\); .*he spaces are xu24"),
        ({"strides": True}, SpaceError, r"space 'xu24' has no option 'strides'; it has width"),
        (
            {"evaluator": Table(), "space": replaytree.LabelSpace(["a"], max_layers=3), "width": 0.5},
            ConfigError,
            "width is an option of named spaces, and the space is of your own; leave it out",
        ),
        ({"evaluator": "alone"}, ConfigError, r"evaluator is 'alone'; it must be one of joint, separate, whole"),
        ({"strategy": "guesswork"}, ConfigError, "strategy is 'guesswork'; it must be one of"),
        ({"dataset": "imagenet99"}, DataError, "imagenet99"),
        ({"device": "cuda:99"}, ConfigError, "device is 'cuda:99'"),
        (
            {"evaluator": Table(), "space": replaytree.LabelSpace(["a"], max_layers=3), "max_layers": 4},
            ConfigError,
            "max_layers is 4, but the space ends at 3",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_stored(storage, options, error, message):
    with pytest.raises(error, match=message):
        replaytree.Search(storage=storage, **options)
    assert make(storage, name="first").tree.info().name == "first"


def test_a_space_and_an_evaluator_may_be_named_or_given(storage):
    named = replaytree.Search(storage=storage, space="xu24", evaluator="separate", train_limit=100, max_layers=3)
    stored = json.loads(named.tree.info().config_json)
    assert (stored["space"], stored["evaluator"]) == ("xu24", "separate")
    assert type(named.workers.evaluator).__name__ == "SeparateEvaluator"
    # A space of one's own has no name; an option that it does not have would be believed.
    assert json.loads(make(storage, name="own").tree.info().config_json)["space"] is None


def test_a_run_needs_a_limit_over_0(storage):
    search = make(storage)
    with pytest.raises(ConfigError, match="nothing says when to stop"):
        search.run()
    with pytest.raises(ConfigError, match=r"trainings is 0; it must be over 0 \(--trainings\)"):
        search.run(trainings=0)


def test_digits_are_searched_and_resumed_with_the_same_tree(tmp_path):
    options = {"dataset": "digits", "max_layers": 3, "epochs_first": 1, "epochs_last": 2, "train_limit": 300, "seed": 2}
    whole = replaytree.Search(storage=f"sqlite:///{tmp_path}/whole.db", **options).run(episodes=5)
    replaytree.Search(storage=f"sqlite:///{tmp_path}/parts.db", **options).run(episodes=2)
    parts = replaytree.Search.resume("digits-1", storage=f"sqlite:///{tmp_path}/parts.db").run(episodes=3)
    assert everything(parts) == everything(whole)
    assert check(parts.tree.engine) == []
    fingerprint = json.loads(parts.tree.info().data_json)
    assert fingerprint["train_count"] == 300
    assert parts.config.space.layers.width == whole.config.space.layers.width


def test_resuming_on_other_images_is_refused(storage):
    digits = load_data("digits", train_limit=100)
    search = replaytree.Search(data=digits, storage=storage, name="own", max_layers=2, epochs_first=1, epochs_last=1)
    search.run(trainings=1)
    with pytest.raises(DataError, match="the images are not those of search 'own': sha256 was"):
        replaytree.Search.resume("own", storage=storage, data=load_data("digits", train_limit=200))
    with pytest.raises(ConfigError, match=r"replaytree.Search.resume\('own', \.\.\.\), giving them again"):
        replaytree.Search.resume("own", storage=storage)
    assert replaytree.Search.resume("own", storage=storage, data=digits).run(trainings=1).tree.training_count == 2


def test_layers_of_ones_own_on_images_of_ones_own(storage):
    from sklearn.datasets import load_digits
    from torch import nn

    digits = load_digits()
    data = from_arrays((digits.images * 15).astype("uint8"), digits.target)
    layers = [
        replaytree.Convolution(8, 3),
        replaytree.CustomLayer("depthwise", lambda shape: nn.Conv2d(shape[0], shape[0], 3, padding=1, groups=shape[0])),
    ]
    space = replaytree.LayerSpace(layers, input_shape=(1, 8, 8), num_classes=10, max_layers=3)
    search = replaytree.Search(data=data, space=space, storage=storage, name="own", epochs_first=1, epochs_last=1)
    search.run(trainings=2)
    assert all(set(node.labels) <= {"conv8k3", "depthwise"} for node in search.tree.best(k=20))


@pytest.mark.parametrize("strategy", SCORED_STRATEGIES)
def test_exported_imported_and_resumed_is_as_if_nothing_had_been(tmp_path, strategy):
    first, second = f"sqlite:///{tmp_path}/first.db", f"sqlite:///{tmp_path}/second.db"
    search = make(first, strategy=strategy, num_paths=2, warmup=2).run(episodes=6)
    make(second, name="before it").run(episodes=3)
    replaytree.export_search(first, "table", tmp_path / "table.jsonl.gz")
    replaytree.import_search(second, tmp_path / "table.jsonl.gz")
    imported = resume(second)
    assert everything(imported) == everything(search)
    assert everything(imported.run(episodes=6)) == everything(search.run(episodes=6))
    assert check(imported.tree.engine) == []


def test_paths_that_train_together_count_each_prefix_once(storage):
    """Two layers and six paths of at most two: nearly all of them begin alike, and some are equal."""
    data = load_data("digits", train_limit=200)
    layers = [replaytree.Convolution(8, 3), replaytree.Pooling("max", 2, 2)]
    space = replaytree.LayerSpace(layers, input_shape=(1, 8, 8), num_classes=10, max_layers=2)
    search = replaytree.Search(
        space=space, data=data, storage=storage, name="trie", strategy="random", min_layers=2, max_layers=2,
        epochs_first=1, epochs_last=1, num_paths=6,
    )  # fmt: skip
    expected = {}
    for _ in range(2):
        proposals, evaluations = search.turn(6)
        paths = [proposal.path for proposal in proposals]
        assert sum(evaluation.shared for evaluation in evaluations) > 0
        for prefix in {path[:t] for path in paths for t in (1, 2)}:
            # Equal paths are trained in networks of their own; all others are trained in the first.
            most = max(paths.count(path) for path in paths if path[: len(prefix)] == prefix)
            visits = sum(path[: len(prefix)] == prefix for path in paths)
            before = expected.get(prefix, (0, 0))
            expected[prefix] = (before[0] + visits, before[1] + most)
    assert {s.path: (s.visit_count, s.evaluation_count) for s in search.tree.node_stats()} == expected
    assert {s.path: (s.visit_count, s.evaluation_count) for s in search.memory} == expected
    assert all(len(e.accuracies) == 2 for e in search.tree.episodes())
    assert check(search.tree.engine) == []


class During(Table):
    """Does something in the middle of one training."""

    def __init__(self, call, action):
        super().__init__()
        self.call, self.action = call, action

    def evaluate(self, paths, *, budget, seed):
        results = super().evaluate(paths, budget=budget, seed=seed)
        if len(self.calls) == self.call:
            self.action()
        return results


def test_a_second_driver_is_told_who_runs_the_search(storage):
    told = []

    def second():
        for attempt in (lambda: resume(storage), lambda: make(storage)):
            with pytest.raises(SearchHeld, match=r"search 'table' is being run by process \d+ on .*--take-over"):
                attempt()
            told.append(True)

    search = make(storage, evaluator=During(2, second), replay=0.0).run(episodes=3)
    assert told == [True, True]
    assert (search.lost, resume(storage).run(episodes=1).tree.episode_count) == (None, 4)


def test_a_driver_that_was_relieved_stores_what_it_trained_and_ends(storage, caplog):
    def relieve():
        resume(storage, take_over=True).run(episodes=2)

    first = make(storage, evaluator=During(3, relieve), replay=0.0, continue_=0.0).run(episodes=9)
    assert isinstance(first.lost, LeaseLost)
    assert [record.message for record in caplog.records] == [str(first.lost)]
    assert "search 'table' was taken over by another process, which has finished" in caplog.text
    tree = first.tree
    # Two of its own, two of the other's, and its third, late.
    assert (tree.episode_count, tree.training_count) == (5, 5)
    assert check(tree.engine) == []
    whole = make(storage, name="whole", replay=0.0, continue_=0.0).run(episodes=4)
    assert tree.strategy_state() == whole.tree.strategy_state()
    first.run(episodes=1)
    assert first.lost is None
    assert (tree.episode_count, check(tree.engine)) == (6, [])


def test_a_search_that_went_on_elsewhere_is_read_again(tmp_path):
    storage, whole = f"sqlite:///{tmp_path}/parts.db", make(f"sqlite:///{tmp_path}/whole.db").run(episodes=9)
    first = make(storage).run(episodes=2)
    resume(storage).run(episodes=4)
    first.run(episodes=3)
    assert everything(first) == everything(whole)


def test_a_turn_that_failed_leaves_nothing_behind_in_the_object(tmp_path):
    def fail():
        raise RuntimeError("in the middle of a training")

    whole = make(f"sqlite:///{tmp_path}/whole.db", replay=0.0).run(episodes=5)
    search = make(f"sqlite:///{tmp_path}/parts.db", replay=0.0, evaluator=During(3, fail))
    with pytest.raises(EvaluationError, match=r"During.evaluate raised RuntimeError: in the middle of a training"):
        search.run(episodes=5)
    assert search.tree.episode_count == 2
    search.run(episodes=3)
    assert everything(search) == everything(whole)


def test_a_database_in_memory_is_driven_too():
    assert make("sqlite://").run(episodes=3).run(episodes=2).tree.episode_count == 5


def test_no_connection_is_held_while_training(storage):
    held = []

    class Counting(Table):
        def evaluate(self, paths, *, budget, seed):
            held.append(search.tree.engine.pool.checkedout())
            return super().evaluate(paths, budget=budget, seed=seed)

    search = make(storage, evaluator=Counting())
    search.run(trainings=5)
    assert held == [0] * 5


def test_a_disk_that_fills_up_in_mid_search_ends_the_run_and_the_search_resumes(tmp_path):
    def page_limit(pages):
        with reading(search.tree.engine) as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages or connection.scalar(text('PRAGMA page_count'))}")

    whole = make(f"sqlite:///{tmp_path}/whole.db", num_paths=20, replay=0.0).run(episodes=200)
    search = make(f"sqlite:///{tmp_path}/full.db", num_paths=20, replay=0.0, evaluator=During(3, lambda: page_limit(0)))
    with pytest.raises(StorageError, match=r"cannot grow: the disk is full .*; free some space and try again"):
        search.run(episodes=200)
    committed = search.tree.episode_count
    assert 40 <= committed < 200
    assert check(search.tree.engine) == []
    search.tree.engine.dispose()
    resumed = resume(f"sqlite:///{tmp_path}/full.db")
    assert everything(resumed.run(episodes=200 - committed)) == everything(whole)


class Lifo:
    """Three turns at once, in this process; the last to come in is the first to come out."""

    count = ahead = 3
    in_order = False

    def __init__(self, evaluator):
        self.evaluator, self.turns, self.most = evaluator, [], 0

    @property
    def free(self):
        return 3 - len(self.turns)

    def submit(self, number, paths, *, budget, seed):
        self.turns.append((number, self.evaluator.evaluate(paths, budget=budget, seed=seed)))
        self.most = max(self.most, len(self.turns))

    def next(self, *, wait=True):
        return self.turns.pop() if wait else None

    def close(self):
        self.turns.clear()


def crowded(storage, **options):
    search = make(storage, **options)
    search._driver.workers = Lifo(Table())
    return search


@pytest.mark.parametrize("strategy", SCORED_STRATEGIES)
def test_results_are_taken_as_they_come_and_each_is_recorded_once(tmp_path, strategy):
    search = crowded(f"sqlite:///{tmp_path}/crowded.db", strategy=strategy, replay=0.4, continue_=0.0)
    assert search.run(trainings=13).training_count == 13 == search.tree.training_count
    assert search.workers.most == 3
    assert search.learner.proposed_count == search.episode_count == search.tree.episode_count
    assert check(search.tree.engine) == []


def test_what_a_path_gets_does_not_depend_on_the_order_in_which_trainings_end(tmp_path):
    options = {"strategy": "random", "grow_every": 100, "min_layers": 3}
    alone = make(f"sqlite:///{tmp_path}/alone.db", **options).run(trainings=10)
    search = crowded(f"sqlite:///{tmp_path}/crowded.db", **options).run(trainings=10)
    orders = [[(e.path, e.accuracies) for e in each.tree.episodes()] for each in (alone, search)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_a_stop_leaves_what_is_under_way_to_the_search_that_goes_on_with_the_same_seeds(storage):
    search = crowded(storage, strategy="random")
    search.run(trainings=9, on_turn=lambda progress: progress.training_count == 4 and search.stop())
    assert search.tree.training_count == 4
    again = resume(storage)
    # The last to come in was the first to come out: 2, 3, 4 and 5.
    assert (again.episode_count, again.learner.proposed_count) == (4, 6)
    assert [turn.number for turn in again.learner.pending] == [0, 1]
    later = Table()
    again = resume(storage, evaluator=later).run(trainings=3)
    assert [seed for *_, seed in later.calls] == [episode_seed(0, n) for n in (0, 1, 6)]
    assert again.training_count == 7


def test_what_was_proposed_under_an_earlier_bound_does_not_raise_the_next(storage):
    search = crowded(storage, strategy="random", grow_every=2)
    bounds = []
    search.run(episodes=9, on_turn=lambda progress: bounds.append(progress.depth_bound))
    # The first two proposals, at bound 1, end last of all; counted at bound 4 they would have ended it.
    assert bounds == [1, 1, 2, 2, 3, 3, 4, 1, 1]
    assert (search.growth.depth_bound, search.growth.episodes) == (4, 1)


class Raises(torch.nn.Module):
    def forward(self, images):
        raise KeyError("a mistake in a user's layer")


def test_a_layer_that_raises_is_recorded_and_the_search_goes_on(storage):
    broken = replaytree.CustomLayer("broken", lambda shape: Raises(), lambda shape: shape, lambda shape: (0, 0))
    space = replaytree.LayerSpace(
        [replaytree.Convolution(4, 3), broken], input_shape=(1, 8, 8), num_classes=10, max_layers=2
    )
    search = replaytree.Search(
        data=load_data("digits", train_limit=100), space=space, storage=storage, name="own", strategy="random",
        min_layers=2, num_paths=4, epochs_first=1, epochs_last=1,
    ).run(trainings=8)  # fmt: skip
    episodes = search.tree.episodes()
    assert len(episodes) == 8
    for episode in episodes:
        failed = 1 in episode.path
        assert episode.failure == ("error" if failed else None)
        assert episode.failure_text == ('KeyError: "a mistake in a user\'s layer"' if failed else "")
        assert len(episode.accuracies) == (0 if failed else 2)
    assert {episode.failure for episode in episodes} == {"error", None}
    assert check(search.tree.engine) == []


def test_stopped_paths_are_recorded_at_what_they_spent_and_resumed_searches_stop_the_same(tmp_path):
    options = {
        "dataset": "digits", "train_limit": 200, "min_layers": 3, "max_layers": 3, "epochs_first": 2, "epochs_last": 2,
        "prune": True, "strategy": "random", "name": "pruned",
    }  # fmt: skip
    whole = replaytree.Search(storage=f"sqlite:///{tmp_path}/whole.db", **options).run(episodes=14)
    replaytree.Search(storage=f"sqlite:///{tmp_path}/parts.db", **options).run(episodes=10)
    parts = replaytree.Search.resume("pruned", storage=f"sqlite:///{tmp_path}/parts.db").run(episodes=4)
    assert everything(parts) == everything(whole)
    assert parts.learner.pruning == whole.learner.pruning
    assert len(whole.tree.checkpoints()) == 14
    assert whole.learner.pruning == Pruning(whole.tree.checkpoints())
    episodes = whole.tree.episodes()
    stopped = [episode for episode in episodes if episode.epochs == 1]
    assert stopped
    assert all(len(episode.accuracies) == 3 and episode.failure is None for episode in episodes)
    assert all(episode.epochs == 2 for episode in episodes[:8])
    # What was stopped does not rank: rankings compare equal budgets, the largest one.
    assert all(node.epochs == 2 for node in whole.tree.best(k=50))
    assert check(whole.tree.engine) == []


@pytest.mark.parametrize("strategy", ["guided", "replay"])
@pytest.mark.parametrize("num_paths", [1, 3])
def test_a_warm_start_survives_resuming_whatever_becomes_of_the_other_search(tmp_path, strategy, num_paths):
    options = {"strategy": strategy, "num_paths": num_paths, "warm_start": "other", "replay": 0.3, "seed": 5}
    searches = {}
    for name in ("whole", "parts"):
        storage = f"sqlite:///{tmp_path}/{name}.db"
        other = make(storage, name="other", strategy="random", min_layers=5, seed=9).run(episodes=10)
        searches[name] = make(storage, **options)
    for _ in range(6):
        searches["whole"].turn(num_paths)
    for turn in range(6):
        searches["parts"].turn(num_paths)
        if turn == 1:
            other.run(episodes=5)
        if turn == 3:
            with other.tree.engine.begin() as connection:
                connection.exec_driver_sql("DELETE FROM searches WHERE name = 'other'")
        searches["parts"] = resume(storage)
    parts, whole = everything(searches["parts"]), everything(searches["whole"])
    assert parts[:-1] == whole[:-1]
    # Equal strings are one object or two in a pickle, depending on which optimiser was loaded before it stepped.
    assert list(leaves(unpack(parts[-1]))) == list(leaves(unpack(whole[-1])))
    assert check(searches["parts"].tree.engine) == []


def leaves(state, place=()):
    """(place, value) of everything in a state, tensors as lists."""
    if isinstance(state, dict | list | tuple):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from leaves(value, (*place, key))
    else:
        yield place, state.tolist() if isinstance(state, torch.Tensor) else state


def test_a_warm_start_goes_by_the_other_search_and_counts_none_of_it(storage):
    """The other's accuracies are higher than any here, and half of its ranking is all that is known at first."""

    class Brighter(Table):
        def evaluate(self, paths, *, budget, seed):
            found = super().evaluate(paths, budget=budget, seed=seed)
            return [PathEvaluation([0.9 + a / 10 for a in each.accuracies]) for each in found]

    make(storage, name="other", evaluator=Brighter(), strategy="random", min_layers=5).run(trainings=30)
    table = Table()
    search = make(storage, evaluator=table, strategy="guided", min_layers=5, warm_start="other").run(trainings=6)
    good = [paths[0].count(1) for paths, _, _ in table.calls]
    assert sum(good) / len(good) > 3.0, "random paths have 1.67 good layers of 5"
    assert all(node.average_accuracy < 0.9 for node in search.tree.best(99))
    assert search.tree.training_count == 6
    assert search.tree.info().node_count <= 30
    assert json.loads(search.tree.info().config_json)["warm_start"] == "other"


def test_warm_starts_that_cannot_be(storage):
    make(storage, name="other").run(episodes=3)
    make(storage, name="empty")
    space = replaytree.LabelSpace(["identity", "good", "worse"], max_layers=5)
    with pytest.raises(
        SpaceError, match="search 'other' was made with layer 2 named bad, and the space given has worse"
    ):
        replaytree.Search(space=space, evaluator=Table(), storage=storage, name="a", warm_start="other")
    with pytest.raises(SearchNotFound, match="it has: other, empty"):
        make(storage, name="a", strategy="guided", warm_start="nobody")
    with pytest.raises(ConfigError, match="search 'empty' has measured no prefix"):
        make(storage, name="a", strategy="guided", warm_start="empty")
    with pytest.raises(ConfigError, match=r"strategy is 'random', which does not learn .*choose --strategy guided"):
        make(storage, name="a", strategy="random", warm_start="other")
    assert [info.name for info in list_searches(open_engine(storage))] == ["other", "empty"]
