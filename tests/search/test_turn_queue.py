"""Searches on several workers whose timing is a matter of chance: their trees are not."""

import random

import pytest

import replaytree
from replaytree.config.strategies import without_foreign
from replaytree.errors import EvaluationError
from replaytree.evaluate import InProcess
from replaytree.records import PathEvaluation
from replaytree.search.state import unpack
from replaytree.search.turns import episode_seed
from replaytree.tree import check

SPACE = replaytree.LabelSpace(["identity", "good", "bad"], max_layers=5)
OPTIONS = {
    "guided": {"warmup": 3, "candidates": 16},
    "evolution": {"population": 4},
    "replay": {"replay": 0.4, "continue_": 0.3},
    "puct": {},
    "random": {},
}


class Seeded:
    """More for every `good`; a pinch of the seed is noise."""

    def evaluate(self, paths, *, budget, seed):
        return [
            PathEvaluation([0.5 + 0.05 * path[:t].count(1) + seed % 101 / 10_000 for t in range(1, len(path) + 1)])
            for path in paths
        ]


class Crowd:
    """Workers in this process; chance says which of the turns under way ends next, and whether one does at all."""

    def __init__(self, count, chance, *, in_order=True, evaluator=None):
        self.count, self.in_order, self.ahead = count, in_order, 2 * count - 1 if in_order else count
        self.evaluator, self.turns, self.most, self.seeds = evaluator or Seeded(), [], 0, []
        self.random = random.Random(chance)

    @property
    def free(self):
        return self.count - len(self.turns)

    def submit(self, number, paths, *, budget, seed):
        self.turns.append((number, paths, budget, seed))
        self.seeds.append(seed)
        self.most = max(self.most, len(self.turns))
        assert len(self.turns) <= self.count

    def next(self, *, wait=True):
        if self.random.random() < 0.3 or not self.turns:
            return None
        number, paths, budget, seed = self.turns.pop(self.random.randrange(len(self.turns)))
        try:
            return number, self.evaluator.evaluate(paths, budget=budget, seed=seed)
        except EvaluationError as error:
            return number, error

    def close(self):
        self.turns.clear()


def begun(storage, strategy, crowd, **options):
    options = {
        "strategy": strategy, "min_layers": 1, "epochs_first": 1, "epochs_last": 3, "grow_every": 4, "seed": 5,
        "num_paths": 1, **OPTIONS[strategy], **options,
    }  # fmt: skip
    options = without_foreign(strategy, options)
    search = replaytree.Search(space=SPACE, evaluator=Seeded(), storage=storage, name="s", **options)
    search._driver.workers = crowd
    return search


def resumed(storage, crowd, **options):
    search = replaytree.Search.resume("s", space=SPACE, evaluator=Seeded(), storage=storage, **options)
    search._driver.workers = crowd
    return search


def tree(search):
    episodes = [
        (e.number, e.path, e.source, e.depth_bound, e.epochs, e.accuracies, e.policy_loss, e.entropy)
        for e in search.tree.episodes()
    ]
    return episodes, search.tree.node_stats(), search.growth


def pending(search):
    return unpack(search.tree.strategy_state())["pending"]


@pytest.mark.parametrize("strategy", OPTIONS)
@pytest.mark.parametrize("count", [2, 4])
def test_seed_and_number_of_workers_decide_the_tree_whatever_the_timing(tmp_path, strategy, count):
    searches = [
        begun(f"sqlite:///{tmp_path}/{chance}.db", strategy, Crowd(count, chance)).run(trainings=18)
        for chance in range(2)
    ]
    assert {search.workers.most for search in searches} == {count}
    first, *others = map(tree, searches)
    assert all(other == first for other in others)
    assert searches[0].training_count == 18
    assert check(searches[0].tree.engine) == []


def test_the_number_of_workers_matters_because_proposals_know_less(tmp_path):
    one, two, four = (
        tree(begun(f"sqlite:///{tmp_path}/{count}.db", "evolution", Crowd(count, 0)).run(trainings=24))[0]
        for count in (1, 2, 4)
    )
    assert one[:4] == two[:4] == four[:4]
    assert one != two != four != one


