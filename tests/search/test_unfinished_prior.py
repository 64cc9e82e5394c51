"""A prior that is killed at any moment goes on to the prior of one that nobody killed."""

import os
from pathlib import Path

import pytest

import replaytree
from replaytree.evaluate import SharedEvaluator
from replaytree.search import prior as prior_module
from replaytree.search import unfinished_prior
from replaytree.tree import delete_search, rename_search

# 2 batches a pass.
SMALL = {
    "dataset": "digits", "train_limit": 128, "max_layers": 3, "min_layers": 1, "width": 0.1, "seed": 5,
    "device": "cpu", "threads": 1, "prior": "shared:2.5", "strategy": "guided",
}  # fmt: skip
STEPS = 5
SCORED = 3


class Killed(BaseException):
    """As SIGKILL: nothing is tidied up."""


@pytest.fixture
def counted(monkeypatch):
    """Steps and scorings are counted, and after so many of both the process is killed."""
    monkeypatch.setattr(unfinished_prior, "KEEP_EVERY", 0.0)
    monkeypatch.setattr(prior_module, "NESTED_PATHS", 12)
    monkeypatch.setattr(prior_module, "AT_ONCE", 4)
    done, state = [], {"last": 10_000}

    def after(name):
        own = getattr(SharedEvaluator, name)

        def told(self, *args):
            result = own(self, *args)
            done.append(name)
            if len(done) == state["last"]:
                raise Killed
            return result

        monkeypatch.setattr(SharedEvaluator, name, told)

    after("_step")
    after("rescore")
    return done, state


def run_of(folder):
    storage = f"sqlite:///{folder}/a.db"
    begun = (folder / "a.db").exists()
    search = replaytree.Search.resume("p", storage=storage) if begun else None
    return (search or replaytree.Search(name="p", storage=storage, **SMALL)).run(trainings=1)


def files(folder):
    return [path.name for path in Path(f"{folder}/a.db.state").glob("*/*")]


def test_a_prior_that_is_killed_again_and_again_is_that_of_one_run(tmp_path, counted):
    done, state = counted
    whole = tmp_path / "whole"
    whole.mkdir()
    expected = run_of(whole).tree.prior()
    assert [done.count(name) for name in ("_step", "rescore")] == [STEPS, SCORED]
    assert files(whole) == []
    done.clear()
    # In the first pass, in the second, before the end of the third is kept, and twice while paths are scored.
    for steps, scored in [(1, 0), (3, 0), (3, 0), (1, 1), (0, 2)]:
        state["last"] = steps + scored
        with pytest.raises(Killed):
            run_of(tmp_path)
        assert [done.count("_step"), done.count("rescore")] == [steps, scored]
        assert files(tmp_path) == (["prior.pt"] if (steps, scored) != (1, 0) else [])
        done.clear()
    state["last"] = 10_000
    search = run_of(tmp_path)
    assert done == ["rescore"] * 2, "the first four of twelve paths were scored, and kept"
    assert search.tree.prior() == expected
    assert files(tmp_path) == []
    assert not Path(f"{tmp_path}/a.db.state").exists()


@pytest.fixture
def killed(tmp_path, counted):
    """A search whose prior was killed behind its first pass, which is kept."""
    counted[1]["last"] = 3
    with pytest.raises(Killed):
        run_of(tmp_path)
    counted[1]["last"] = 10_000
    counted[0].clear()
    return replaytree.Search.resume("p", storage=f"sqlite:///{tmp_path}/a.db").tree


def test_a_file_that_is_not_of_the_prior_is_left_out(tmp_path, counted, killed, caplog):
    [path] = Path(f"{tmp_path}/a.db.state").glob("*/*")
    os.truncate(path, 900)
    run_of(tmp_path)
    assert counted[0].count("_step") == STEPS
    assert "is not of this prior, which begins anew" in caplog.text


def test_a_renamed_search_goes_on(tmp_path, counted, killed):
    rename_search(killed.engine, "p", "q")
    replaytree.Search.resume("q", storage=f"sqlite:///{tmp_path}/a.db").run(trainings=1)
    assert counted[0].count("_step") == STEPS - 2, "the first pass was kept"
    assert files(tmp_path) == []


def test_a_deleted_search_leaves_no_file(tmp_path, killed):
    assert files(tmp_path) == ["prior.pt"]
    delete_search(killed.engine, "p")
    assert not Path(f"{tmp_path}/a.db.state").exists()


def test_a_prior_of_other_layers_begins_anew(tmp_path, counted, killed):
    raised = replaytree.Search.resume("p", storage=f"sqlite:///{tmp_path}/a.db", max_layers=4).run(trainings=1)
    assert counted[0].count("_step") == STEPS
    assert max(len(node.path) for node in raised.tree.prior()) == 4


def test_a_full_disk_stops_no_prior(tmp_path, counted, caplog):
    (tmp_path / "a.db.state").write_text("no folder")
    assert run_of(tmp_path).tree.prior()
    assert caplog.text.count("cannot keep how far the prior is") == 1


def test_without_a_place_nothing_is_kept(counted):
    search = replaytree.Search(storage="sqlite://", **SMALL).run(trainings=1)
    assert search.tree.prior()


def test_how_far_it_is_is_told_at_most_every_few_seconds(monkeypatch, caplog):
    caplog.set_level("INFO", logger="replaytree")
    clock = [100.0]
    monkeypatch.setattr(prior_module.time, "monotonic", lambda: clock[0])
    told = prior_module._Telling("training", 0.2)
    for share, now in [(0.2, 106.0), (0.3, 104.0), (0.4, 106.0), (0.5, 110.0), (0.6, 111.0)]:
        clock[0] = now
        told.share(share)
    # 0.2 in 6 seconds, so 18 for 0.6; 0.4 in 11 seconds, so 11 for 0.4.
    assert caplog.messages == [
        "training, of which 20% is done", "training: 40 %, 18 s left", "training: 60 %, 11 s left"
    ]  # fmt: skip
