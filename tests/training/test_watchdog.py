"""A process that others have left alone ends itself in time."""

from __future__ import annotations

import multiprocessing
import time

from cascade_tf.training import watchdog
from cascade_tf.training.watchdog import STALLED, Watchdog


def hang():
    with Watchdog(0.2):
        time.sleep(60)


def test_silence_ends_the_process_with_its_own_status():
    process = multiprocessing.get_context("fork").Process(target=hang)
    process.start()
    process.join(20)
    assert process.exitcode == STALLED == 75


def test_signs_put_it_off_and_the_end_stops_it(monkeypatch):
    acted = []
    with Watchdog(0.4, acted.append) as dog:
        for _ in range(8):
            time.sleep(0.1)
            dog.sign()
        assert not acted
    time.sleep(0.6)
    assert not acted


def test_it_acts_once_and_whatever_the_clock_says(monkeypatch):
    acted = []
    monkeypatch.setattr(watchdog.time, "time", lambda: 0.0)
    with Watchdog(0.1, acted.append):
        time.sleep(0.6)
    assert len(acted) == 1
    assert acted[0] >= 0.1


def test_without_a_limit_it_never_acts():
    acted = []
    with Watchdog(0.0, acted.append):
        time.sleep(0.1)
    assert not acted
