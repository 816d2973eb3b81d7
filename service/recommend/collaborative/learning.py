"""Learns a model and how much it counts beside text."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.behavior import Blend
from service.recommend.collaborative.blend_validation import (
    TextScores,
    choose_blend,
    hide_latest_likes,
)
from service.recommend.collaborative.histories import Histories, Items
from service.recommend.collaborative.model_training import Training, TrainingState, train

# Up to this share of all events, the events that were hidden for the validation are not worth a
# second training. They still count in the profiles of their people.
MAX_UNLEARNED_SHARE = 0.002


@dataclass(frozen=True, slots=True)
class LearnedCatalog:
    """A trained model and the weights to use it with."""

    training: Training
    blend: Blend


def learn(
    histories: Histories,
    text: TextScores,
    state: TrainingState | None = None,
    changed_items: Items | None = None,
) -> LearnedCatalog:
    """Train on all but a sample of likes, choose the weights on the sample, and train on all.

    In a large catalog, the sample is so small that the model without it serves.

    Args:
        histories: what people did.
        text: scores items by text.
        state: the state of the training before, or None to solve all items.
        changed_items: int32: items to solve in any case, such as those of deleted interactions.
    """
    hidden = hide_latest_likes(histories)
    training = train(hidden.visible, state, changed_items=changed_items)
    blend = choose_blend(hidden, training.model, text)
    hidden_count = sum(len(likes) for likes in hidden.likes)
    if hidden_count > MAX_UNLEARNED_SHARE * len(histories.items):
        training = train(histories, state, changed_items=changed_items)
    return LearnedCatalog(training, blend)
