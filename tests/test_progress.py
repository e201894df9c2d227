"""The bar on a terminal, and the lines where there is none."""

from __future__ import annotations

import io
import sys
import threading
import time

import pytest
from absl import logging

from cascade_tf import progress
from cascade_tf.progress import Bar, span


class Clock:
    """Seconds that the test chooses."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Inline:
    """A thread that does its work when it is started."""

    def __init__(self, target, **_) -> None:
        self.start = target

    def join(self) -> None:
        """Does nothing: all is done."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logged(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(logging, "info", lambda form, *arguments: lines.append(form % arguments))
    return lines


class TestLine:
    def test_count_rate_and_time_left(self, clock):
        with Bar(500, "detecting", "image", terminal=False, clock=clock) as bar:
            assert bar.line() == "detecting: 0 of 500 images"
            clock.now += 10
            bar.update(20)
            assert bar.line() == "detecting: 20 of 500 images, 2.0 images/s, 4:00 min left"

    def test_slow_ones_in_seconds_for_each(self, clock):
        with Bar(8, "training", "step", terminal=False, clock=clock) as bar:
            clock.now += 10
            bar.update(4)
            assert bar.line() == "training: 4 of 8 steps, 2.5 s/step, 10 s left"

    def test_the_time_until_the_first_count_is_none_of_the_rate(self, clock):
        with Bar(11, "training", "step", first="tracing the step", terminal=False, clock=clock) as bar:
            assert bar.line() == "tracing the step ..."
            clock.now += 40
            assert bar.line() == "tracing the step ... 40 s"
            bar.update()
            assert bar.line() == "training: 1 of 11 steps"
            clock.now += 2
            bar.update(4)
            assert bar.line() == "training: 5 of 11 steps, 2.0 steps/s, 3 s left"

    def test_steps_of_an_earlier_start_are_none_of_the_rate(self, clock):
        with Bar(100, "training", "step", start=80, terminal=False, clock=clock) as bar:
            clock.now += 5
            bar.update(10)
            assert bar.line() == "training: 90 of 100 steps, 2.0 steps/s, 5 s left"

    def test_pauses_are_none_of_the_rate(self, clock):
        with Bar(100, "training", "step", terminal=False, clock=clock) as bar:
            clock.now += 5
            bar.update(50)
            bar.pause()
            clock.now += 600
            assert bar.line() == "training: 50 of 100 steps, 10.0 steps/s, 5 s left"
            bar.resume()
            clock.now += 5
            bar.update(25)
            assert bar.line() == "training: 75 of 100 steps, 7.5 steps/s, 3 s left"

    def test_a_slow_one_shortens_the_time_left_and_leaves_the_rate(self, clock):
        with Bar(20, "detecting", "image", terminal=False, clock=clock) as bar:
            clock.now += 10
            bar.update(10)
            clock.now += 4
            assert bar.line() == "detecting: 10 of 20 images, 1.0 images/s, 6 s left"
            clock.now += 60
            assert bar.line() == "detecting: 10 of 20 images, 1.0 images/s"
            bar.update(10)
            assert bar.line() == "detecting: 20 of 20 images, 3.7 s/image, 0 s left"

    def test_percent(self, clock):
        with Bar(100, "demo 2/5: training", "%", terminal=False, clock=clock) as bar:
            clock.now += 30
            bar.reach(25)
            bar.rename("demo 3/5: exporting")
            assert bar.line() == "demo 3/5: exporting: 25 % done, 1:30 min left"

    def test_a_note_stands_behind_the_rest(self, clock):
        with Bar(2, "training", "step", terminal=False, clock=clock) as bar:
            bar.note("loss 3")
            assert bar.line() == "training: 0 of 2 steps, loss 3"


