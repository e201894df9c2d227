"""Proposal generators: feature maps in, candidate boxes out, with the losses that they learn from."""

from cascade_tf.proposals.branch_proposals import BranchProposals
from cascade_tf.proposals.given import GivenProposals
from cascade_tf.proposals.level_proposals import LevelProposals
from cascade_tf.proposals.region_proposal import RegionProposal

__all__ = ["BranchProposals", "GivenProposals", "LevelProposals", "RegionProposal"]
