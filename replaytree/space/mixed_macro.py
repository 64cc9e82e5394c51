"""The mixed supernet of whole networks of ENAS."""

from __future__ import annotations

from collections.abc import Sequence

from replaytree.errors import SpaceError
from replaytree.records import Path
from replaytree.space.coding import decode, encode, taken
from replaytree.space.enas_macro import OPERATIONS, EnasMacro
from replaytree.space.layers import Classifier, FactorizedReduction, NormedConvolution, NormedSum
from replaytree.space.mixed import (
    MixedDrawing,
    MixedEdge,
    MixedGraph,
    MixedOption,
    Mixing,
    Projection,
    Row,
    best_option,
    normed,
    one_hot,
)


class MacroMixture:
    """A Mixture (mixed.py) with the decisions of the space: an operation a layer, and which earlier maps join it.

    The operations of a layer share its 1x1 convolution, as in ENAS' own supernet. Each earlier map joins with the
    sigmoid of its number, and is derived where that is over a half. The places where maps are halved are the space's
    own. With `share` 4, as in PC-DARTS, operations see a quarter of the channels; maps that join are whole.
    """

    def __init__(self, plan: EnasMacro, *, share: int = 1) -> None:
        if plan.is_final:
            raise SpaceError("a supernet sums its maps, and final networks concatenate them; leave out --final")
        if plan.channels % share:
            raise SpaceError(
                f"channels are {plan.channels}, which is no multiple of {share}, the parts of which operations see "
                f"one; choose other --channels, or --channel-parts"
            )
        self._plan = plan
        self._share = share
        drawing = MixedDrawing(plan.input_shape)
        self._operations: list[int] = []
        self._joins: list[int | None] = []
        for depth in range(1, plan.max_layers + 1):
            self._operations.append(drawing.decide(Mixing(f"{depth} operation", OPERATIONS)))
            earlier = tuple(map(str, range(depth - 1)))
            self._joins.append(drawing.decide(Mixing(f"{depth} inputs", earlier, "inputs")) if earlier else None)
        self.graph = self._drawn(drawing)

    def _drawn(self, drawing: MixedDrawing) -> MixedGraph:
        plan, channels = self._plan, self._plan.channels
        maps = [drawing.add("stem", NormedConvolution(channels, 3, relu="none"), 0)]
        for depth in range(1, plan.max_layers + 1):
            if plan.reduces(depth):
                maps = [
                    drawing.add(f"layer{depth}_reduce{place}", FactorizedReduction(channels), source)
                    for place, source in enumerate(maps)
                ]
            name = f"layer{depth}"
            read = drawing.add(f"{name}_pointwise", NormedConvolution(channels, 1, relu="after"), maps[-1])
            options = []
            for place, operation in enumerate(OPERATIONS):
                (_, layer) = plan.branch(operation, channels // self._share)[1]
                options.append(MixedOption(normed((layer,)), (((self._operations[depth - 1], place),),)))
            edges = [MixedEdge(read, tuple(options), share=self._share)]
            joins = self._joins[depth - 1]
            if joins is not None:
                edges += [
                    MixedEdge(source, (MixedOption((), (((joins, place),),)),))
                    for place, source in enumerate(maps[: depth - 1])
                ]
            end = drawing.mix(name, drawing.shape(read), edges)
            maps.append(end if joins is None else drawing.add(f"{name}_sum", NormedSum(), end))
        return drawing.graph(Classifier(plan.num_classes, bias=False))

    def derive(self, weights: Sequence[Row]) -> Path:
        """The path of some weights, one row a decision: the largest operation, and the maps over a half."""
        path = []
        for depth, (operation, joins) in enumerate(zip(self._operations, self._joins, strict=True), start=1):
            values = [best_option(self.graph.decisions[operation], weights[operation])]
            if joins is not None:
                values.append(sum(1 << place for place, weight in enumerate(weights[joins]) if weight > 0.5))
            path.append(encode(self._plan.decisions(depth), values))
        return tuple(path)

    def rows(self, path: Path) -> list[Row]:
        """The weights with which the supernet is the network of a path: ones and zeros."""
        rows = [one_hot(len(mixing.options)) for mixing in self.graph.decisions]
        for depth, action in enumerate(path, start=1):
            decisions = self._plan.decisions(depth)
            operation, *bits = decode(decisions, action)
            rows[self._operations[depth - 1]] = one_hot(len(OPERATIONS), operation)
            joins = self._joins[depth - 1]
            if joins is not None:
                rows[joins] = one_hot(depth - 1, *taken(decisions[1], bits[0]))
        return rows

    def projections(self) -> list[Projection]:
        """Every decision by itself."""
        return [Projection(mixing.name, (of,)) for of, mixing in enumerate(self.graph.decisions)]

    def skips(self, path: Path) -> None:
        """No operation passes its input on."""
