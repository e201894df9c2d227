"""What every program shares: its flags, the settings of a run, and errors that a user can act on.

Nothing here imports TensorFlow, so that ``--help`` and wrong flags answer at once.
"""

from __future__ import annotations

import sys

from .bar import detection_bar, image_bar, progress_bar, waiting
from .detectors import load_run, open_beside, open_detector
from .error_page import SCORE_THRESHOLD, draw_worst, find_errors, write_errors
from .errors import show_defect
from .experiments import (
    configured_experiment,
    has_masks,
    model_changes,
    proposals_of,
    takes_proposals,
    trained_experiment,
)
from .flags import PRECISIONS, WEIGHTS_TEXT, Flags
from .folders import output_folder, short_names, writable_folder
from .log import warn
from .pool import Command, run_commands
from .quiet import set_log_level
from .resumption import check_resumption, has_checkpoint, has_started, tell_of_left_out_images
from .root import ROOT, SCRIPTS
from .running import run
from .scenes import scenes_of
from .splits import (
    chosen_protocol,
    read_annotations,
    read_split,
    read_split_to_measure,
    tell_of_learnt_split,
    tell_what_cannot_be_measured,
)
from .start import build_for_training, experiment_of_first_step
from .submissions import check_submission, define_submission_flags, submission_folder, write_submission
from .training_data import read_data

__all__ = [
    "PRECISIONS",
    "ROOT",
    "SCORE_THRESHOLD",
    "SCRIPTS",
    "WEIGHTS_TEXT",
    "Command",
    "Flags",
    "build_for_training",
    "check_resumption",
    "check_submission",
    "chosen_protocol",
    "configured_experiment",
    "define_submission_flags",
    "detection_bar",
    "draw_worst",
    "experiment_of_first_step",
    "find_errors",
    "has_checkpoint",
    "has_masks",
    "has_started",
    "image_bar",
    "load_run",
    "model_changes",
    "open_beside",
    "open_detector",
    "output_folder",
    "progress_bar",
    "proposals_of",
    "read_annotations",
    "read_data",
    "read_split",
    "read_split_to_measure",
    "run",
    "run_commands",
    "scenes_of",
    "short_names",
    "show_defect",
    "submission_folder",
    "takes_proposals",
    "tell_of_learnt_split",
    "tell_of_left_out_images",
    "tell_what_cannot_be_measured",
    "trained_experiment",
    "waiting",
    "warn",
    "writable_folder",
    "write_errors",
    "write_submission",
]

set_log_level()

# A clone works without being installed, from any folder.
if str(ROOT) not in sys.path:
    sys.path.insert(1, str(ROOT))
