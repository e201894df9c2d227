"""The named checkpoints of the public model zoos: addresses, digests, published AP, licences."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cascade_tf.weights.zoo.catalog_entry import CatalogEntry, DigestPrefix

# The page says that the digits in a name are those of the file's MD5, and under which licence the models are.
_DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/"
_DETECTRON2_PAGE = "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md"
# Names end in eight digits of the SHA-256, which tools/model_converters/publish_model.py appends.
_MMDETECTION = "https://download.openmmlab.com/mmdetection/v2.0/"
_MMDETECTION_PAGE = "https://github.com/open-mmlab/mmdetection/blob/main/configs/{}/metafile.yml"
# Names end in eight digits of the SHA-256, says the documentation of torch.hub.load_state_dict_from_url.
_TORCHVISION = "https://download.pytorch.org/models/"
_TORCHVISION_PAGE = "https://github.com/pytorch/vision/blob/main/torchvision/models/{}.py"
# The page has the MD5 of a file at its address with ".md5sum" appended; none is known here.
_DETECTRON = "https://dl.fbaipublicfiles.com/detectron/ImageNetPretrained/"
_DETECTRON_PAGE = "https://github.com/facebookresearch/Detectron/blob/main/MODEL_ZOO.md"

_FACEBOOK_LICENCE = "CC BY-SA 3.0"
_MMDETECTION_LICENCE = "Apache 2.0 (of the repository)"
_TORCHVISION_LICENCE = "BSD 3-Clause (of the repository; terms of ImageNet may apply)"

# What the configurations of the models say that do not start from MSRA's ResNets.
_STRIDE_IN_3X3 = {"backbone.stride_in_1x1": False}
_X101 = _STRIDE_IN_3X3 | {"inputs.std": (57.375, 57.12, 58.395)}
_X152 = _STRIDE_IN_3X3 | {"inputs.std": (1.0, 1.0, 1.0)}


def _detectron2(
    config: str,
    file: str,
    box_ap: float,
    mask_ap: float | None = None,
    settings: Mapping[str, Any] | None = None,
) -> CatalogEntry:
    digits = file.removesuffix(".pkl").rsplit("_", 1)[1]
    return CatalogEntry(
        name=f"detectron2/{config.rsplit('/', 1)[1]}",
        kind="detector",
        source="detectron2",
        url=f"{_DETECTRON2}{config}/{file}",
        cited=_DETECTRON2_PAGE,
        licence=_FACEBOOK_LICENCE,
        box_ap=box_ap,
        mask_ap=mask_ap,
        digest_prefix=DigestPrefix("md5", digits),
        settings=MappingProxyType(dict(settings or {})),
    )


def _mmdetection(
    name: str, stamp: str, box_ap: float, mask_ap: float | None = None, folder: str = "cascade_rcnn"
) -> CatalogEntry:
    return CatalogEntry(
        name=f"mmdetection/{name}",
        kind="detector",
        source="mmdetection",
        url=f"{_MMDETECTION}{folder}/{name}/{name}_{stamp}.pth",
        cited=_MMDETECTION_PAGE.format(folder),
        licence=_MMDETECTION_LICENCE,
        box_ap=box_ap,
        mask_ap=mask_ap,
        digest_prefix=DigestPrefix("sha256", stamp.rsplit("-", 1)[1]),
    )


def _torchvision(name: str, digest: str, size: int | None = None, page: str = "resnet") -> CatalogEntry:
    digits = digest[:8]
    return CatalogEntry(
        name=f"torchvision/{name}",
        kind="backbone",
        source="torchvision",
        url=f"{_TORCHVISION}{name}-{digits}.pth",
        cited=_TORCHVISION_PAGE.format(page),
        licence=_TORCHVISION_LICENCE,
        digest_prefix=DigestPrefix("sha256", digits),
        sha256=digest if len(digest) == 64 else None,
        size=size,
    )


def _detectron(path: str, stride_in_1x1: bool, cited: str = _DETECTRON_PAGE) -> CatalogEntry:
    return CatalogEntry(
        name=f"detectron/{path.rsplit('/', 1)[1].removesuffix('.pkl')}",
        kind="backbone",
        source="detectron_imagenet",
        url=f"{_DETECTRON}{path}",
        cited=cited,
        licence=_FACEBOOK_LICENCE,
        settings=MappingProxyType({"backbone.stride_in_1x1": stride_in_1x1}),
    )


_ENTRIES = (
    _detectron2("Misc/cascade_mask_rcnn_R_50_FPN_1x", "138602847/model_final_e9d89b.pkl", 42.1, 36.4),
    _detectron2("Misc/cascade_mask_rcnn_R_50_FPN_3x", "144998488/model_final_480dd8.pkl", 44.3, 38.5),
    _detectron2("Misc/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv",
                "18131413/model_0039999_e76410.pkl", 50.2, 44.0, _X152),
    _detectron2("COCO-Detection/faster_rcnn_R_50_FPN_1x", "137257794/model_final_b275ba.pkl", 37.9),
    _detectron2("COCO-Detection/faster_rcnn_R_50_FPN_3x", "137849458/model_final_280758.pkl", 40.2),
    _detectron2("COCO-Detection/faster_rcnn_R_101_FPN_3x", "137851257/model_final_f6e8b1.pkl", 42.0),
    _detectron2("COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x",
                "139173657/model_final_68b088.pkl", 43.0, None, _X101),
    _detectron2("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x",
                "137260431/model_final_a54504.pkl", 38.6, 35.2),
    _detectron2("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x",
                "137849600/model_final_f10217.pkl", 41.0, 37.2),
    _detectron2("COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x",
                "138205316/model_final_a3ec72.pkl", 42.9, 38.6),
    _detectron2("COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x",
                "139653917/model_final_2d9806.pkl", 44.3, 39.5, _X101),
    _detectron2("Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5", "138602867/model_final_65c703.pkl", 41.5, 37.5),
    _detectron2("Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5", "144998336/model_final_821d0b.pkl", 42.7, 38.5),
    _detectron2("Misc/mask_rcnn_R_50_FPN_3x_gn",
                "138602888/model_final_dc5d9e.pkl", 42.6, 38.6, _STRIDE_IN_3X3),
    _detectron2("Misc/scratch_mask_rcnn_R_50_FPN_3x_gn",
                "138602908/model_final_01ca85.pkl", 39.9, 36.6, _STRIDE_IN_3X3),
    _mmdetection("faster_rcnn_r50_fpn_1x_coco", "20200130-047c8118", 37.4, folder="faster_rcnn"),
    _mmdetection("faster_rcnn_r101_fpn_1x_coco", "20200130-f513f705", 39.4, folder="faster_rcnn"),
    _mmdetection("cascade_rcnn_r50_fpn_1x_coco", "20200316-3dc56deb", 40.3),
    _mmdetection("cascade_rcnn_r50_fpn_20e_coco", "bbox_mAP-0.41_20200504_175131-e9872a90", 41.0),
    _mmdetection("cascade_rcnn_r101_fpn_1x_coco", "20200317-0b6a2fbf", 42.0),
    _mmdetection("cascade_rcnn_r101_fpn_20e_coco", "bbox_mAP-0.425_20200504_231812-5057dcc5", 42.5),
    _mmdetection("cascade_rcnn_x101_32x4d_fpn_1x_coco", "20200316-95c2deb6", 43.7),
    _mmdetection("cascade_rcnn_x101_64x4d_fpn_1x_coco", "20200515_075702-43ce6a30", 44.7),
    _mmdetection("cascade_mask_rcnn_r50_fpn_1x_coco", "20200203-9d4dcb24", 41.2, 35.9),
    _mmdetection("cascade_mask_rcnn_r50_fpn_mstrain_3x_coco", "20210628_164719-5bdc3824", 44.3, 38.5),
    _mmdetection("cascade_mask_rcnn_r101_fpn_1x_coco", "20200203-befdf6ee", 42.9, 37.3),
    _mmdetection("cascade_mask_rcnn_r101_fpn_mstrain_3x_coco", "20210628_165236-51a2d363", 45.5, 39.6),
    # Whole digests and sizes are those that independent public projects record for the files of these names.
    _torchvision("resnet50", "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", 102_530_333),
    _torchvision("resnet101", "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a"),
    _torchvision("resnet152", "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58"),
    _torchvision("resnext101_32x8d", "8ba56ff5"),
    _torchvision("vgg16", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
                 553_433_881, page="vgg"),
    _detectron("MSRA/R-50.pkl", stride_in_1x1=True),
    _detectron("MSRA/R-101.pkl", stride_in_1x1=True),
    _detectron("20171220/X-101-32x8d.pkl", stride_in_1x1=False),
    _detectron("25093814/X-152-32x8d-IN5k.pkl", stride_in_1x1=False),
    _detectron("47261647/R-50-GN.pkl", stride_in_1x1=False, cited=_DETECTRON2_PAGE),
    _detectron("47592356/R-101-GN.pkl", stride_in_1x1=False, cited=_DETECTRON2_PAGE),
)  # fmt: skip

CATALOG: Mapping[str, CatalogEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""The entries by name."""


