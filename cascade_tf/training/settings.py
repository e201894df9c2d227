"""How the weights are learnt, in one frozen value. Needs nothing but the standard library."""

from __future__ import annotations

import dataclasses
import itertools

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
LOSSES_OVER = ("update", "device")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run. The defaults are the "1x" schedule of FPN detectors on COCO (Sec. 6.1.3).

    Attributes:
        batch_size: images of one batch, over all devices together.
        accumulate: batches of one update, whose gradients are added up before the weights change: the memory
            of one batch, and the update of one that is as many times as large. Two things differ from that:
            a batch is padded to its own largest image, and batch normalisation that learns (not the frozen
            one) sees the statistics of each batch. Update ``s``, counted from 0, is made of the data's
            batches from ``s * accumulate`` on. Everything that is counted in updates (steps, the schedule,
            warm-up, checkpoints, evaluations, the log) counts these and not batches; a run that is
            interrupted goes on from a whole update. Images per second are those of all batches, and losses
            in the log are means over them.
        losses_over: what losses that are means over boxes are means over. ``"update"``: all boxes of an
            update, so that any number of devices and batches gives the update of one device with all images;
            with ``accumulate`` each batch then runs forward once more, before the others, to be counted.
            ``"device"``: the boxes of each batch on each device, and the mean of these means, as in Detectron
            and detectron2: an image with few objects then weighs more where it has few others beside it.
        steps: updates of the whole run.
        learning_rate: of a run with ``reference_batch_size`` images per update.
        reference_batch_size: the rate of the run, which it says at its start, is ``learning_rate * batch_size
            * accumulate / reference_batch_size``.
        warmup_steps: updates over which the learning rate rises linearly; 0: none.
        warmup_factor: share of the learning rate at the first update, in (0, 1].
        decay_steps: updates from which on the learning rate is multiplied by ``decay_factor``, once each.
        decay_factor: that factor, in (0, 1].
        momentum: share of the averaged gradient that an update keeps, in [0, 1).
        weight_decay: factor of the L2 gradient; scales and offsets of normalisation layers are exempt.
        decay_biases: whether biases decay too.
        undecayed: further variables without weight decay. Each entry is a pattern for the last part of a
            variable's path, or, with a slash in it, for the whole: ``*/heads/*/fc*/bias``.
        doubled: variables that learn at twice the rate, in the same way: ``bias`` in the authors' recipes.
        clip_norm: largest norm of the gradient of the global batch, all variables together; None: no limit.
        precision: Keras dtype policy of the detector; ``mixed_float16`` adds dynamic loss scaling.
        ema: decay of the exponential moving average of the weights, in (0, 1), which is then what is
            evaluated and saved as the result; None: no average.
        checkpoint_every: updates between two checkpoints; 0: at the end only.
        keep_checkpoints: how many of them stay.
        evaluate_every: updates between two evaluations; 0: at the end only.
        log_every: updates between two lines of the log; values are means over them.
        picture_every: updates between two sample pictures; 0: none.
        seed: of the fresh weights, the order of the images and everything drawn at random.
    """

    batch_size: int = 16
    accumulate: int = 1
    losses_over: str = "update"
    steps: int = 90_000
    learning_rate: float = 0.02
    reference_batch_size: int = 16
    warmup_steps: int = 500
    warmup_factor: float = 1 / 3
    decay_steps: tuple[int, ...] = (60_000, 80_000)
    decay_factor: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay_biases: bool = True
    undecayed: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    clip_norm: float | None = None
    precision: str = "float32"
    ema: float | None = None
    checkpoint_every: int = 5_000
    keep_checkpoints: int = 2
    evaluate_every: int = 0
    log_every: int = 20
    picture_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        images = ("batch_size", "accumulate", "reference_batch_size")
        for name in (*images, "steps", "keep_checkpoints", "log_every"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        for name in ("warmup_steps", "checkpoint_every", "evaluate_every", "picture_every", "seed"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in ("warmup_factor", "decay_factor"):
            self._check(name, 0 < getattr(self, name) <= 1, "a factor above 0 and up to 1")
        self._check("learning_rate", self.learning_rate > 0, "a number above 0")
        self._check("momentum", 0 <= self.momentum < 1, "0 or more and below 1")
        self._check("weight_decay", self.weight_decay >= 0, "0 or more")
        self._check("clip_norm", self.clip_norm is None or self.clip_norm > 0, "a number above 0, or none")
        self._check("ema", self.ema is None or 0 < self.ema < 1, "a decay between 0 and 1, or none")
        self._check("losses_over", self.losses_over in LOSSES_OVER, f"one of {', '.join(LOSSES_OVER)}")
        self._check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        rising = [0, *self.decay_steps]
        ordered = all(a < b for a, b in itertools.pairwise(rising))
        self._check("decay_steps", ordered, "rising update numbers above 0")

    @property
    def scaled_learning_rate(self) -> float:
        """The learning rate for the images of this run's updates (linear scaling)."""
        return self.learning_rate * self.images_per_update / self.reference_batch_size

    @property
    def images_per_update(self) -> int:
        """Images that one update learns from."""
        return self.batch_size * self.accumulate

    def _check(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            raise ValueError(f"train.{name}: got {getattr(self, name)!r}, expected {expected}")
