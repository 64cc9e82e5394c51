"""The state of an evaluator is a part of the search: kept, loaded, moved and lost."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

import replaytree
from replaytree.cli.doctor import examine
from replaytree.errors import ConfigError, EvaluationError, LeaseLost, StateUnusable, StorageError, StorageUnavailable
from replaytree.records import PathEvaluation
from replaytree.tree import ReplayTree, check, delete_search, export_search, rename_search


def space():
    return replaytree.LabelSpace(["a", "b", "c"], max_layers=4)


@pytest.fixture
def begin(supernet):
    """Begins a search; `evaluator` is a new supernet unless one is given."""

    def begun(storage, *, name="first", evaluator=None, **options):
        options = {"strategy": "guided", "min_layers": 1, "seed": 3} | options
        if options["strategy"] == "guided":
            options |= {"warmup": 4, "candidates": 16}
        return replaytree.Search(
            name=name, storage=str(storage), space=space(), evaluator=evaluator or supernet(), **options
        )

    return begun


@pytest.fixture
def resume(supernet):
    """Resumes one, with a new supernet unless another evaluator is given."""

    def resumed(storage, *, name="first", evaluator=None, **options):
        given = {"space": space(), "evaluator": evaluator or supernet()}
        return replaytree.Search.resume(name, storage=str(storage), **given, **options)

    return resumed


def everything(search):
    """All that must be equal: tree, episodes, strategy, and every number of the evaluator."""
    episodes = [(e.number, e.path, e.source, e.epochs, e.accuracies) for e in search.tree.episodes()]
    state = search.workers.evaluator.state_dict()
    weights = [tensor.tolist() for name in ("weights", "momenta") for tensor in state[name]]
    return search.tree.node_stats(), episodes, search.tree.strategy_state(), state["turns"], weights


def files(database):
    return sorted(path.name.partition("-")[0] for path in Path(f"{database}.state").glob("*/*"))


class During:
    """A supernet that does something in the middle of one turn."""

    def __init__(self, inner, turn, action):
        self.inner, self.turn, self.action = inner, turn, action

    def evaluate(self, paths, *, budget, seed):
        answer = self.inner.evaluate(paths, budget=budget, seed=seed)
        self.turn -= 1
        if self.turn == 0:
            self.action()
        return answer

    def rescore(self, paths):
        return self.inner.rescore(paths)

    def state_dict(self):
        return self.inner.state_dict()

    def load_state_dict(self, state):
        self.inner.load_state_dict(state)


@pytest.mark.parametrize(("strategy", "num_paths"), [("guided", 2), ("replay", 1)])
def test_interrupted_after_any_turn_and_resumed_is_as_if_uninterrupted(tmp_path, begin, resume, strategy, num_paths):
    whole = begin(tmp_path / "whole.db", strategy=strategy, num_paths=num_paths).run(episodes=8)
    begin(tmp_path / "parts.db", strategy=strategy, num_paths=num_paths).run(episodes=num_paths)
    for _ in range(8 // num_paths - 1):
        parts = resume(tmp_path / "parts.db").run(episodes=num_paths)
    assert everything(parts) == everything(whole)
    assert check(parts.tree.engine) == []


def test_a_run_ends_by_scoring_its_leaders_once_more(tmp_path, begin, resume):
    search = begin(tmp_path / "a.db").run(episodes=6)
    evaluator = search.workers.evaluator
    nodes = search.tree.nodes()
    assert {node.epochs for node in nodes} == {6}, "all of a small tree"
    for node in nodes:
        [score] = evaluator.rescore([node.path])
        assert node.average_accuracy == pytest.approx(score.accuracies[-1])
    assert search.tree.best(1)[0].average_accuracy == max(node.average_accuracy for node in nodes)
    assert search.learner.leader.average_accuracy == search.tree.best(1)[0].average_accuracy
    assert check(search.tree.engine) == []
    assert not search.tree.needs_rescoring


def test_killed_before_the_leaders_were_scored_they_are_when_it_is_resumed(tmp_path, begin, resume, monkeypatch):
    whole = begin(tmp_path / "whole.db").run(episodes=6)
    search = begin(tmp_path / "parts.db")
    monkeypatch.setattr(search._driver, "_rescore", lambda: None)
    search.run(episodes=6)
    assert search.tree.needs_rescoring
    again = resume(tmp_path / "parts.db").run()
    assert again.tree.nodes() == whole.tree.nodes()
    with pytest.raises(ConfigError, match="the goal of 6 episodes in all is reached"):
        again.run()


def test_scores_on_fewer_images_are_compared_with_none_of_the_leaders(tmp_path, begin, resume):
    # As a run with --score-images does.
    parts = begin(tmp_path / "b.db")
    parts._driver._rescore = lambda: parts._driver._state.rescore(parts.tree, apart=True)
    parts.run(episodes=3)
    assert {node.epochs for node in parts.tree.best(99)} == {4}
    assert len(parts.tree.best(99)) == len(parts.tree.nodes()), "those of the last turn, too"
    parts.run(episodes=1)
    assert [episode.epochs for episode in parts.tree.episodes()] == [1, 2, 3, 5]
    assert {node.epochs for node in parts.tree.best(99)} == {6}
    assert resume(tmp_path / "b.db")._driver._state.epochs_before == 2
    assert check(parts.tree.engine) == []


def test_a_turn_that_failed_leaves_nothing_behind_in_the_evaluator(tmp_path, begin, supernet):
    def fail():
        raise RuntimeError("in the middle of a training")

    whole = begin(tmp_path / "whole.db").run(episodes=5)
    search = begin(tmp_path / "parts.db", evaluator=During(supernet(), 1, fail))
    with pytest.raises(EvaluationError, match="in the middle of a training"):
        search.run(episodes=5)
    assert search.tree.episode_count == 0
    assert everything(search.run(episodes=5)) == everything(whole)


def test_the_last_two_files_are_kept_and_orphans_go_in_the_next_run(tmp_path, begin, resume):
    search = begin(tmp_path / "a.db").run(episodes=1)
    assert files(tmp_path / "a.db") == ["0", "1"]
    search.run(episodes=3)
    assert files(tmp_path / "a.db") == ["3", "4"]
    [folder] = Path(f"{tmp_path}/a.db.state").iterdir()
    # A process that was killed before its transaction, in the middle of a file, and one killed before it could remove.
    for name in ("5-0123456789ab.pt", "4-0123456789ab.pt", "2-0123456789ab.pt", "tmp1.partial"):
        (folder / name).write_bytes(b"left")
    (folder / "notes.txt").write_text("a user's own")
    resume(tmp_path / "a.db").run(episodes=1)
    assert files(tmp_path / "a.db") == ["4", "5", "notes.txt"]


def test_a_database_moves_together_with_its_folder(tmp_path, begin, resume):
    whole = begin(tmp_path / "whole.db").run(episodes=6)
    begin(tmp_path / "a.db").run(episodes=3).tree.engine.dispose()
    there = tmp_path / "elsewhere"
    there.mkdir()
    for name in ("a.db", "a.db.state"):
        shutil.move(tmp_path / name, there / name)
    assert everything(resume(there / "a.db").run(episodes=3)) == everything(whole)


def test_without_its_file_a_search_says_how_to_go_on(tmp_path, begin, resume):
    begin(tmp_path / "a.db").run(episodes=3).tree.engine.dispose()
    shutil.copy(tmp_path / "a.db", tmp_path / "copy.db")
    with pytest.raises(
        StateUnusable,
        match=r"weights of search 'first' cannot be loaded: .*copy.db"
        r"\.state/first-.* is missing; .*`replaytree resume first "
        r"--restart-weights --storage .*copy.db` \(in Python: restart",
    ):
        resume(tmp_path / "copy.db")
    [finding] = [each for each in examine(storage=f"sqlite:///{tmp_path}/copy.db") if each.what == "weights of first"]
    assert not finding.good
    assert finding.found.endswith(".pt is missing")
    assert finding.fix.startswith("replaytree resume first --restart-weights --storage")
    [problem] = check(ReplayTree.open(str(tmp_path / "copy.db"), "first").engine)
    assert problem.text.startswith("search 'first': the evaluator's state, first-")
    assert problem.text.endswith(".pt, is 'missing', expected 'there, and whole'")


@pytest.mark.parametrize("harm", [lambda data: data[:-1], lambda data: data[:99] + b"!" + data[100:], lambda data: b""])
def test_a_damaged_or_foreign_file_is_told(tmp_path, begin, resume, harm):
    begin(tmp_path / "a.db").run(episodes=3).tree.engine.dispose()
    [file] = Path(f"{tmp_path}/a.db.state").glob("*/3-*")
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(StateUnusable, match="damaged or of another search: its checksum is not the stored one"):
        resume(tmp_path / "a.db")


def test_a_state_that_another_evaluator_wrote_is_told(tmp_path, begin, resume, supernet):
    begin(tmp_path / "a.db").run(episodes=3)
    with pytest.raises(StateUnusable, match=r"SmallSupernet.load_state_dict raised ValueError: it has other layers"):
        resume(tmp_path / "a.db", evaluator=supernet(actions=4))

    class Stateless:
        def evaluate(self, paths, *, budget, seed):
            return [PathEvaluation([0.5] * len(path)) for path in paths]

    with pytest.raises(ConfigError, match="'first' keeps the state of its evaluator, and the evaluator given has no"):
        resume(tmp_path / "a.db", evaluator=Stateless())
    begin(tmp_path / "b.db", evaluator=Stateless()).run(episodes=1)
    with pytest.raises(StateUnusable, match="1 trainings are stored and no weights"):
        resume(tmp_path / "b.db")
    with pytest.raises(ConfigError, match=r"no weights that could be restarted.*\(--restart-weights\)"):
        resume(tmp_path / "b.db", evaluator=Stateless(), restart_weights=True)


def test_restarted_weights_are_compared_with_none_of_before(tmp_path, begin, resume):
    begin(tmp_path / "a.db").run(episodes=3).tree.engine.dispose()
    shutil.rmtree(f"{tmp_path}/a.db.state")
    again = resume(tmp_path / "a.db", restart_weights=True).run(episodes=2)
    assert [e.epochs for e in again.tree.episodes()] == [1, 2, 3, 4, 5]
    assert again.workers.evaluator.turns == 2
    assert {node.epochs for node in again.tree.best(50)} == {5}
    further = resume(tmp_path / "a.db").run(episodes=1)
    assert ([e.epochs for e in further.tree.episodes()][-1], further.workers.evaluator.turns) == (6, 3)
    assert check(again.tree.engine) == []


def test_restarted_weights_are_those_of_the_evaluator_given(tmp_path, begin, resume, supernet):
    begin(tmp_path / "a.db").run(episodes=3)
    given = supernet()
    given.weights[0].fill_(0.5)
    resume(tmp_path / "a.db", evaluator=given, restart_weights=True).run(episodes=1)
    again = resume(tmp_path / "a.db")
    assert again.workers.evaluator.weights[0].tolist() == given.weights[0].tolist()


def test_a_folder_of_ones_own(tmp_path, begin, resume, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = begin(tmp_path / "whole.db").run(episodes=6)
    begin(tmp_path / "a.db", state_dir="weights").run(episodes=3)
    assert not Path(f"{tmp_path}/a.db.state").exists()
    assert len(list(Path("weights").glob("first-*/*.pt"))) == 2
    Path("else").mkdir()
    monkeypatch.chdir("else")
    resume(tmp_path / "a.db").run(episodes=1)
    shutil.move(tmp_path / "weights", tmp_path / "moved")
    with pytest.raises(StateUnusable, match=r"is missing.*--state-dir says where else they are"):
        resume(tmp_path / "a.db")
    resume(tmp_path / "a.db", state_dir=tmp_path / "moved").run(episodes=1)
    assert everything(resume(tmp_path / "a.db").run(episodes=1)) == everything(whole)
    assert not (tmp_path / "weights").exists()


def test_in_memory_a_state_lasts_as_long_as_the_database(begin, tmp_path):
    whole = begin(tmp_path / "whole.db").run(episodes=4)
    search = begin("sqlite://").run(episodes=2)
    search.workers.evaluator.turns = 99
    search.workers.evaluator.weights[0].fill_(7.0)
    search._driver._stale = True
    assert everything(search.run(episodes=2)) == everything(whole)
    assert check(search.tree.engine) == []


def test_postgresql_needs_a_folder(empty_postgresql, tmp_path, begin, resume):
    with pytest.raises(ConfigError, match=r"beside postgresql.* there is no folder; name one .*\(--state-dir"):
        begin(empty_postgresql)
    whole = begin(tmp_path / "whole.db").run(episodes=4)
    first = begin(empty_postgresql, state_dir=tmp_path / "weights").run(episodes=2)
    again = resume(empty_postgresql).run(episodes=2)
    assert everything(again)[1:] == everything(whole)[1:]
    assert check(again.tree.engine) == []
    delete_search(first.tree.engine, "first")
    assert list((tmp_path / "weights").iterdir()) == []


def test_a_driver_that_was_relieved_harms_no_file_of_the_other(tmp_path, begin, resume, supernet, caplog):
    def relieve():
        resume(tmp_path / "a.db", take_over=True).run(episodes=3)

    first = begin(tmp_path / "a.db", evaluator=During(supernet(), 3, relieve)).run(episodes=9)
    assert isinstance(first.lost, LeaseLost)
    whole = begin(tmp_path / "whole.db").run(episodes=5)
    again = resume(tmp_path / "a.db")
    assert everything(again)[2:] == everything(whole)[2:], "the state of the winner: two turns, and its own three"
    assert check(again.tree.engine) == []
    again.run(episodes=1)
    assert files(tmp_path / "a.db") == ["5", "7"], "5 is of the winner, 6 was late, and all else is gone"


def test_delete_rename_export_and_import(tmp_path, begin, resume):
    search = begin(tmp_path / "a.db").run(episodes=3)
    engine = search.tree.engine
    rename_search(engine, "first", "second")
    other = begin(tmp_path / "a.db", name="first").run(episodes=2)
    assert resume(tmp_path / "a.db", name="second").run(episodes=1).workers.evaluator.turns == 4
    export_search(engine, "second", tmp_path / "x.gz")
    replaytree.import_search(f"sqlite:///{tmp_path}/b.db", tmp_path / "x.gz")
    with pytest.raises(StateUnusable, match=r"4 trainings are stored and no weights.*--restart-weights"):
        resume(tmp_path / "b.db", name="second")
    assert resume(tmp_path / "b.db", name="second", restart_weights=True).run(episodes=1).tree.episode_count == 5
    delete_search(engine, "second")
    assert [path.name.rpartition("-")[0] for path in Path(f"{tmp_path}/a.db.state").iterdir()] == ["first"]
    assert resume(tmp_path / "a.db").run(episodes=1).workers.evaluator.turns == 3
    delete_search(engine, "first")
    assert not Path(f"{tmp_path}/a.db.state").exists()
    assert other.tree.engine is not None


def test_a_state_that_cannot_come_back_is_told_before_anything_is_stored(tmp_path, begin, supernet):
    class Holding(supernet):
        def state_dict(self):
            return super().state_dict() | {"what": Path("/")}

    class Refusing(supernet):
        def load_state_dict(self, state):
            raise KeyError("bias")

    with pytest.raises(StorageError, match=r"the evaluator's state cannot be read back \(it holds a pathlib"):
        begin(tmp_path / "a.db", evaluator=Holding()).run(episodes=1)
    search = begin(tmp_path / "b.db", evaluator=Refusing())
    with pytest.raises(
        StorageError, match=r"Refusing cannot load its own state \(KeyError.*bias.*nothing of this turn"
    ):
        search.run(episodes=1)
    assert search.tree.episode_count == 0


def test_a_folder_that_cannot_be_written_loses_nothing(tmp_path, begin, resume):
    whole = begin(tmp_path / "whole.db").run(episodes=4)
    begin(tmp_path / "a.db").run(episodes=2)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageUnavailable, match=r"cannot be written to .*file/first-.*choose another \(--state-dir\)"):
        resume(tmp_path / "a.db", state_dir=tmp_path / "file").run(episodes=2)
    assert everything(resume(tmp_path / "a.db").run(episodes=2)) == everything(whole)


def test_rays_workers_cannot_share_a_state(tmp_path, begin):
    with pytest.raises(ConfigError, match=r"SmallSupernet has a state, which one process keeps.*leave out --work"):
        begin(tmp_path / "a.db", workers=2)
    with pytest.raises(ConfigError, match="shared weights are in one process"):
        replaytree.Search(dataset="digits", weights="shared", workers=2, storage=str(tmp_path / "a.db"))


def test_what_is_loaded_is_never_code(tmp_path, begin, resume):
    search = begin(tmp_path / "a.db").run(episodes=1)
    stored = search.tree.evaluator_state()
    path = stored.path(search.tree.engine.url)
    torch.save({"weights": Path("/")}, path)
    data = path.read_bytes()
    with search.tree.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE evaluator_states SET sha256 = ?, size_bytes = ?", (hashlib.sha256(data).hexdigest(), len(data))
        )
    with pytest.raises(StateUnusable, match=r"cannot be read \(it holds a pathlib"):
        resume(tmp_path / "a.db")
