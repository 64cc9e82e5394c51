"""The RAM of a network against what onnxruntime's own memory planner reserves for the same network."""

import re
import subprocess
import sys
import warnings

import pytest
import torch

from replaytree.space import LabelSpace
from replaytree.space.building import build
from replaytree.space.catalogue import named_space
from replaytree.space.costs import costs_of
from replaytree.space.graph import IMAGE
from replaytree.space.network import most_alive

NETWORKS = [
    ("xu24", "conv64k5 avg2s2 conv64k3 conv128k3"),
    ("xu24", "res32 res32 avg2s2 conv128k5"),
    ("xu24", "res128 conv32k3 conv32k3 res64 avg2s2 res64 res64 conv64k3"),
    ("xu24", "conv32k3 res64 max2s2 res128"),
    ("tiny", "conv3-64 separable5-16-s2 conv1x3-64-s2 conv1x5-24-s2"),
    ("tiny", "conv3-16-s2 inverted4-16 avg3-s2"),
    ("tiny", "separable3-24 inverted6-24 inverted6-24"),
    ("metaqnn", "conv256k3 conv512k1 softmax"),
    ("enas-macro", "sep3 max3 conv5+0+1 max3+0+1"),
    ("enas-macro", "conv3 sep5+0 conv3+1 conv3+0+2"),
]
# The arena gives back what the first run took. The first that the second run asks for is the block of all maps, which
# the planner has laid out; what kernels want for themselves comes later.
RUN = """
import sys, numpy, onnxruntime
onnxruntime.set_default_logger_severity(1)
place = onnxruntime.OrtMemoryInfo(
    "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
)
onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg({"arena_extend_strategy": 1}))
options, once = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
options.log_severity_level, options.intra_op_num_threads = 1, 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
options.add_session_config_entry("session.use_env_allocators", "1")
once.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
images = {session.get_inputs()[0].name: numpy.zeros(session.get_inputs()[0].shape, numpy.float32)}
session.run(None, images, once)
print("=== second run", file=sys.stderr, flush=True)
session.run(None, images)
"""


def planned(graph, folder):
    """The numbers that the planner has room for at once; the image is the caller's, and not among them."""
    file = folder / "network.onnx"
    with warnings.catch_warnings():
        # The older exporter is quick, and says that it is the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(build(graph).eval(), (torch.zeros(1, *graph.input_shape),), str(file), dynamo=False)
    done = subprocess.run([sys.executable, "-c", RUN, str(file)], capture_output=True, text=True, check=True)
    second = done.stderr.split("=== second run")[1]
    return int(re.search(r"\(requested\) num_bytes: (\d+)", second)[1]) // 4


@pytest.mark.slow
def test_the_planner_of_onnxruntime_needs_as_much_or_leaves_holes(tmp_path):
    pytest.importorskip("onnxruntime")
    ratios = []
    for name, path in NETWORKS:
        space = named_space(name, input_shape=(3, 16, 16), num_classes=10, max_layers=8)
        graph = space.network(space.parse(path))
        steps, sizes = [each.reads for each in graph.operations], [each.makes for each in graph.operations]
        in_place = [step for step, each in enumerate(graph.operations) if each.in_place]
        ours = most_alive(steps, sizes, {IMAGE: 0}, in_place=in_place)
        ratios.append(planned(graph, tmp_path) / ours)
    # Its blocks have fixed places, with holes between them, and it runs the shortcut of a residual block first.
    assert ratios == [1.0, 1.0, 1.5, 1.4, 1.0, 1.0, pytest.approx(92_928 / 79_872), 1.0, 1.0, 1.0]


def test_parameters_are_not_counted_where_memory_is_asked_for():
    """A search's network need not be made beside the one that is delivered."""

    class Uncounted(LabelSpace):
        def cost(self, prefix):
            raise AssertionError("nobody asked")

    space = Uncounted(("a",), max_layers=1)
    assert costs_of(space, (0,), ("ram_bytes", "flash_bytes")) == {"ram_bytes": None, "flash_bytes": None}
    with pytest.raises(AssertionError, match="nobody asked"):
        costs_of(space, (0,), ("params", "ram_bytes"))
