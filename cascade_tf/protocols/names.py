"""Names of the protocols. Needs nothing, so that settings can be checked before anything is imported."""

from __future__ import annotations

AUTO = "auto"
"""The protocol of the data set's layout."""

PROTOCOLS = ("coco", "voc2007", "voc2010", "kitti", "citypersons", "widerface")
