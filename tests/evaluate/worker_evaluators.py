"""Evaluators for processes that are really others: these import them from here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from replaytree.records import PathEvaluation


class Seeded:
    """Accuracies that tell the seed: seed / 2^32 at depth 1, half of it at depth 2."""

    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([seed / 2**32 / (t + 1) for t in range(len(path))]) for path in paths]


class Restless:
    """A smooth function of the path and the seed, after a while that depends on the process and the time of day."""

    def __init__(self, milliseconds=30):
        self.milliseconds = milliseconds

    def evaluate(self, paths, *, budget, seed):
        chance = (os.getpid() * 7919 + time.time_ns() // 1000) % 1000
        time.sleep(self.milliseconds * chance / 1e6)
        return [
            PathEvaluation([0.5 + 0.05 * path[:t].count(1) + seed % 101 / 10_000 for t in range(1, len(path) + 1)])
            for path in paths
        ]


class Deadly(Seeded):
    """Path (2,) kills the first process that tries, in the middle of whatever it does."""

    def __init__(self, file):
        self.file = file

    def evaluate(self, paths, *, budget, seed):
        if (2,) in paths and not os.path.exists(self.file):
            Path(self.file).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [Seeded.evaluate(self, [path], budget=budget, seed=seed)[0] for path in paths]


class Hanging(Seeded):
    """Path (1,) writes the processes that there are into a file, and sleeps for ever; path (3,) raises."""

    def __init__(self, file=os.devnull, *, always=False):
        self.file, self.always = file, always

    def evaluate(self, paths, *, budget, seed):
        if self.always or (1,) in paths:
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
            with open(self.file, "a") as file:
                file.write(f"{os.getpid()} {child.pid}\n")
            while True:
                time.sleep(1000)
        if (3,) in paths:
            raise KeyError("no such row")
        return super().evaluate(paths, budget=budget, seed=seed)


class Looks:
    """Accuracy 1 where the images are mapped from a file, else 0; then the labels' sum, then the threads of torch.

    It looks once two processes have written to their labels.
    """

    def __init__(self, data, folder):
        self.data, self.folder = data, folder

    def evaluate(self, paths, *, budget, seed):
        import torch

        labels = self.data.train_labels.add_(1000)
        (Path(self.folder) / str(os.getpid())).touch()
        while len(os.listdir(self.folder)) < 2:
            time.sleep(0.01)
        mapped = []
        for line in Path("/proc/self/maps").read_text().splitlines():
            area, _, _, _, inode, *_ = line.split()
            if inode != "0":
                mapped.append([int(end, 16) for end in area.split("-")])
        places = [tensor.data_ptr() for tensor in (self.data.train_images, self.data.val_images)]
        good = all(any(start <= place < end for start, end in mapped) for place in places)
        return [PathEvaluation([float(good), int(labels.sum()) / 2**32, torch.get_num_threads() / 10]) for _ in paths]
