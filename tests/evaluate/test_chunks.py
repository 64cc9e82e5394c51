from replaytree.evaluate.chunks import chunks, cut, joint_flops
from replaytree.space import Convolution, LayerSpace, trie_cost


def test_chunks_are_of_ten_layers():
    assert list(chunks(10)) == [(1, 10)]
    assert list(chunks(21)) == [(1, 10), (11, 20), (21, 30)]
    assert list(chunks(0)) == []


def test_paths_that_part_further_down_are_trained_once_and_equal_ones_twice():
    paths = [(0, 1, 2), (0, 1, 3), (0, 1), (0, 1), (2,)]
    assert cut(paths, 2) == ([(0, 1), (0, 1), (0, 1), (2,)], [0, 0, 1, 2, 3])
    assert cut(paths, 3) == (paths, [0, 1, 2, 3, 4])


def test_flops_of_two_deep_paths_count_the_common_chunk_once():
    space = LayerSpace([Convolution(4, 3), Convolution(8, 3)], input_shape=(1, 8, 8), num_classes=10, max_layers=12)
    trunk = (0,) * 10
    both = joint_flops(space, [(*trunk, 0, 0), (*trunk, 1, 0)])
    first = trie_cost(space, [trunk]).flops
    behind = trie_cost(space, [(*trunk, 0, 0), (*trunk, 1, 0)]).flops
    assert both == first + behind
    assert joint_flops(space, [trunk]) == first
