"""Threads that train by turns: what each of them sees, and who may begin."""

import threading
from functools import partial

import pytest
import torch

from replaytree.data import load_data
from replaytree.networks.trie import PrefixNetwork
from replaytree.space import LayerSpace, xu24
from replaytree.training import baton
from replaytree.training.baton import (
    Relay,
    Runner,
    Standing,
    Stopped,
    alone,
    clock,
    hand_on,
    require_run,
    using_memory,
)
from replaytree.training.loop import Training
from replaytree.training.recipe import Recipe

CPU = torch.device("cpu")
GPU = torch.device("cuda:1")


def told(log, name, *, times=3):
    for number in range(times):
        log.append(f"{name}{number}")
        hand_on()
    return name


def test_they_run_by_turns_and_each_returns_what_is_its_own(together):
    log = []
    assert together(*(partial(told, log, name) for name in "abc")) == ["a", "b", "c"]
    assert log == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_trainings_at_once_share_the_seconds(monkeypatch, together):
    now = [100.0]
    monkeypatch.setattr(baton, "perf_counter", lambda: now[0])
    assert clock() == 100.0

    def trains(seconds):
        """Each epoch ends so many seconds later."""
        began = clock()
        for spent in seconds:
            now[0] += spent
            hand_on()
        return clock() - began

    # In turn: `a` 8, `b` 4, `a` 6, `b` 2. `b` begins 8 seconds behind `a`, which ends 12 seconds later, with 2 at once.
    assert together(partial(trains, [8.0, 6.0]), partial(trains, [4.0, 2.0])) == [8.0 + 12.0 / 2, 12.0 / 2]


def test_what_passes_after_the_last_look_at_the_clock_is_shared_too(monkeypatch, together):
    now = [100.0]
    monkeypatch.setattr(baton, "perf_counter", lambda: now[0])

    def trains():
        began = clock()
        for spent in (2.0, 6.0):
            now[0] += spent
            hand_on()
        return clock() - began

    def says_nothing():
        now[0] += 4.0

    # 2 seconds alone, 4 of two, 6 alone.
    assert together(trains, says_nothing)[0] == 2.0 + 4.0 / 2 + 6.0


def test_without_others_nothing_waits():
    hand_on()
    require_run()
    assert not alone()
    with using_memory(10**9, limit=1):
        pass


def test_an_error_is_the_outcome_of_its_own_job(together):
    def fails():
        hand_on()
        raise SystemExit(3)

    log = []
    other, failed = together(partial(told, log, "a"), fails)
    assert (other, type(failed), failed.code) == ("a", SystemExit, 3)
    assert log == ["a0", "a1", "a2"]


def test_random_numbers_and_threads_are_as_they_would_be_alone(together):
    def draws(seed, threads):
        if seed is not None:
            torch.manual_seed(seed)
        torch.set_num_threads(threads)
        found = []
        for _ in range(3):
            found.append((torch.rand(()).item(), torch.get_num_threads()))
            hand_on()
        return found

    torch.manual_seed(1)
    before = torch.get_rng_state(), torch.get_num_threads()
    jobs = [partial(draws, None, 1), partial(draws, 7, 2), partial(draws, 8, 1)]
    by_turns = together(*jobs)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    singly = [together(job)[0] for job in jobs]
    assert by_turns == singly
    assert len({number for found in by_turns for number, _ in found}) == 9
    assert [found[2][1] for found in by_turns] == [1, 2, 1]


