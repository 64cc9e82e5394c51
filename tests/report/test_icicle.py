from replaytree import plot_tree
from replaytree.report.icicle import icicle_rows


def test_the_most_visited_nodes_with_their_parents(data):
    rows = icicle_rows(data, most=2)
    assert [(row.key, row.parent_key, row.visit_count) for row in rows] == [("", "", 5), ("0", "", 4), ("0.1", "0", 3)]
    assert len(icicle_rows(data)) == 7


def test_the_figure_has_every_parent_and_escapes_labels(grow, golden):
    icicle = plot_tree(grow(golden, "<b>", labels=("conv1", "<i>x</i>", "res1"))).data[0]
    assert set(icicle.parents) - {""} <= set(icicle.ids)
    assert icicle.labels[0] == "&lt;b&gt;"
    assert icicle.labels[2] == "&lt;i&gt;x&lt;/i&gt;"