def test_one_worker_gives_the_tree_of_none(tmp_path):
    alone = replaytree.Search(
        space=SPACE, evaluator=Seeded(), storage=f"sqlite:///{tmp_path}/alone.db", strategy="replay", replay=0.4,
        min_layers=1, epochs_first=1, epochs_last=3, grow_every=4, seed=5, continue_=0.3,
    ).run(trainings=20)  # fmt: skip
    one = begun(f"sqlite:///{tmp_path}/one.db", "replay", Crowd(1, 0)).run(trainings=20)
    assert tree(one) == tree(alone)


@pytest.mark.parametrize("strategy", ["guided", "replay", "puct"])
def test_runs_to_a_limit_stops_and_resumptions_leave_the_tree_of_one_long_run(tmp_path, strategy):
    whole = begun(f"sqlite:///{tmp_path}/whole.db", strategy, Crowd(3, 0)).run(trainings=30)
    storage = f"sqlite:///{tmp_path}/parts.db"
    search = begun(storage, strategy, Crowd(3, 1))
    search.run(trainings=7)
    assert len(pending(search)) >= 4
    # A second run of the same object, which is stopped; what it had under way is lost.
    search.run(trainings=20, on_turn=lambda progress: progress.training_count == 12 and search.stop())
    assert 12 <= search.training_count < 27
    again = resumed(storage, Crowd(3, 2))
    # A process that dies at once leaves what is committed.
    with pytest.raises(KeyboardInterrupt):
        again.run(trainings=9, on_turn=interrupt(again.training_count + 3))
    again = resumed(storage, Crowd(3, 3))
    parts = again.run(trainings=30 - again.training_count)
    assert tree(parts) == tree(whole)
    assert pending(parts) == pending(whole)
    assert check(parts.tree.engine) == []


def interrupt(count):
    def on_turn(progress):
        if progress.training_count == count:
            raise KeyboardInterrupt

    return on_turn


