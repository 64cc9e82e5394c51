"""Published ways to search that replaytree's strategies are measured against (bench/strategies.py), by name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from replaytree.bench.peers.peer import Peer
from replaytree.records import Space

# Where each is made. They are imported when used: scikit-learn and Optuna take seconds.
PEERS = {
    "gp-ei": "gaussian_process.gp_ei",
    "forest-ei": "forest.forest_ei",
    "local-search": "local_search.LocalSearch",
    "bananas": "bananas.Bananas",
    "optuna-tpe": "optuna_samplers.tpe",
    "optuna-gp": "optuna_samplers.gp",
}


def installed_peers() -> list[str]:
    """Those that this environment can run: two need Optuna."""
    return [name for name in PEERS if not name.startswith("optuna") or find_spec("optuna")]


def new_peer(name: str, space: Space, *, seed: int) -> Peer:
    """A peer at its start."""
    module, _, maker = PEERS[name].rpartition(".")
    made: Peer = getattr(import_module(f"{__name__}.{module}"), maker)(space, seed=seed)
    return made