def find(name: str) -> CatalogEntry:
    """The entry of a name.

    >>> find("detectron2/cascade_mask_rcnn_R_50_FPN_3x").box_ap
    44.3

    Args:
        name: exactly as in the catalogue.

    Raises:
        TypeError: the name is no string.
        ValueError: there is no such entry; the message gives names that resemble it.
    """
    if not isinstance(name, str):
        raise TypeError(f"name of a checkpoint: got {type(name).__name__}, expected str")
    if name in CATALOG:
        return CATALOG[name]
    raise ValueError(
        f"no checkpoint {name!r} in the catalogue: {_hint(resembling(name))}; "
        f"list_pretrained() gives all {len(CATALOG)}"
    )


def resembling(name: str, kind: str | None = None) -> list[str]:
    """Up to three names of the catalogue that are like this one.

    >>> resembling("vgg16")
    ['torchvision/vgg16']

    Args:
        name: with or without the publisher.
        kind: of the entries; None takes all.
    """
    known = [full for full, entry in CATALOG.items() if kind in (None, entry.kind)]
    spellings = {text.lower(): full for full in known for text in (full, full.partition("/")[2])}
    close = difflib.get_close_matches(name.lower(), spellings, n=6)
    return list(dict.fromkeys(spellings[text] for text in close))[:3]


def _hint(names: list[str]) -> str:
    return f"did you mean {' or '.join(map(repr, names))}?" if names else "no name resembles it"
