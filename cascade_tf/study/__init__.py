"""Several configurations with several seeds each, and what can be said of their differences."""

from cascade_tf.study.plan import Again, Claim, Row, Run, Study, load_study, more_than, runs, study_of_configs
from cascade_tf.study.result import StudyResult, Verdict, summarize

__all__ = [
    "Again",
    "Claim",
    "Row",
    "Run",
    "Study",
    "StudyResult",
    "Verdict",
    "load_study",
    "more_than",
    "runs",
    "study_of_configs",
    "summarize",
]
