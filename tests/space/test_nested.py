"""In a nested space the network of a prefix is a part of its continuations': one training can score all prefixes."""

import pytest


def test_the_nodes_of_a_prefix_are_the_first_of_its_continuations(every_space, random_paths):
    space = every_space()
    if not space.nested:
        pytest.skip("a space that is not nested, and says so")
    for path in random_paths(space, 20):
        whole = space.network(path)
        assert sorted({node.depth for node in whole.nodes}) == list(range(1, len(path) + 1)), "a layer adds nodes"
        for depth in range(len(path)):
            part = space.network(path[:depth])
            assert part.nodes == whole.nodes[: len(part.nodes)]
            assert all(node.depth <= depth for node in part.nodes)
            assert all(node.depth > depth for node in whole.nodes[len(part.nodes) :])