class TestWithoutTerminal:
    def test_a_short_job_says_nothing(self, logged):
        with Bar(3, "detecting", "image", terminal=False) as bar:
            bar.update(3)
        assert logged == []

    def test_a_line_in_every_interval_though_the_caller_is_busy(self, logged):
        with Bar(3, "detecting", "image", terminal=False, every=0.1) as bar:
            bar.update(1)
            time.sleep(0.55)
        assert 3 <= len(logged) - 1 <= 5
        assert all(line.startswith("detecting: 1 of 3 images, ") for line in logged[:-1])
        assert logged[-1].startswith("detecting: 1 image in ")

    def test_the_usual_interval_is_half_a_minute_and_the_first_line_comes_early(self, logged, monkeypatch):
        waits: list[float] = []

        class Event:
            """Lets the time go by at once, four times."""

            def __init__(self) -> None:
                self.closed = False

            def wait(self, seconds: float) -> bool:
                waits.append(seconds)
                return len(waits) > 3 or self.closed

            def is_set(self) -> bool:
                return self.closed

            def set(self) -> None:
                self.closed = True

        monkeypatch.setattr(progress.threading, "Event", Event)
        monkeypatch.setattr(progress.threading, "Thread", Inline)
        bar = Bar(None, "reading", terminal=False)
        assert waits == [1.5, 30.0, 30.0, 30.0]
        assert logged == ["reading ..."] * 3
        bar.close()

    def test_unknown_ends_show_the_seconds(self, logged, clock):
        bar = Bar(None, "loading", at_once=True, terminal=False, clock=clock)
        assert logged == ["loading ..."]
        clock.now += 65
        bar.log_now()
        bar.close()
        assert logged[1:] == ["loading ... 1:05 min", "loading took 1:05 min"]

    def test_a_failed_job_has_not_taken_anything(self, logged):
        bar = Bar(9, "detecting", "image", terminal=False)
        bar.log_now()
        bar.__exit__(ValueError, ValueError("stop"), None)
        assert logged == ["detecting: 0 of 9 images"]

    def test_nothing_during_a_pause(self, logged):
        with Bar(3, "training", "step", terminal=False, every=0.02) as bar:
            bar.pause()
            del logged[:]
            time.sleep(0.2)
            assert logged == []
            bar.resume()

    def test_a_dumb_terminal_gets_lines(self, monkeypatch, logged):
        monkeypatch.setenv("TERM", "dumb")
        with Bar(3, "training", "step", file=Terminal()) as bar:
            assert not bar.on_terminal


class TestOnATerminal:
    @pytest.fixture(autouse=True)
    def _terminal(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")

    def test_a_bar_with_count_and_time_left(self, clock, logged):
        file = Terminal()
        with Bar(40, "detecting", "image", file=file, clock=clock) as bar:
            clock.now += 10
            bar.update(10)
        assert "detecting  25 % |" in file.getvalue()
        assert "| 10 of 40 images, 1.0 images/s, 30 s left" in file.getvalue()
        assert file.getvalue().endswith("\r")
        assert logged == []

    def test_it_is_painted_at_once_and_every_second_though_the_caller_is_busy(self):
        file = Terminal()
        with Bar(None, "loading TensorFlow", file=file):
            assert "\rloading TensorFlow ..." in file.getvalue()
            time.sleep(1.6)
            assert "loading TensorFlow ... 1 s" in file.getvalue()

    def test_updates_from_many_threads_are_all_counted(self):
        with Bar(4000, "reading", "picture", file=Terminal()) as bar:
            threads = [threading.Thread(target=lambda: [bar.update() for _ in range(500)]) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert bar.count == 4000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (185, "3:05 min"), (3600, "1:00 h"), (7384, "2:03 h")],
)
def test_times_as_people_write_them(seconds, text):
    assert span(seconds) == text


def test_threads_count_together():
    bar = Bar(40_000, "checking", "image", terminal=False, every=1000.0)
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [bar.update() for _ in range(5000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switching)
        bar.close()
    assert bar.count == 40_000
