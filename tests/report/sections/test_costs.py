from replaytree.report.sections.costs import DepthCostRow, depth_cost_rows, draw_depth_cost


def test_what_each_depth_costs(data):
    assert depth_cost_rows(data) == [
        DepthCostRow(1, 1, 1.0, 1.0),
        DepthCostRow(2, 1, 2.0, 2.0),
        DepthCostRow(3, 2, 2.25, 4.5),
    ]


def test_the_figure_draws_the_medians(data):
    bars = draw_depth_cost(depth_cost_rows(data)).data[0]
    assert (list(bars.x), list(bars.y)) == ([1, 2, 3], [1.0, 2.0, 2.25])
