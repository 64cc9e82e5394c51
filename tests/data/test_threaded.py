import threading
import time

import pytest

from replaytree.data import threaded
from replaytree.data.threaded import over_files, paying_threads


@pytest.mark.parametrize(
    ("microseconds", "cpus", "threads"),
    [(0.0, 16, 1), (99.0, 16, 1), (210.0, 16, 2), (850.0, 16, 8), (5e3, 16, 16), (5e3, 2, 2), (5e3, 1, 1)],
)
def test_a_thread_is_paid_by_what_a_file_takes(microseconds, cpus, threads):
    assert paying_threads(microseconds * 1e-6, cpus=cpus) == threads


@pytest.mark.parametrize("count", [0, 1, 2, 129, 1000])
@pytest.mark.parametrize("seconds", [0.0, 0.012])
def test_every_file_is_done_once(monkeypatch, count, seconds):
    monkeypatch.setattr(threaded, "usable_cpus", lambda: 4)
    done = []

    def run(part):
        if len(part) == 1:
            time.sleep(seconds)
        done.extend(part)

    over_files(run, count)
    assert sorted(done) == list(range(count))


def test_files_that_take_long_are_done_side_by_side(monkeypatch):
    monkeypatch.setattr(threaded, "usable_cpus", lambda: 4)
    monkeypatch.setattr(threaded, "_PROBE_SECONDS", 1e-3)
    # Four chunks meet here, or none goes on; the files before them are alone.
    meeting = threading.Barrier(4, timeout=20)
    alone = []

    def run(part):
        if len(part) == 1:
            alone.append(part.start)
            time.sleep(0.012)
        else:
            meeting.wait()

    over_files(run, 2 + 4 * 128)
    assert alone == [0, 1]


def test_the_seconds_of_a_file_are_measured_without_the_first(monkeypatch):
    """The first takes 9 seconds; the two after it 15 milliseconds each, which is more than the 20 of the probe."""
    now, found = [0.0], []
    monkeypatch.setattr(threaded.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(threaded, "paying_threads", lambda seconds, *, cpus: found.append(seconds) or 1)

    def run(part):
        now[0] += 0.015 * len(part) if part.start else 9.0

    over_files(run, 1000)
    assert found == [pytest.approx(0.015)]


def test_files_that_take_no_time_are_done_in_this_thread(monkeypatch):
    monkeypatch.setattr(threaded, "usable_cpus", lambda: 4)
    monkeypatch.setattr(threaded, "_PROBE_SECONDS", 0.0)
    threads = set()
    over_files(lambda part: threads.add(threading.get_ident()), 1000)
    assert threads == {threading.get_ident()}


def test_an_error_of_a_file_is_not_lost(monkeypatch):
    monkeypatch.setattr(threaded, "usable_cpus", lambda: 2)

    def run(part):
        if len(part) == 1:
            time.sleep(0.012)
        elif 500 in part:
            raise ValueError("file 500")

    with pytest.raises(ValueError, match="file 500"):
        over_files(run, 1000)
