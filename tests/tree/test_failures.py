"""What is said of a search where many trainings failed."""

import pytest

from replaytree import LabelSpace, PathEvaluation, ReplayTree
from replaytree.config import SearchConfig
from replaytree.report import write_report
from replaytree.tree import Episode, failure_note

CONFIG = SearchConfig()


@pytest.mark.parametrize(
    ("failures", "rate", "note"),
    [
        ({"diverged": 7}, 20.0, None),
        ({}, 20.0, None),
        (
            {"diverged": 12}, 20.0,
            "12 of 21 trainings failed (57%), most often because they diverged (12): begin a new search with a lower "
            "rate, as --learning-rate 5 (it was 20)",
        ),
        (
            {"diverged": 3, "out_of_memory": 5}, 0.1,
            "8 of 21 trainings failed (38%), most often for want of memory (5): begin a new search with a smaller "
            "--batch-size or --width, or with --max-params",
        ),
        (
            # An evaluator of one's own has no learning rate here.
            {"diverged": 21}, None,
            "21 of 21 trainings failed (100%), most often because they diverged (21): the report lists their errors at "
            "its end",
        ),
    ],
    ids=["a third", "none", "diverged", "memory", "without a rate"],
)  # fmt: skip
def test_more_than_a_third_is_told_with_what_to_do(failures, rate, note):
    assert failure_note(failures, 21, CONFIG.with_options(learning_rate=rate)) == note


def test_a_search_counts_the_failures_of_its_trainings(tmp_path):
    space = LabelSpace(("a", "b"), max_layers=1)
    url = f"sqlite:///{tmp_path}/a.db"
    tree = ReplayTree.create(url, "s", space=space, seed=0, config_json='{"seed": 0}', versions={})
    good, bad = PathEvaluation([0.5]), PathEvaluation([], failure="error", failure_text="no")
    outcomes = [good, good, bad]
    tree.record([Episode((1,), "sample", 1, 4, True, found) for found in outcomes], state=b"")
    assert tree.failure_note() is None
    tree.record([Episode((0,), "sample", 1, 4, True, bad)], state=b"")
    assert tree.failure_note().startswith("2 of 4 trainings failed (50%), most often with an error (2): ")
    top, _, _ = write_report(tree, out=tmp_path).read_text().partition("<dl")
    assert tree.failure_note() in top