def test_trainings_side_by_side_are_to_the_bit_those_of_each_alone(together):
    data = load_data("digits", train_limit=200)
    space = LayerSpace(xu24(0.125), input_shape=(1, 8, 8), num_classes=10, max_layers=2)

    def trained(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = PrefixNetwork(space, [(seed, 0)], 10)
            training = Training(network, data, epochs=3, recipe=Recipe(batch_size=50), seed=seed)
            training.run(until=3)
            return training.validate(), [weight.sum().item() for weight in network.parameters()]

    assert together(*(partial(trained, seed) for seed in range(3))) == [trained(seed) for seed in range(3)]


def test_a_training_hands_on_before_it_waits_for_losses_and_for_answers(together):
    data, log = load_data("digits", train_limit=100), []
    space = LayerSpace(xu24(0.125), input_shape=(1, 8, 8), num_classes=10, max_layers=1)

    def trained():
        training = Training(PrefixNetwork(space, [(0,)], 10), data, epochs=1, recipe=Recipe(batch_size=50), seed=0)
        training.run(until=1)
        log.append("trained")
        training.validate()
        log.append("validated")

    together(trained, partial(told, log, "b"))
    assert log == ["b0", "trained", "b1", "validated", "b2"]


def test_one_that_lacks_room_begins_when_others_leave_it_and_says_so_once(caplog, together):
    log = []

    def uses(name, needed):
        with using_memory(needed, limit=10):
            told(log, name, times=2)

    together(*(partial(uses, name, needed) for name, needed in [("a", 6), ("b", 5), ("c", 4), ("d", 99)]))
    # `c` just fits beside `a`; `b` when `a` has ended; `d`, which never fits, when it has all for itself.
    assert log == ["a0", "c0", "a1", "c1", "b0", "b1", "d0", "d1"]
    assert len(caplog.records) == 1
    assert "trainings at once do not fit into the 0.0 GiB that trainings may use" in caplog.text


def test_room_is_left_when_it_is_no_longer_used_and_not_first_at_the_end(together):
    relay, came = Relay(CPU), threading.Event()

    def goes_on():
        with using_memory(6, limit=10):
            hand_on()
        with relay.given():
            return came.wait(5)

    def waits():
        with using_memory(6, limit=10):
            came.set()

    assert together(goes_on, waits, relay=relay) == [True, None]


def test_who_wants_to_be_alone_first_is_so_first(together):
    log = []

    def lone(name):
        told(log, name, times=1)
        alone()
        log.append(f"{name} alone")

    together(partial(lone, "a"), partial(lone, "b"))
    assert log == ["a0", "b0", "a alone", "b alone"]


def test_one_that_wants_to_be_alone_waits_for_those_under_way_and_others_for_it(together):
    log = []

    def lone(name):
        told(log, name, times=1)
        log.append(f"{name} alone {alone()}")
        told(log, name, times=2)
        log.append(f"{name} again {alone()}")

    together(partial(lone, "a"), partial(told, log, "b"), partial(lone, "c"))
    assert log == [
        "a0", "b0", "c0", "b1", "b2",
        "a alone True", "a0", "a1", "a again False",
        "c alone True", "c0", "c1", "c again False",
    ]  # fmt: skip


def test_what_begins_later_waits_for_the_one_that_is_alone(together):
    log, relay = [], Relay(CPU)

    def lone():
        assert alone()
        late = partial(Runner(relay, 1).run, partial(log.append, "late"), Standing(CPU))
        thread = threading.Thread(target=late, daemon=True)
        relay._queue.came = threading.Semaphore(0)
        thread.start()
        assert relay._queue.came.acquire(timeout=60)
        told(log, "a")
        return thread

    [thread] = together(lone, relay=relay)
    with relay.given():
        thread.join(60)
    assert log == ["a0", "a1", "a2", "late"]


def test_what_begins_later_does_not_keep_one_waiting_that_wants_to_be_alone(together):
    log, relay, threads = [], Relay(CPU), []

    def lone():
        alone()
        told(log, "a", times=1)

    def starts():
        hand_on()
        late = partial(Runner(relay, 2).run, partial(told, log, "late"), Standing(CPU))
        threads.append(threading.Thread(target=late, daemon=True))
        relay._queue.came = threading.Semaphore(0)
        threads[0].start()
        assert relay._queue.came.acquire(timeout=60)
        told(log, "b")

    together(starts, lone, relay=relay)
    with relay.given():
        threads[0].join(60)
    assert log == ["b0", "b1", "b2", "a0", "late0", "late1", "late2"]


def test_one_that_waits_to_be_alone_keeps_no_room_from_others(together):
    def lacks():
        with using_memory(6, limit=10):
            hand_on()
        return alone()

    def later():
        hand_on()
        with using_memory(6, limit=10):
            hand_on()

    assert together(lacks, later) == [True, None]


def test_a_run_that_has_ended_ends_what_is_under_way_and_what_waits(together):
    relay, log = Relay(CPU), []

    def ends():
        with using_memory(9, limit=10):
            hand_on()
            relay.stopped = True
            relay.changed()
            require_run()

    def waits():
        hand_on()
        with using_memory(9, limit=10):
            log.append("never")

    def lone():
        alone()
        log.append("never")

    outcomes = together(waits, ends, lone, relay=relay)
    assert [type(outcome) for outcome in outcomes] == 3 * [Stopped]
    assert log == []


def test_an_epoch_goes_no_further_when_the_run_has_ended(together):
    data = load_data("digits", train_limit=200)
    relay, steps = Relay(CPU), []
    space = LayerSpace(xu24(0.125), input_shape=(1, 8, 8), num_classes=10, max_layers=1)

    def trained():
        training = Training(PrefixNetwork(space, [(0,)], 10), data, epochs=9, recipe=Recipe(batch_size=20), seed=0)
        step = training._step

        def counted(*batch):
            steps.append(1)
            relay.stopped = len(steps) == 4
            step(*batch)

        counted.begin = step.begin
        training._step = counted
        training.run(until=9)

    [outcome] = together(trained, relay=relay)
    assert (type(outcome), len(steps)) == (Stopped, 4)


def test_ctrl_c_while_waiting_for_the_baton_leaves_it_to_others(monkeypatch, together):
    relay = Relay(CPU)

    class Interrupted:
        """A lock that its owner does not wait for."""

        def __init__(self):
            self.taken = False

        def acquire(self):
            if self.taken:
                raise KeyboardInterrupt
            self.taken = True

        def release(self):
            self.taken = False

    real = threading.Lock
    monkeypatch.setattr(threading, "Lock", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        relay.take()
    monkeypatch.setattr(threading, "Lock", real)
    assert not relay._queue
    assert together(lambda: 5, relay=relay) == [5]
