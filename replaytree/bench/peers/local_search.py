"""Local search with first improvement (White, Nolen and Savani, UAI 2021, "Exploring the loss landscape in NAS").

It starts at the best of the random starts. Neighbours, which differ in one decision, are trained in random order, and
the first that is better is the next centre. Where none is, it starts anew at a random path.
"""

from __future__ import annotations

from replaytree.bench.peers.peer import Paths, Trained
from replaytree.records import Path, Space

# A centre has no other neighbour if so many draws gave none.
DRAWS = 200


class LocalSearch:
    """A peer (peer.py)."""

    def __init__(self, space: Space, *, seed: int) -> None:
        self._paths = Paths(space, seed=seed)
        self._trained = Trained()
        self._centre: tuple[float, Path] | None = None

    def propose(self) -> Path:
        """A start, or a neighbour of the centre that was not trained yet."""
        if len(self._trained) < len(self._paths.starts):
            return self._paths.starts[len(self._trained)]
        means = self._trained.means()
        if self._centre is None:
            self._centre = max((accuracy, path) for path, accuracy in means.items())
        for _ in range(DRAWS):
            path = self._paths.mutant(self._centre[1])
            if path not in means:
                return path
        # The next path that is observed becomes the centre.
        self._centre = (-1.0, ())
        return self._paths.random()

    def observe(self, path: Path, accuracy: float) -> None:
        """A path better than the centre takes its place."""
        self._trained.add(path, accuracy)
        if self._centre is not None and accuracy > self._centre[0]:
            self._centre = (accuracy, path)
