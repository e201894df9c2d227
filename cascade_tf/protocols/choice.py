"""The protocol that a data set is measured by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from absl import logging

from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.sources.citypersons import CityPersonsSplit
from cascade_tf.data.sources.kitti import KittiFrames
from cascade_tf.data.sources.source import Source
from cascade_tf.data.sources.voc import VocLists
from cascade_tf.data.sources.widerface import WiderFaceSplit
from cascade_tf.protocols.citypersons import CityPersonsProtocol
from cascade_tf.protocols.coco import CocoProtocol
from cascade_tf.protocols.kitti import KittiProtocol
from cascade_tf.protocols.names import AUTO, PROTOCOLS
from cascade_tf.protocols.protocol import MissingError, Protocol
from cascade_tf.protocols.voc import Voc2007Protocol, Voc2010Protocol
from cascade_tf.protocols.widerface import WiderFaceProtocol


def choose_protocol(
    dataset: CocoDataset,
    name: str = AUTO,
    *,
    ious: Sequence[float] = (),
    kitti_rule: int = 2017,
    ground_truth: str | None = None,
) -> Protocol:
    """Returns the protocol that a data set is measured by.

    Args:
        dataset: the images with their objects, in the classes of the detector.
        name: one of ``PROTOCOLS``; "auto": that of the data set's layout, or with a warning COCO's where the
            data set lacks what that needs and no overlaps are given.
        ious: overlaps to measure at; empty: the protocol's own.
        kitti_rule: of the protocol "kitti", 2016 or 2017.
        ground_truth: folder of the .mat files that the protocol "widerface" needs; None: they are looked for
            in the data set's.

    Raises:
        MissingError: the data set lacks what the protocol needs.
        FileNotFoundError: there is no such ground truth.
        ValueError: there is no such protocol, or its overlaps cannot be changed.
    """
    makers: dict[str, Callable[[], Protocol]] = {
        "coco": lambda: CocoProtocol(dataset, ious),
        "voc2007": lambda: Voc2007Protocol(dataset, ious),
        "voc2010": lambda: Voc2010Protocol(dataset, ious),
        "kitti": lambda: KittiProtocol(dataset, ious, rule=kitti_rule),
        "citypersons": lambda: CityPersonsProtocol(dataset, ious),
        "widerface": lambda: WiderFaceProtocol(dataset, ious, ground_truth=ground_truth),
    }
    if name in PROTOCOLS:
        return makers[name]()
    if name != AUTO:
        raise ValueError(f"protocol: got {name!r}, expected {AUTO}, {', '.join(PROTOCOLS)}")
    try:
        return makers[protocol_of_layout(dataset.source)]()
    except MissingError as error:
        if ious:
            overlaps = ", ".join(map(str, ious))
            raise MissingError(
                f"{error}; COCO's cannot take its place with evaluation.ious={overlaps}, "
                "as its overlaps are fixed"
            ) from None
        logging.warning("%s; COCO's is taken in its place", error)
        return CocoProtocol(dataset)


def protocol_of_layout(source: Source | None) -> str:
    """Returns the name of the protocol of a layout's benchmark, that of COCO where it has none."""
    if isinstance(source, VocLists):
        return "voc2007" if source.years() == {"VOC2007"} else "voc2010"
    layouts = {KittiFrames: "kitti", CityPersonsSplit: "citypersons", WiderFaceSplit: "widerface"}
    return next((name for kind, name in layouts.items() if isinstance(source, kind)), "coco")
