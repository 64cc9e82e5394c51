"""The cost of a report: seconds to write, bytes, and seconds to open and click in a browser."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path as FilePath
from statistics import median

import numpy as np
from sqlalchemy import event

from replaytree.records import Path, PathEvaluation
from replaytree.report import write_report
from replaytree.space import LayerSpace, xu24
from replaytree.tree import Episode, ReplayTree

CHROMIUM_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
CLICKS = 5


@dataclass(frozen=True, slots=True)
class ReportCost:
    """Seconds and megabytes (1e6 bytes) of one report; browser times are None where there is no browser.

    `first_picture_seconds` is from opening the file to the drawn tree; `click_seconds` the median of drill-downs, to
    the drawn tree and the filled panel.
    """

    nodes: int
    trainings: int
    queries: int
    write_seconds: float
    megabytes: float
    first_picture_seconds: float | None
    click_seconds: float | None


def measure_report(nodes: int, *, depth: int = 15) -> ReportCost:
    """Grow a tree of at least `nodes` nodes in a SQLite file, write its report, and open that in Chromium."""
    with tempfile.TemporaryDirectory() as folder:
        tree = synthetic_tree(f"sqlite:///{FilePath(folder) / 'report.db'}", nodes, depth=depth)
        queries: list[str] = []

        def count(*arguments: object) -> None:
            if str(arguments[2]).lstrip().upper().startswith("SELECT"):
                queries.append(str(arguments[2]))

        event.listen(tree.engine, "before_cursor_execute", count)
        started = time.perf_counter()
        path = write_report(tree, out=folder)
        write_seconds = time.perf_counter() - started
        event.remove(tree.engine, "before_cursor_execute", count)
        info = tree.info()
        first, click = _look(path)
        return ReportCost(
            nodes=info.node_count,
            trainings=info.training_count,
            queries=len(queries),
            write_seconds=write_seconds,
            megabytes=path.stat().st_size / 1e6,
            first_picture_seconds=first,
            click_seconds=click,
        )


def synthetic_tree(storage: str, nodes: int, *, depth: int = 15, name: str = "synthetic") -> ReplayTree:
    """Random paths in which some layers are more frequent, as a policy's are. Accuracies rise with depth."""
    space = LayerSpace(xu24(), input_shape=(3, 32, 32), num_classes=10, max_layers=depth)
    tree = ReplayTree.create(
        storage, name, space=space, seed=0, config_json='{"seed": 0, "strategy": "random"}', versions={}
    )
    generator = np.random.default_rng(0)
    favour = 1.0 / (1.0 + generator.permutation(space.num_actions)) ** 1.2
    stored = 0
    while stored < nodes:
        batch = [_episode(space, favour, generator, depth) for _ in range(100)]
        tree.record(batch, state=b"")
        stored = tree.info().node_count
    return tree


def _episode(space: LayerSpace, favour: np.ndarray, generator: np.random.Generator, depth: int) -> Episode:
    path: Path = ()
    while len(path) < depth:
        weights = favour * np.array(space.legal(path))
        path = (*path, int(generator.choice(space.num_actions, p=weights / weights.sum())))
    rise = 1.0 - 0.7 * np.exp(-0.5 * np.arange(1, depth + 1))
    accuracies = np.clip(rise + generator.normal(0.0, 0.02, depth), 0.0, 1.0).tolist()
    return Episode(path, "sample", depth, 8, True, PathEvaluation(accuracies, train_seconds=0.1 * depth))


def _look(path: FilePath) -> tuple[float | None, float | None]:
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None, None
    if chromium is None:
        return None, None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGUMENTS))
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        started = time.perf_counter()
        page.goto(path.resolve().as_uri(), wait_until="commit")
        page.wait_for_selector("html[data-ready]", state="attached")
        page.wait_for_selector("#icicle g.slice")
        first = time.perf_counter() - started
        page.wait_for_selector("html[data-drawn]", state="attached")
        clicks = []
        for _ in range(CLICKS):
            child = page.locator("#panel .children button").first
            if not child.count():
                break
            # Measured inside the page: from the click to the frame that shows the new drawing.
            clicks.append(
                child.evaluate(
                    "button => new Promise(done => { const start = performance.now(); button.click();"
                    "requestAnimationFrame(() => setTimeout(() => done(performance.now() - start), 0)); })"
                )
                / 1e3
            )
        browser.close()
    return first, median(clicks) if clicks else None
