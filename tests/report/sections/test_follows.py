from replaytree.report.reading import read_search
from replaytree.report.sections.follows import FollowRow, draw_follows, follow_finding, follow_rows


def test_pairs_of_the_best_tenth(grow, training):
    paths = [(a, b) for a in range(4) for b in range(4)]
    tree = grow([training(path, 0.1, 0.2 + 0.04 * n) for n, path in enumerate(paths)], labels=("a1", "b1", "c1", "d1"))
    # Sixteen chains: the best tenth is the best two, (3, 3) and (3, 2).
    assert follow_rows(read_search(tree)) == [
        FollowRow("d1", "c1", 1, 0.5, 1 / 16),
        FollowRow("d1", "d1", 1, 0.5, 1 / 16),
    ]


def test_the_pair_that_the_heading_names_comes_first():
    rows = [FollowRow("d1", "c1", 5, 0.5, 0.1), FollowRow("a1", "b1", 2, 0.2, 0.1)]
    cells = draw_follows(rows).data[0]
    assert (cells.y[0], cells.x[0], cells.z[0][0]) == ("d1", "c1", 5)
    assert follow_finding(rows).startswith("d1 then c1")


def test_no_pair_is_named_that_ends_one_prefix_or_as_many_as_another():
    once = FollowRow("a1", "b1", 1, 1.0, 0.1)
    twice, also = FollowRow("a1", "b1", 2, 0.5, 0.1), FollowRow("b1", "b1", 2, 0.5, 0.1)
    assert follow_finding([once]) == follow_finding([twice, also])
    assert follow_finding([once]).startswith("No pair of layers stands out")
    assert follow_finding([twice, once]).startswith("a1 then b1")
