"""Mask heads for a cascade, from the numbers of the stages that they hang on."""

from __future__ import annotations

from collections.abc import Sequence

from cascade_tf.heads.mask_branch import MaskBranch
from cascade_tf.heads.mask_head import MaskHead
from cascade_tf.parts import Part, of_kind, part
from cascade_tf.pooling import ROIAlign


@of_kind("masks")
def mask_heads(
    num_classes: int,
    num_stages: int,
    *,
    stages: Sequence[int] = (-1,),
    head: Part = part(MaskHead),
    pooling: Part = part(ROIAlign, output_size=14),
) -> MaskBranch:
    """Mask heads on stages of one's choice.

    Strategy (b) of Fig. 6 is ``(1,)``, (c) is ``(-1,)``, the default, and (d) is all stages. The paper's text
    names (b), but its numbers, code and configurations are those of (c).

    Args:
        num_classes: K, without the background.
        num_stages: T.
        stages: numbers of the stages with a mask head, from 1, or from the end as -1.
        head: of every one of them, each with weights of its own.
        pooling: what the heads read; masks have twice as many cells per side.

    Raises:
        ValueError: a stage that does not exist.
    """
    if not stages or any(not 1 <= abs(number) <= num_stages for number in stages):
        raise ValueError(
            f"masks.stages: got {tuple(stages)}, expected numbers in 1..{num_stages}, negative from the end"
        )
    resolved = sorted({number if number > 0 else num_stages + 1 + number for number in stages})
    heads = [head(num_classes, name=f"mask_head{number}") for number in resolved]
    return MaskBranch(heads, tuple(resolved), pooling(name="mask_pooling"), name="masks")
