"""The training loop."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from absl import logging

from cascade_tf.structures import ImageBatch, Targets
from cascade_tf.training.accumulation import AccumulatedStep
from cascade_tf.training.average import AveragedWeights
from cascade_tf.training.best import BestKeeper
from cascade_tf.training.checkpoint import (
    CheckpointStore,
    name_variables,
    prepare_workdir,
    save_weights,
    saved_variables,
)
from cascade_tf.training.cluster import Workers
from cascade_tf.training.distribution import batch_signature, check_divisible, default_strategy
from cascade_tf.training.failed_evaluations import EvaluationFailedError, describe_error
from cascade_tf.training.lost_workers import lost_workers_named, tells_of_lost_worker
from cascade_tf.training.optimizer import make_optimizer
from cascade_tf.training.pictures import sample_pictures
from cascade_tf.training.precision import LossScale, dtype_policy
from cascade_tf.training.progress import Progress, Speed
from cascade_tf.training.run_log import RunLog
from cascade_tf.training.schedule import describe_learning_rate
from cascade_tf.training.settings import TrainConfig
from cascade_tf.training.signals import StopRequest
from cascade_tf.training.step import UpdateStep, raw_variable
from cascade_tf.training.watchdog import Watchdog
from cascade_tf.training.window import Window

LAST_WEIGHTS = "last.weights.h5"
CHECKPOINTS_FOLDER = "checkpoints"


class TrainResult(NamedTuple):
    """How a run ended.

    Attributes:
        step: updates that are done.
        finished: whether that is all of them.
        signal: number of the signal that ended it early, else None.
        best: ``step`` of the best weights and the number that judged them, None without evaluation.
    """

    step: int
    finished: bool
    signal: int | None
    best: dict[str, Any] | None


class Trainer:
    """Trains a detector in a folder, from its newest checkpoint if there is one.

    Batch ``s`` of the data must be a function of ``s`` alone; then a run that was interrupted ends with the
    same weights as one that was not. The folder gets ``checkpoints/``, ``metrics.jsonl``, ``events/`` for
    TensorBoard, ``last.weights.h5`` with every checkpoint and, with an evaluation, ``best.weights.h5`` and
    ``best.json``. With ``settings.ema`` the weights in those files, and those that are evaluated, are the
    averaged ones.

    An evaluation that fails costs no training: checkpoint and weights are written before it, and training
    goes on. The run tells of it at once in the log, and by an error when its last step is done.

    Args:
        detector_factory: returns the built detector, its pre-trained weights loaded; runs under the strategy
            and the precision of the settings.
        settings: how to train.
        workdir: folder of the run.
        make_batches: number of a batch -> data set of (ImageBatch, Targets) from that one on, in global
            batches, ``settings.accumulate`` of which are one step. Of several processes each has its
            consecutive part of every batch here.
        evaluate_fn: (detector, step) -> numbers by name, the one of ``judge`` among them. Of several
            processes all call it, and only those of the first count.
        judge: the number by which the best weights are kept.
        measured_by: what its name does not say of how it is measured; the best weights are kept among
            evaluations that have the same here.
        lower_is_better: whether they have the lowest one.
        pictures_fn: (detector, batch, targets) -> pictures [H, W, 3] uint8 by name, see ``picture_every``.
        strategy: None trains on every GPU of the machine, without one on the CPU. Of several processes,
            which all see the folder, only the first one writes.
        progress_bar: None shows one where stderr is a terminal.
        stall_limit: seconds after which this process ends itself with exit status 75 if no step and no
            evaluation has been done, as others that it waits for are gone, see ``watchdog``; 0: never.

    Attributes:
        detector: the detector, with the weights of ``step``.
        step: updates that are done.

    Raises:
        ValueError: the folder cannot be written to, its checkpoint is of another model, the batch size
            does not divide among the devices, or the processes see different checkpoints.
        WorkerLostError: another process has died.
    """

    def __init__(
        self,
        detector_factory: Callable[[], Any],
        settings: TrainConfig,
        workdir: str | os.PathLike[str],
        *,
        make_batches: Callable[[int], tf.data.Dataset],
        evaluate_fn: Callable[[Any, int], Mapping[str, float]] | None = None,
        judge: str = "AP",
        measured_by: str = "",
        lower_is_better: bool = False,
        pictures_fn: Callable[[Any, ImageBatch, Targets], Mapping[str, Any]] = sample_pictures,
        strategy: tf.distribute.Strategy | None = None,
        progress_bar: bool | None = None,
        stall_limit: float = 0.0,
    ) -> None:
        self.settings = settings
        self.workdir = prepare_workdir(workdir)
        self.make_batches = make_batches
        self.evaluate_fn = evaluate_fn
        self.pictures_fn = pictures_fn
        self.progress_bar = progress_bar
        self.strategy = strategy or default_strategy()
        self.workers = Workers(self.strategy)
        self._stall_limit = stall_limit
        check_divisible(settings.batch_size, self.strategy)
        keras.utils.set_random_seed(settings.seed)
        folder = self.workdir / CHECKPOINTS_FOLDER
        # A variable is made by all processes together, which wait for each other.
        with lost_workers_named(), Watchdog(self._stall_limit):
            with self.strategy.scope(), dtype_policy(settings.precision):
                self.detector = detector_factory()
                self._optimizer = make_optimizer(settings)
                self._optimizer.build(self.detector.trainable_variables)
                weights = [raw_variable(v) for v in self.detector.trainable_variables]
                self._average = AveragedWeights(weights, settings.ema) if settings.ema else None
                self._loss_scale = LossScale() if settings.precision == "mixed_float16" else None
            self._checkpoints = CheckpointStore(folder, self._state(), settings.keep_checkpoints)
            resumed = self._checkpoints.restore()
            self._check_workers_agree()
        self._best = BestKeeper(
            self.workdir,
            lambda path: save_weights(self.detector, path),
            judge,
            measured_by=measured_by,
            lower_is_better=lower_is_better,
            fresh=not resumed,
            writes=self.workers.is_chief,
        )
        self._failed: dict[int, Exception] = {}

    @property
    def step(self) -> int:
        """Updates that are done."""
        # int() of the variable itself fails under a strategy.
        return int(self._optimizer.iterations.numpy())

    def run(self) -> TrainResult:
        """Trains to the last step, or until Ctrl-C or SIGTERM, which ends the run with a checkpoint.

        Raises:
            NonFiniteLossError: a loss or the gradient was not finite; the newest checkpoint stays as it is.
            ValueError: the data set's batches have another size, or end too early.
            EvaluationFailedError: all steps are done and their weights kept, but an evaluation has failed.
            WorkerLostError: another process has died.
        """
        steps, start = self.settings.steps, self.step
        logging.info("%s", describe_learning_rate(self.settings))
        writes = self.workers.is_chief
        with (
            lost_workers_named(),
            RunLog(self.workdir, start, writes=writes) as log,
            StopRequest(self.workers) as stop,
            Watchdog(self._stall_limit) as self._watchdog,
        ):
            if start >= steps and writes:
                # The process may have died between the last checkpoint and the weights of that step.
                self._save_weights()
            if start and start not in log.evaluated_steps:
                self._evaluate(start, log)
            if start < steps:
                with Progress(steps, start, self.progress_bar) as progress:
                    self._train(start, log, progress, stop)
            # The others must not leave while the first one still writes: it would lose them.
            stop.agree()
        result = TrainResult(self.step, self.step >= steps, stop.agreed, self._best.best)
        if result.finished and self._failed:
            failure = EvaluationFailedError(self._failed, result)
            raise failure from failure.last
        return result

    def _train(self, start: int, log: RunLog, progress: Progress, stop: StopRequest) -> None:
        batches = self.make_batches(start * self.settings.accumulate)
        update = self._make_update(batches.element_spec)
        window, speed = Window(), Speed()
        step = start
        for parts in self._parts_of_steps(batches):
            window.add(
                step + 1, update.of_parts(parts), tf.concat([batch.image_id for batch, _ in parts], axis=0)
            )
            step += 1
            self._watchdog.sign()
            progress.advance()
            # The first step is spent on tracing and would spoil the speed.
            speed.add(self.settings.images_per_update) if step > start + 1 else speed.restart()
            if self._due(self.settings.log_every, step):
                summary = window.summarize()
                rate = speed.restart()
                log.training(step, summary, rate)
                progress.show(summary.losses, rate)
            ends = stop.is_agreed() or step == self.settings.steps
            speed.pause()
            progress.pause()
            self._between_steps(step, ends, window, log, parts[-1])
            speed.resume()
            progress.resume()
            if ends:
                return
        raise ValueError(f"data set: ended after {step} steps, expected train.steps = {self.settings.steps}")

    def _between_steps(self, step: int, ends: bool, window: Window, log: RunLog, data: tuple) -> None:
        pictures = self.settings.picture_every > 0 and self._due(self.settings.picture_every, step)
        evaluates = self._due(self.settings.evaluate_every, step)
        # An evaluation may take the whole process down; the work of hours must lie on the disk before.
        saves = ends or evaluates or self._due(self.settings.checkpoint_every, step)
        if pictures or evaluates or saves:
            # Weights of a failed run must not be saved as if they were those of this step.
            window.check()
        if saves:
            self._save(step)
        if evaluates:
            self._evaluate(step, log)
        if pictures and self.workers.is_chief:
            with self._result_weights():
                log.pictures(step, self.pictures_fn(self.detector, *data))

    def _save(self, step: int) -> None:
        if not self.workers.is_chief:
            return
        self._checkpoints.save(step)
        self._save_weights()

    def _save_weights(self) -> None:
        with self._result_weights():
            save_weights(self.detector, self.workdir / LAST_WEIGHTS)

    def _evaluate(self, step: int, log: RunLog) -> None:
        if self.evaluate_fn is None or not self._due(self.settings.evaluate_every, step):
            return
        try:
            with self._result_weights():
                results = self.evaluate_fn(self.detector, step)
                if self.workers.is_chief:
                    self._best.offer(step, results)
        except Exception as error:
            if tells_of_lost_worker(error):
                raise
            self._failed[step] = error
            logging.error(
                "the evaluation after step %d failed, its weights are kept as a checkpoint and %s: %s",
                step,
                LAST_WEIGHTS,
                describe_error(error),
            )
            return
        finally:
            self._watchdog.sign()
        log.evaluation(step, results)

    def _make_update(self, element_spec: Any) -> UpdateStep | AccumulatedStep:
        """What trains on the batches of one step."""
        signature = batch_signature(element_spec, self._images_here)
        base = (self.detector, self._optimizer, self.strategy, signature)
        settings: dict[str, Any] = {
            "clip_norm": self.settings.clip_norm,
            "loss_scale": self._loss_scale,
            "average": self._average,
            "losses_over": self.settings.losses_over,
        }
        with self.strategy.scope():
            if self.settings.accumulate > 1:
                return AccumulatedStep(*base, num_parts=self.settings.accumulate, **settings)
            return UpdateStep(*base, **settings)

    def _state(self) -> dict[str, dict[str, Any]]:
        names = name_variables(self.detector.trainable_variables)
        velocities = (raw_variable(v) for v in self._optimizer.velocities)
        state = {
            "model": name_variables(saved_variables(self.detector)),
            "velocity": dict(zip(names, velocities, strict=True)),
            "progress": {"steps": raw_variable(self._optimizer.iterations)},
        }
        if self._average is not None:
            state["average"] = dict(zip(names, self._average.variables, strict=True))
        if self._loss_scale is not None:
            state["loss_scale"] = self._loss_scale.variables
        return state

    def _result_weights(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._average is None else self._average.applied()

    def _due(self, every: int, step: int) -> bool:
        return step == self.settings.steps or (every > 0 and step % every == 0)

    def _parts_of_steps(self, batches: tf.data.Dataset) -> Iterator[list[tuple[ImageBatch, Targets]]]:
        """The batches of one step after the other; what is left in the end and makes no whole step is not."""
        iterator = iter(batches)
        while len(parts := list(itertools.islice(iterator, self.settings.accumulate))):
            for batch, _ in parts:
                self._check_size(batch)
            if len(parts) == self.settings.accumulate:
                yield parts

    @property
    def _images_here(self) -> int:
        return self.settings.batch_size // self.workers.count

    def _check_size(self, batch: ImageBatch) -> None:
        if batch.images.shape[0] != self._images_here:
            got = f"a batch of {batch.images.shape[0]} images"
            raise ValueError(f"data set: got {got}, expected train.batch_size = {self._images_here}")

    def _check_workers_agree(self) -> None:
        steps = self.workers.exchange(self.step).numpy().tolist()
        if len(set(steps)) > 1:
            raise ValueError(
                f"workdir {self.workdir}: got checkpoints of steps {', '.join(map(str, steps))} in the "
                f"{len(steps)} processes, expected one folder that all of them see"
            )