def test_what_was_under_way_is_trained_again_with_its_seeds_by_any_number_of_workers(tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    search = begun(storage, "random", Crowd(2, 0))
    search.run(trainings=20, on_turn=lambda progress: progress.training_count == 6 and search.stop())
    done = search.training_count
    alone = resumed(storage, Crowd(1, 0)).run(trainings=20 - done)
    assert alone.workers.seeds == [episode_seed(5, number) for number in range(done, 20)]


def test_another_number_of_workers_is_told(tmp_path, caplog):
    caplog.set_level("INFO", "replaytree")
    storage = f"sqlite:///{tmp_path}/s.db"
    begun(storage, "random", Crowd(2, 0)).run(trainings=3)
    resumed(storage, Crowd(2, 0)).run(trainings=3)
    assert caplog.messages == []
    resumed(storage, Crowd(1, 0)).run(trainings=1)
    resumed(storage, Crowd(1, 0, in_order=False)).run(trainings=1)
    assert caplog.messages == [
        f"trained by {before} so far, by {now} from now on: another tree than either alone would give"
        for before, now in (("2 workers", "1 worker"), ("1 worker", "1 worker whose results were taken as they came"))
    ]


def test_as_they_come_nobody_waits_for_the_first(tmp_path):
    class First(Crowd):
        """The first turn never ends."""

        def next(self, *, wait=True):
            if len(self.turns) < 2:
                return None
            number, paths, budget, seed = self.turns.pop(self.turns[0][0] == 0)
            return number, self.evaluator.evaluate(paths, budget=budget, seed=seed)

    search = begun(f"sqlite:///{tmp_path}/s.db", "random", First(2, 0, in_order=False))
    search.run(trainings=9, on_turn=lambda progress: progress.training_count == 6 and search.stop())
    assert search.training_count == 6
    assert search.workers.seeds[:7] == [episode_seed(5, number) for number in range(7)]
    [first] = [turn for turn in pending(search) if turn["number"] == 0]
    assert first["proposals"][0]["rewards"] is None


def test_an_error_ends_the_run_when_its_turn_is_due_whatever_ended_before(tmp_path):
    class Raises(Seeded):
        def evaluate(self, paths, *, budget, seed):
            if seed == episode_seed(5, 3):
                raise EvaluationError("no such row")
            return super().evaluate(paths, budget=budget, seed=seed)

    for chance in range(3):
        search = begun(f"sqlite:///{tmp_path}/{chance}.db", "random", Crowd(4, chance, evaluator=Raises()))
        with pytest.raises(EvaluationError, match="no such row"):
            search.run(trainings=20)
        assert search.tree.training_count == 3


def test_a_turn_that_was_left_pending_is_parted_where_a_limit_has_room_for_a_part(tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    begun(storage, "random", Crowd(2, 0), num_paths=4).run(trainings=8)
    again = resumed(storage, Crowd(2, 0)).run(trainings=3)
    assert again.training_count == 11
    assert [turn["number"] for turn in pending(again)][:2] == [11, 12]
    assert len(pending(again)[0]["proposals"]) == 1
    assert [e.number for e in resumed(storage, Crowd(2, 1)).run(episodes=2).tree.episodes()] == list(range(13))


def test_raised_limits_forget_what_was_proposed_under_those_before(tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    assert pending(begun(storage, "random", Crowd(2, 0)).run(trainings=8))
    assert resumed(storage, Crowd(2, 0), epochs=(5, 6)).run(trainings=1).tree.episodes()[-1].epochs == 6


def test_a_strategy_that_only_replays_behind_a_training_does_not_go_on_for_ever(tmp_path):
    search = begun(f"sqlite:///{tmp_path}/s.db", "replay", Crowd(2, 0), replay=1.0, continue_=0.0)
    search.run(episodes=60)
    assert search.episode_count == 60


class Interrupted(Seeded):
    """Ctrl-C, or the end of the process, in the training after so many."""

    def __init__(self, after):
        self.left = after

    def evaluate(self, paths, **named):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().evaluate(paths, **named)


def crowd(count, chance, ahead=4):
    found = Crowd(count, chance)
    found.ahead = ahead
    return found


def alone(storage, strategy, **options):
    search = begun(storage, strategy, None, **options)
    search._driver.workers = InProcess(Seeded(), ahead=search.config.ahead)
    return search


@pytest.mark.parametrize("strategy", ["guided", "replay", "evolution", "puct"])
def test_turns_ahead_decide_the_tree_and_not_how_many_are_trained_at_once(tmp_path, strategy):
    whole = tree(alone(f"sqlite:///{tmp_path}/1.db", strategy, ahead=4).run(trainings=18))
    for count in (1, 2, 4):
        several = begun(f"sqlite:///{tmp_path}/{count}-at-once.db", strategy, crowd(count, count))
        assert tree(several.run(trainings=18)) == whole
        assert several.workers.most == count
    knows_all = alone(f"sqlite:///{tmp_path}/0.db", strategy, ahead=1)
    assert tree(knows_all.run(trainings=18)) != whole


def test_turns_of_several_paths_and_limits_within_them_make_one_tree_too(tmp_path):
    options = {"num_paths": 3, "ahead": 3}
    searches = [
        alone(f"sqlite:///{tmp_path}/1.db", "replay", **options),
        begun(f"sqlite:///{tmp_path}/3.db", "replay", crowd(3, 1, ahead=3), **options),
    ]
    for search in searches:
        search.run(trainings=7)
        search.run(episodes=8)
        search.run(trainings=6)
    assert tree(searches[0]) == tree(searches[1])
    assert pending(searches[0]) == pending(searches[1])


def test_a_search_that_was_interrupted_with_turns_ahead_gives_the_tree_of_one_long_run(tmp_path):
    whole = alone(f"sqlite:///{tmp_path}/whole.db", "guided", ahead=4).run(trainings=20)
    storage = f"sqlite:///{tmp_path}/parts.db"
    search = alone(storage, "guided", ahead=4)
    search._driver.workers = InProcess(Interrupted(6), ahead=4)
    with pytest.raises(KeyboardInterrupt):
        search.run(trainings=20)
    assert (search.training_count, len(pending(search))) == (6, 3)
    again = resumed(storage, crowd(2, 0))
    assert again.config.ahead == 4
    again.run(trainings=3)
    again._driver.workers = InProcess(Seeded(), ahead=4)
    assert tree(again.run(trainings=11)) == tree(whole)
    assert check(again.tree.engine) == []
