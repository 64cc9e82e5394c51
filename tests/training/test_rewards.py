import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from replaytree.training.rewards import head_rewards

# Of four images of class 0 three are found; the only one of class 1 is taken for 0; of class 2 there are none.
LABELS = torch.tensor([0, 0, 0, 0, 1])
ANSWERS = torch.tensor([[0, 0, 0, 2, 0], [0, 0, 0, 0, 1]])


def test_rewards_by_hand():
    def of(reward):
        return head_rewards(ANSWERS, LABELS, num_classes=3, reward=reward)

    assert of("accuracy") == [0.6, 1.0]
    assert of("balanced") == [(0.75 + 0.0) / 2, 1.0]
    # F1 of class 0: precision 3/4, recall 3/4; of class 1: 0. Class 2, which nothing is of, does not count.
    assert of("macro-f1") == [pytest.approx(0.75 / 2), 1.0]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_balanced_is_what_scikit_learn_says(pairs):
    labels, answers = (torch.tensor(each) for each in zip(*pairs, strict=True))
    [found] = head_rewards(answers[None], labels, num_classes=4, reward="balanced")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found == pytest.approx(balanced_accuracy_score(labels, answers))
