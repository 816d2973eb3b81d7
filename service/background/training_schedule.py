"""When the model of a catalog is out of date."""

from __future__ import annotations

from service.domain.behavior import TrainingInput, TrainingSummary

# A model is out of date after changes of this share of the likes that it learned from.
MAX_CHANGED_SHARE = 0.05

# A model is out of date after any change once it is this old.
MAX_MODEL_AGE_SECONDS = 3_600.0


def is_due(summary: TrainingSummary | None, present: TrainingInput, now_us: int) -> bool:
    """Return whether a model is out of date.

    Args:
        summary: of the model, None if there is none.
        present: what a training would begin with now.
        now_us: the time in microseconds since 1970 UTC.
    """
    if summary is None:
        return present.like_change_count > 0
    former = summary.input
    if present.like_deletion_count != former.like_deletion_count:
        return True  # someone wants to be forgotten
    if present.weights != former.weights:
        return True
    changed = present.like_change_count - former.like_change_count
    is_old = now_us - summary.train_time_us > MAX_MODEL_AGE_SECONDS * 1e6
    return changed > 0 and (is_old or changed >= MAX_CHANGED_SHARE * summary.like_count)
