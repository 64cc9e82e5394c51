import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replaytree.data.split import stratified_split, stratified_subset
from replaytree.errors import DataError


def labels_of(*counts):
    """Labels with so many images of each class, in mixed order."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]


def counts_of(labels, indices):
    return torch.bincount(labels[indices], minlength=int(labels.max()) + 1).tolist()


@pytest.mark.parametrize(
    ("counts", "fraction", "val_counts"),
    [
        ((10, 10), 0.1, [1, 1]),
        ((50, 30, 20), 0.1, [5, 3, 2]),
        # 21 images, round(0.1 * 21) = 2, but three classes need one each
        ((17, 2, 2), 0.1, [1, 1, 1]),
        # 100 images, 10 go: shares 9.5, 0.3, 0.2 -> 8, 1, 1
        ((95, 3, 2), 0.1, [8, 1, 1]),
        # 10 images, 9 would go, but each class keeps one: 8
        ((5, 5), 0.9, [4, 4]),
        # 15 images, 4 go: shares 1.6, 2.4 -> 2, 2
        ((6, 9), 0.25, [2, 2]),
        ((2, 2), 0.1, [1, 1]),
    ],
)
def test_split_counts_by_hand(counts, fraction, val_counts):
    labels = labels_of(*counts)
    train, val = stratified_split(labels, fraction, seed=0)
    assert counts_of(labels, val) == val_counts
    assert counts_of(labels, train) == [c - v for c, v in zip(counts, val_counts, strict=True)]


@pytest.mark.parametrize(
    ("counts", "count", "subset_counts"),
    [((50, 30, 20), 10, [5, 3, 2]), ((95, 3, 2), 10, [8, 1, 1]), ((5, 5), 2, [1, 1]), ((4, 2), 6, [4, 2])],
)
def test_subset_counts_by_hand(counts, count, subset_counts):
    labels = labels_of(*counts)
    assert counts_of(labels, stratified_subset(labels, count, seed=0)) == subset_counts


@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_split_is_a_partition_with_every_class_on_both_sides(counts, fraction, seed):
    labels = labels_of(*counts)
    train, val = stratified_split(labels, fraction, seed=seed)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(sum(counts)))
    assert min(counts_of(labels, train)) >= 1
    assert min(counts_of(labels, val)) >= 1
    again_train, again_val = stratified_split(labels, fraction, seed=seed)
    assert torch.equal(train, again_train)
    assert torch.equal(val, again_val)


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=6), extra=st.integers(0, 200))
def test_subset_has_the_count_and_every_class(counts, extra):
    labels = labels_of(*counts)
    chosen = stratified_subset(labels, len(counts) + extra, seed=0)
    assert len(chosen) == min(len(counts) + extra, len(labels))
    assert len(set(chosen.tolist())) == len(chosen)
    assert min(counts_of(labels, chosen)) >= 1


def test_another_seed_draws_others():
    labels = labels_of(100, 100)
    assert not torch.equal(stratified_split(labels, 0.1, seed=0)[1], stratified_split(labels, 0.1, seed=1)[1])
    assert not torch.equal(stratified_subset(labels, 20, seed=0), stratified_subset(labels, 20, seed=1))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_bad_fraction(fraction):
    with pytest.raises(DataError, match=rf"val_fraction is {fraction}.*--val-fraction"):
        stratified_split(labels_of(5, 5), fraction, seed=0)


def test_class_with_one_image():
    with pytest.raises(DataError, match="class number 1 has 1 images"):
        stratified_split(labels_of(5, 1), 0.1, seed=0)


def test_limit_below_the_classes():
    with pytest.raises(DataError, match=r"train_limit is 2, but there are 3 classes.*--train-limit 3"):
        stratified_subset(labels_of(5, 5, 5), 2, seed=0)
