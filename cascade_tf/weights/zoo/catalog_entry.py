"""What the catalogue of public checkpoints says about each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit


class DigestPrefix(NamedTuple):
    """The first digits of a file's digest, which the zoos write into the file's name.

    They tell a broken or exchanged file from the published one, but not a file that somebody forged to match.

    Attributes:
        algorithm: ``"md5"`` or ``"sha256"``.
        digits: lower-case hexadecimal.
    """

    algorithm: Literal["md5", "sha256"]
    digits: str


@dataclasses.dataclass(frozen=True)
class CatalogEntry:
    """A published checkpoint.

    Attributes:
        name: as ``load_pretrained`` and ``--weights`` take it, such as
            ``"detectron2/cascade_mask_rcnn_R_50_FPN_3x"``.
        kind: ``"detector"``, or ``"backbone"`` for weights trained on ImageNet.
        source: the family of its format, as ``import_checkpoint`` and ``load_backbone`` take it.
        url: address of the file.
        cited: page of the publisher that gives the address and the AP.
        licence: of the weights, as far as the publisher says.
        box_ap: box AP on COCO val2017 as published, in percent; None for backbones.
        mask_ap: mask AP likewise; None where there are no masks.
        digest_prefix: digits of the file's name that its publisher documents as a digest's; None where there
            are none. Then nothing but the connection vouches for the first download.
        sha256: of the whole file; None where no public source has it.
        size: of the file in bytes; None where no public source has it.
        settings: arguments of ``cascade_rcnn_fpn`` that the tensors cannot tell, from the publisher's
            configuration of this model.
        verified: whether the file was downloaded from this address and its digest found to be the one here.
            False means that address, digits and AP were copied from the publisher's pages and nobody has
            tried them yet: the file may have moved, and a digest that differs may be the catalogue's mistake.
    """

    name: str
    kind: Literal["detector", "backbone"]
    source: str
    url: str
    cited: str
    licence: str
    box_ap: float | None = None
    mask_ap: float | None = None
    digest_prefix: DigestPrefix | None = None
    sha256: str | None = None
    size: int | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    verified: bool = False

    @property
    def file_name(self) -> str:
        """Name of the file at its address."""
        return urlsplit(self.url).path.rsplit("/", 1)[-1]
