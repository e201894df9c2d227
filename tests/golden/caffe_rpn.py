"""Region proposal networks inside the recorded Caffe nets: their settings, maps, labels and ground truth."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.proposals import LevelProposals
from cascade_tf.structures import LevelOutput, Targets
from tests.golden.caffe_boxes import continuous, padded, rows

# The default of the Caffe code where a net does not say it.
MIN_SIDE = 15.0


def numbers(value):
    """A repeated field as floats; one of a single value is a text."""
    return [float(one) for one in (value if isinstance(value, list) else [value])]


def shapes_of(group):
    """The (width, height) of the anchors of a group of parameters."""
    return list(zip(numbers(group["field_w"]), numbers(group["field_h"]), strict=True))


def by_anchor(maps, images, channels):
    """[images, h * w * A, channels] of maps whose first two axes are images, anchors and channels."""
    height, width = maps.shape[-2:]
    values = maps.reshape(images, -1, channels, height, width)
    return values.transpose(0, 3, 4, 1, 2).reshape(images, -1, channels)


def objects_and_regions(objects, regions, number):
    """Ground truth of rows (image, box, label, ignored, ...) and of regions (image, box) that are crowds."""
    images = np.concatenate([objects[:, 0], regions[:, 0]])
    boxes = continuous(np.concatenate([objects[:, 1:5], regions[:, 1:5]]))
    is_region = np.arange(len(images)) >= len(objects)
    classes = np.concatenate([objects[:, 5], np.zeros(len(regions))]).astype(np.int32)
    ignored = np.concatenate([objects[:, 6] > 0, np.zeros(len(regions), bool)])
    boxes, classes, ignored, crowd, exists = padded(images, number, boxes, classes, ignored, is_region)
    assert (classes[ignored] > 0).all()
    seed = np.zeros([number, 2], np.int32)
    targets = (boxes, classes, exists & ~ignored & ~crowd, crowd, seed)
    return Targets(*map(tf.constant, targets))


class RecordedRPN:
    """The proposal network of a recorded net.

    Args:
        net: a ``RecordedNet``.
    """

    def __init__(self, net):
        self.net = net
        names = [name.removesuffix("_cls") for name in net.layers if name.startswith("rpn")]
        self.names = [name for name in dict.fromkeys(names) if f"{name}_cls" in net.layers]

    def recording(self, phase):
        """Arrays of a phase by their keys."""
        return self.net.test if phase == "test" else self.net.train

    def recorded_levels(self, phase):
        """The levels whose scores and offsets are recorded both."""
        found = self.recording(phase)
        return [
            level
            for level, name in enumerate(self.names)
            if f"out/{name}_cls" in found and f"out/{name}_bbox" in found
        ]

    def map_name(self, level):
        """What the map that a level reads is called."""
        (name,) = self.net.inputs_of(self.caffe_name(level, "hidden"))
        return name

    def load_weights(self, layer, levels):
        """Builds a layer of some levels for recorded maps, and gives it the net's weights."""
        shapes = {}
        for level in levels:
            shapes[self.map_name(level)] = (None, None, None, self.kernel(level, "hidden").shape[2])
        layer.build(shapes)
        for place, level in enumerate(levels):
            for kind in ("hidden", "objectness", "offsets"):
                convolution = getattr(layer, kind)[place]
                convolution.kernel.assign(self.kernel(level, kind))
                convolution.bias.assign(self.net.weights[f"{self.caffe_name(level, kind)}/1"].ravel())

    def kernel(self, level, kind):
        """[kh, kw, in, out] weights of a layer."""
        return self.net.weights[f"{self.caffe_name(level, kind)}/0"].transpose(2, 3, 1, 0)

    def caffe_name(self, level, kind):
        """What the net calls a layer."""
        name = self.names[level]
        hidden = "rpn_conv" if name == "rpn" else name
        return {"hidden": hidden, "objectness": f"{name}_cls", "offsets": f"{name}_bbox"}[kind]

    def layer(self, levels=None, **more):
        """The package's layer with the net's settings, all levels or some of them."""
        levels = range(len(self.names)) if levels is None else levels
        settings = {}
        for phase in ("test", "train"):
            names = [self.names[level].replace("rpn", "proposals") for level in levels]
            given = [self.net.layers_of(phase)[name]["box_group_output_param"] for name in names]
            groups = [one["box_group_param"] for one in given]
            caps = {one.get("max_post_nms_num") for one in given}
            (cap,) = caps
            settings |= {
                "anchors": [shapes_of(group) for group in groups],
                "strides": [int(group["stride"]) for group in groups],
                "min_side": [float(one.get("min_size", MIN_SIDE)) for one in given],
                f"score_threshold_{phase}": [float(one["fg_thr"]) for one in given],
                f"pre_nms_{phase}": [int(one["max_nms_num"]) for one in given],
                f"post_nms_{phase}": None if cap is None else int(cap),
            }
        return LevelProposals(**settings, **self.rules, by_level=True, inclusive=True, border=1.0, **more)

    @property
    def rules(self):
        """Settings of the labels, which the nets' own files do not hold."""
        if self.net.is_voc:
            return {"max_outside": None, "min_object_side": 0.0}
        return {"max_outside": None if self.net.kind == "fpn101" else 0.5, "min_object_side": 5.0}

    def feature_sizes(self, levels=None):
        """[L, 2] int32 rows and columns of the maps."""
        levels = range(len(self.names)) if levels is None else levels
        scores = [self.net.test[f"out/{self.names[level]}_cls"] for level in levels]
        return np.array([one.shape[-2:] for one in scores], np.int32)

    def output(self, layer, phase, levels):
        """The layer's output, from recorded maps."""
        found = self.recording(phase)
        images, _, height, width = found["in/data_u8"].shape
        scores = [by_anchor(found[f"out/{self.names[level]}_cls"], images, 2) for level in levels]
        deltas = [by_anchor(found[f"out/{self.names[level]}_bbox"], images, 4) for level in levels]
        sizes = self.feature_sizes(levels)
        scores = np.concatenate(scores, axis=1)
        return LevelOutput(
            tf.constant(scores[..., 1] - scores[..., 0]),
            layer.clip_deltas(np.concatenate(deltas, axis=1)),
            tf.concat(layer.grid(sizes), axis=0),
            tf.constant(sizes),
            tf.constant(np.tile(np.float32([height, width]), (images, 1))),
        )

    def labels(self):
        """[B, N, 6] recorded label, centre, width, height and overlap of every anchor."""
        found = self.net.train
        images = len(found["in/data_u8"])
        maps = [found[key] for key in sorted(found) if key.startswith("in/label")]
        of_level, start = [], 0
        for shapes in self.layer().anchors:
            level = np.stack(maps[start : start + len(shapes)], axis=1)
            of_level.append(by_anchor(level, images, 6))
            start += len(shapes)
        return np.concatenate(of_level, axis=1)

    def objects(self):
        """Ground truth of the training pass, see ``objects_and_regions``."""
        found = self.net.train
        return objects_and_regions(
            rows(found["in/gt_boxes"]), found["in/dont_care"], len(found["in/data_u8"])
        )
