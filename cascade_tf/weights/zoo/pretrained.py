"""Detectors of the public model zoos by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from cascade_tf.models import TwoStageDetector
from cascade_tf.weights.importing import import_checkpoint
from cascade_tf.weights.recipe_arguments import check_arguments
from cascade_tf.weights.zoo import catalog
from cascade_tf.weights.zoo.catalog_entry import CatalogEntry
from cascade_tf.weights.zoo.download import fetch


def load_pretrained(
    name: str,
    *,
    class_names: Sequence[str] | None = None,
    category_ids: Sequence[int] | None = None,
    allow_partial: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **settings: Any,
) -> TwoStageDetector:
    """Builds a detector of a public model zoo with its weights, downloading them at the first use.

    The detector has the zoo's architecture and conventions, so that it finds what the original finds::

        detector = cascade_tf.load_pretrained("detectron2/cascade_mask_rcnn_R_50_FPN_3x")
        detector.predict(["street.jpg"], score_threshold=0.5)

    With classes of one's own it is the start of fine-tuning: layers that do not depend on the number of
    classes keep the zoo's weights, the others start afresh, and the log says which::

        detector = cascade_tf.load_pretrained(
            "detectron2/cascade_mask_rcnn_R_50_FPN_3x", class_names=("disc", "square")
        )

    Args:
        name: of a detector in ``list_pretrained()``.
        class_names: names of the classes; None keeps COCO's 80.
        category_ids: the data set's ids of these classes; None numbers them 1..K, or as COCO does.
        allow_partial: loads what fits where settings make a network that differs from the checkpoint's.
        cache_dir: folder of downloaded files; None takes ``$CASCADE_TF_CACHE``, else the user's cache.
        progress: shows a bar during the download where stderr is a terminal.
        **settings: arguments of ``cascade_rcnn_fpn`` that replace the zoo's, such as ``score_threshold`` or
            ``short_side``.

    Raises:
        DownloadError: an ``OSError``; the file is not in the cache and cannot be fetched. The message says
            what to put where.
        TypeError: a setting that ``cascade_rcnn_fpn`` does not have, or one text as ``class_names``.
        ValueError: unknown name, or one of a backbone; the file is not the published one; the settings make
            a network that the weights do not fit.
    """
    entry = catalog.find(name)
    if entry.kind == "backbone":
        raise ValueError(
            f"{name!r} holds the weights of a backbone trained on ImageNet, expected a detector; to start a "
            "detector of your own from them: cascade_tf.weights.importing.load_backbone(detector, "
            f"cascade_tf.weights.zoo.pretrained.checkpoint_path({name!r}))"
        )
    # A mistake is better found before a download than after it.
    check_arguments(settings, class_names)
    imported = import_checkpoint(
        fetch(entry, cache_dir, progress=progress),
        entry.source,
        class_names=class_names,
        category_ids=category_ids,
        allow_partial=allow_partial,
        **{**entry.settings, **settings},
    )
    (logging.warning if imported.report.missing else logging.info)("%s", imported.report.to_text())
    return imported.detector


def checkpoint_path(
    name: str, *, cache_dir: str | os.PathLike[str] | None = None, progress: bool = True
) -> Path:
    """The file of a named checkpoint, downloaded at the first use and checked at every one.

    Args:
        name: of a detector or a backbone in ``list_pretrained()``.
        cache_dir: folder of downloaded files; None takes ``$CASCADE_TF_CACHE``, else the user's cache.
        progress: shows a bar during the download where stderr is a terminal.

    Raises:
        DownloadError: an ``OSError``; the file is not in the cache and cannot be fetched. The message says
            what to put where.
        ValueError: unknown name, or the file is not the published one.
    """
    return fetch(catalog.find(name), cache_dir, progress=progress)


def list_pretrained() -> tuple[CatalogEntry, ...]:
    """All named checkpoints: what they are, where they come from, their published AP and licence.

    >>> [entry.name for entry in list_pretrained() if entry.box_ap is not None and entry.box_ap > 50]
    ['detectron2/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv']
    """
    return tuple(catalog.CATALOG.values())
