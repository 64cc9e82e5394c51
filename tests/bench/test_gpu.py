import json
import time

import pytest
import torch
from torch import nn

from replaytree import cli
from replaytree.bench import gpu
from replaytree.bench.gpu import measure_gpu
from replaytree.bench.gpu.bench import POSTER, WIDE, Bench, profiled
from replaytree.bench.gpu.stepping import steps
from replaytree.bench.gpu.whole import concurrent
from replaytree.bench.gpu.working import essentials
from replaytree.space import LayerSpace, xu24

CPU = torch.device("cpu")


def command(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "gpu", *map(str, words)])
    return ended.value.code or 0, *capsys.readouterr()


def test_without_a_gpu_it_says_why_and_how_to_try_it(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    code, out, err = command(capsys)
    assert (code, out) == (2, "")
    assert "there is no GPU to measure (" in err
    assert "--smoke" in err
    code, _, err = command(capsys, "--device", "cuda:99", "--smoke")
    assert code == 2
    assert "device is 'cuda:99', which is not here" in err


def test_the_file_is_written_after_each_step_and_a_failed_step_ends_no_other(capsys, monkeypatch, tmp_path):
    file, seen = tmp_path / "gpu.json", []

    def second(bench):
        seen.append(json.loads(file.read_text()))
        raise ValueError("[no]")

    def third(bench):
        seen.append(json.loads(file.read_text()))
        return {"ms": 2.0}

    steps = {"first": lambda bench: {"ms": 1.0}, "second": second, "third": third}
    monkeypatch.setattr(gpu, "STEPS", {name: (step, 0.0) for name, step in steps.items()})
    code, out, _ = command(capsys, "--smoke", "--device", "cpu", "--json", file)
    assert code == 1
    assert [list(each) for each in seen] == [["first"], ["first", "second"]]
    figures = json.loads(file.read_text())
    assert (figures["second"]["failed"], figures["third"]["ms"]) == ("ValueError: [no]", 2.0)
    assert [line.split()[-1] for line in out.splitlines()] == ["done", "[no]", "done"]
    code, out, _ = command(capsys, "--smoke", "--device", "cpu", "--step", "first")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, ["first"])
    code, _, err = command(capsys, "--smoke", "--device", "cpu", "--step", "firts")
    assert code == 2
    assert "step is 'firts'; it must be one of first, second, third" in err


def test_what_no_time_is_left_for_is_skipped(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(gpu, "resolve_device", lambda name: torch.device("cuda:0"))
    monkeypatch.setattr(gpu, "on", lambda device: torch.no_grad())
    monkeypatch.setattr(
        Bench,
        "made",
        classmethod(lambda cls, device, **named: cls(*9 * [None], small=False, deadline=named["deadline"])),
    )

    def spends(seconds):
        def step(bench):
            now[0] += seconds
            return {"left": bench.left, "late": bench.late}

        return step

    monkeypatch.setattr(
        gpu,
        "STEPS",
        {"a": (spends(50.0), 10.0), "b": (spends(1.0), 11.0), "c": (spends(20.0), 10.0), "d": (spends(1.0), 0)},
    )
    found = measure_gpu(minutes=1.0)
    assert found["a"] == {"left": 10.0, "late": False, "took_seconds": 50.0}
    assert found["b"] == {"skipped": "10 s are left"}
    assert found["c"]["late"] is True
    assert found["d"] == {"skipped": "0 s are left"}


@pytest.fixture(scope="module")
def bench():
    return Bench.made(CPU, data_dir=None, small=True, deadline=0.0)


def test_what_is_computed_is_told_apart_by_kind(bench):
    convolution, norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
    images = torch.randn(4, 1, 8, 8)
    found = profiled(bench, lambda: norm(convolution(images)))
    assert {"convolutions", "batch norm"} <= found.keys()
    assert "optimiser" not in found
    count, seconds = found["batch norm"]
    assert count >= 1
    assert seconds > 0.0


def test_steps_of_every_path_and_batch_are_measured(bench):
    rows = steps(bench)["rows"]
    assert [(row["path"], row["batch"], row["fused"]) for row in rows[:4]] == [
        ("poster", 16, True), ("poster", 32, False), ("poster", 16, True), ("poster", 32, True),
    ]  # fmt: skip
    assert {row["path"] for row in rows} == {"poster", "wide", "random"}
    assert all(row["ms"] > 0.0 for row in rows)
    assert rows[1]["kernels"] > 20
    assert "kernels" not in rows[0]


def test_trainings_at_once_score_what_they_score_one_after_the_other(bench):
    rows = concurrent(bench)["rows"]
    assert [(row["at_once"], row["difference"]) for row in rows] == [(1, 0.0), (2, 0.0), (4, 0.0), (8, 0.0)]
    assert all(row["seconds"] * row["times_faster"] == pytest.approx(rows[0]["seconds"]) for row in rows)


def test_the_paths_of_a_gpu_are_the_posters_best_a_wide_one_and_a_random_one():
    space = LayerSpace(xu24(1.0), input_shape=(3, 32, 32), num_classes=10, max_layers=15)
    assert [len(space.parse(text)) for text in (POSTER, WIDE)] == [9, 15]


@pytest.mark.slow
def test_every_step_runs_on_a_cpu(capsys, tmp_path):
    file = tmp_path / "gpu.json"
    code, out, _ = command(capsys, "--smoke", "--device", "cpu", "--json", file)
    assert code == 0, out
    figures = json.loads(file.read_text())
    assert list(figures) == list(gpu.STEPS)
    assert not any({"failed", "skipped"} & own.keys() for own in figures.values())
    assert figures["versions"]["precision"] == "float32"
    assert figures["essentials"]["waiting"]["captured"] is False
    assert list(figures["tries"]["ms"]) == ["1", "2", "4", "8"]
    assert [row["rate"] for row in figures["faithfulness"]["rows"]] == [0.1, 0.1, 0.1, 0.4, 0.8]
    assert [row["at_once"] for row in figures["concurrent"]["rows"]] == [1, 2, 4, 8]
    assert figures["plain"]["times_fewer"]["plain"] == 1.0
    assert figures["search"]["trainings"] == 3
    assert len(figures["search"]["until"]) >= 1
    assert 0.0 < figures["retraining"]["validation_accuracy"] <= 1.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_essentials_hold_on_a_gpu():
    bench = Bench.made(torch.device("cuda:0"), data_dir=None, small=True, deadline=time.monotonic() + 600)
    found = essentials(bench)
    captured = {name: own["captured"] for name, own in found.items() if "captured" in own}
    assert captured == {
        "captured": True, "waiting": False, "after waiting": True, "after lack": True, "by name": True,
    }  # fmt: skip
    lack = found["lack of memory"]
    assert lack["failure"] is None, lack
    assert any("out of memory with batches of" in line for line in lack["told"]) or lack["batch"] < 64
