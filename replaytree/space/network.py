"""What the networks of all tasks have in common: graphs of image layers (graph.py), recurrent cells (recurrent.py)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

from replaytree.errors import SpaceError
from replaytree.metric import TASKS, Task
from replaytree.records import Path, Shape, Space

BYTES = 4
"""Of a number of 32 bits."""

Unit = Literal["image", "word"]


@dataclass(frozen=True, slots=True)
class Row:
    """A part of a network, to be shown: its depth, None where it belongs to no layer of the path, and what it reads."""

    name: str
    depth: int | None
    layer: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    params: int
    flops: int


class Network(Protocol):
    """The network of a prefix as plain values. Costs, limits and storage read no more than this.

    `params`: numbers to train. `flops`: multiply-adds for one unit, which is an image or a word. `activations`: numbers
    of 32 bits that are kept for the backward pass of one unit. `peak_bytes`: the most bytes of numbers of 32 bits alive
    at once while one unit is predicted. `ram_bytes`: the same where every number has 8 bits, of each operation
    (layers/operation.py). `flash_bytes`: a byte a weight, and four a bias. Both are None where they are unknown.
    """

    @property
    def unit(self) -> Unit:
        """What is predicted at once."""
        ...

    @property
    def input_shape(self) -> Shape:
        """That of a unit."""
        ...

    @property
    def end_shape(self) -> Shape:
        """What the head, or the decoder, reads."""
        ...

    @property
    def params(self) -> int:
        """See above."""
        ...

    @property
    def flops(self) -> int:
        """See above."""
        ...

    @property
    def activations(self) -> int:
        """See above."""
        ...

    @property
    def peak_bytes(self) -> int:
        """See above."""
        ...

    @property
    def ram_bytes(self) -> int | None:
        """See above."""
        ...

    @property
    def flash_bytes(self) -> int | None:
        """See above."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the layers, in the order of the nodes."""
        ...

    @property
    def is_normed(self) -> bool:
        """Whether no layer has weights without batch norm behind them."""
        ...

    @property
    def may_drop(self) -> bool:
        """Whether there are parts that drop-path may drop."""
        ...

    @property
    def module_names(self) -> tuple[str, ...]:
        """The submodules of the built network whose weights the networks of longer paths may start from."""
        ...

    def own_params(self, depth: int) -> int:
        """Numbers to train of the layer at `depth`."""
        ...

    def rows(self) -> Sequence[Row]:
        """All parts, in order; their parameters and FLOPs add up to those of the whole."""
        ...

    def with_classes(self, number: int) -> Self:
        """The same network for another number of classes, or of words."""
        ...

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        ...


class NetworkSpace(Space, Protocol):
    """A space that knows the network of every prefix. Shapes and costs are read from there.

    `nested`: the network of a prefix is a part of the networks of its continuations, so that one training scores all.
    """

    @property
    def nested(self) -> bool:
        """See above."""
        ...

    @property
    def num_classes(self) -> int:
        """What the heads tell apart: classes, or the words of a vocabulary."""
        ...

    def network(self, prefix: Path) -> Network:
        """The network of a prefix with its head; SpaceError where the prefix is illegal."""
        ...


def task_of(space: object) -> Task:
    """What the networks of a space are for. Spaces of one's own are for images, where they do not say.

    SpaceError where one says what is no task.
    """
    task: Task = getattr(space, "task", "images")
    if task not in TASKS:
        raise SpaceError(f"task of the space is {task!r:.80}; it must be {' or '.join(TASKS)}")
    return task


def data_words(task: Task, input_shape: Shape, num_classes: int, *, classes: bool = True) -> str:
    """What networks are for, in words: 'images of 3x32x32, 10 classes' or 'text of 10,000 words'.

    Without `classes` how many of images there are is left out.
    """
    if task == "text":
        return f"text of {num_classes:,} words"
    return f"images of {'x'.join(map(str, input_shape))}" + (f", {num_classes} classes" if classes else "")


def most_alive(
    steps: Sequence[Sequence[int]],
    sizes: Sequence[int],
    given: Mapping[int, int],
    *,
    in_place: Collection[int] = (),
) -> int:
    """The most numbers alive at once, where step k makes `sizes[k]` numbers of what the steps `steps[k]` made.

    Alive are what a step reads, what it makes, and what later steps read. `given` are the sizes of what is there before
    the first step; they have negative indices. What nothing reads dies at once. A step that is `in_place` writes over
    one of the numbers that it reads, where these are as many and no later step reads them.
    """
    last = {source: step for step, inputs in enumerate(steps) for source in inputs}
    alive, total, most = dict(given), sum(given.values()), 0
    unread = [source for source in given if source not in last]
    for step, size in enumerate(sizes):
        if step in in_place:
            over = (source for source in steps[step] if last[source] == step and alive[source] == size)
            total -= alive.pop(next(over, step), 0)
        alive[step] = size
        total += size
        most = max(most, total)
        dying = [source for source in steps[step] if last[source] == step] + ([] if step in last else [step])
        for source in dying + (unread if step == 0 else []):
            total -= alive.pop(source, 0)
    return most
