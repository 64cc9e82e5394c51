"""Reports to browse: typed rows, Plotly figures of the rows, and self-contained pages."""

from replaytree.report.compare_page import write_comparison
from replaytree.report.icicle import plot_tree
from replaytree.report.page import write_report
from replaytree.report.sections.depth import plot_depth
from replaytree.report.sections.effects import plot_layer_effects
from replaytree.report.sections.history import plot_history
from replaytree.report.sections.tradeoffs import plot_pareto
from replaytree.report.watch import watch_report

__all__ = [
    "plot_depth",
    "plot_history",
    "plot_layer_effects",
    "plot_pareto",
    "plot_tree",
    "watch_report",
    "write_comparison",
    "write_report",
]
