"""Class probabilities of detectors in sequence: whose word counts, and of which boxes (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cascade_tf.heads.stage import Stage
from cascade_tf.structures import StageOutput, Tensor

ENSEMBLES = ("last_boxes", "own_boxes", "own_logits", "last_stage", "first_stage")


def ensemble_probabilities(
    ensemble: str, stages: Sequence[Stage], outputs: Sequence[StageOutput], pooling: Any
) -> Tensor:
    """Class probabilities for the boxes of the last of ``outputs``.

    Args:
        ensemble: one of ``ENSEMBLES``, see ``CascadeHeads``.
        stages: whose outputs these are, in order; the last stands once more for each further iteration.
        outputs: at test.
        pooling: of the stages.

    Returns:
        [B, R, K + 1] float32.
    """
    if ensemble == "last_stage":
        return tf.nn.softmax(outputs[-1].logits)
    if ensemble == "first_stage":
        return tf.nn.softmax(outputs[0].logits)
    if ensemble == "own_logits":
        return tf.nn.softmax(tf.add_n([output.logits for output in outputs]) / float(len(outputs)))
    if ensemble == "own_boxes":
        logits = [output.logits for output in outputs]
    else:
        logits = [*_on_last_boxes(stages, outputs, pooling), outputs[-1].logits]
    return tf.add_n([tf.nn.softmax(one) for one in logits]) / float(len(logits))


def _on_last_boxes(stages: Sequence[Stage], outputs: Sequence[StageOutput], pooling: Any) -> list[Tensor]:
    """What all classifiers but the last say of the last boxes, each once."""
    last, logits = outputs[-1], []
    shared = not stages[-1].head.makes_maps
    for stage, output in zip(stages, outputs, strict=True):
        if stage is stages[-1]:
            break
        if shared and not stage.head.makes_maps:
            pooled = last.pooled
        else:
            pooled = stage.head.pool(pooling, output.maps, last.samples.boxes)
        logits.append(stage(pooled)[0])
    return logits
