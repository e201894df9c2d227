"""Files of proposals: written from any detector, read from these and from Detectron's and detectron2's."""

from cascade_tf.proposal_files.archive import write_proposals
from cascade_tf.proposal_files.reading import read_proposals

__all__ = ["read_proposals", "write_proposals"]
