"""The templates of MS-CNN's proposal branches, (width, height) in pixels, and the kernels behind them.

They are those of the authors' networks (zhaoweicai/mscnn, examples): for each map the templates of its cells,
and the (height, width) of the convolution that scores each.
"""

from __future__ import annotations

from collections.abc import Sequence

KITTI_TEMPLATES = (
    ((60.0, 60.0), (84.0, 84.0)),
    ((120.0, 120.0), (168.0, 168.0)),
    ((240.0, 240.0), (336.0, 336.0)),
    ((480.0, 480.0),),
)
"""For cars of KITTI, on maps of stride 8, 16, 32 and 64."""

KITTI_KERNELS = (((5, 5), (7, 7)), ((5, 5), (7, 7)), ((5, 5), (7, 7)), ((5, 5),))

CITYPERSONS_TEMPLATES = (
    ((30.0, 60.0), (42.0, 84.0)),
    ((60.0, 120.0), (84.0, 168.0)),
    ((120.0, 240.0), (168.0, 336.0)),
    ((240.0, 480.0), (336.0, 672.0)),
)
"""For pedestrians."""

CITYPERSONS_KERNELS = (((5, 3), (7, 5)),) * 4

WIDERFACE_TEMPLATES = (
    ((12.0, 12.0), (16.0, 16.0), (24.0, 24.0), (32.0, 32.0), (48.0, 48.0)),
    ((64.0, 64.0), (96.0, 96.0)),
    ((128.0, 128.0), (192.0, 192.0)),
    ((256.0, 256.0), (384.0, 384.0), (480.0, 480.0)),
)
"""For faces. The authors' files have 196 for 192 where boxes are assigned and decoded."""

WIDERFACE_KERNELS = tuple(((1, 1),) * len(level) for level in WIDERFACE_TEMPLATES)

Templates = Sequence[Sequence[tuple[float, float]]]
Kernels = Sequence[Sequence[tuple[int, int]]]
