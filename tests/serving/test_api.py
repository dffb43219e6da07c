"""Answers are encoded without validating them; they must be what the documented models say."""

import numpy as np

from features.bundle import open_bundle
from features.settings import Settings
from serving.api import RecallResponse, recall_json
from serving.catalogue import Catalogue
from serving.result import Candidate, Interest, LeftOut, Origin, Reason, RecallResult
from tests.serving.bundles import write_interests

RESULT = RecallResult(
    user_id=2**63 - 1,
    release='r"1',
    reason=Reason.CHANNEL_LEFT_OUT,
    interests=(Interest("interests", 0, 0.75, True, 3, 1, (12, 40), (9, 8)),),
    candidates=(
        Candidate(
            2**63 - 1, 0.1, 0, (2,), (12, 40), 93, (Origin("interests", 0, (0, 2)), Origin("ease", 5, ()))
        ),
        Candidate(7, -1.5, -1, (), (), None),
    ),
    left_out={"ease": LeftOut.LATE},
    stage_seconds={"total": 1.0},
    request_id="abc",
)


def test_an_answer_is_exactly_the_documented_model() -> None:
    documented = RecallResponse.model_validate(RESULT)
    assert recall_json(RESULT) == documented.model_dump_json().encode()
    assert RecallResponse.model_validate_json(recall_json(RESULT), extra="forbid") == documented


def test_attributes_of_many_videos_are_those_of_each(settings: Settings) -> None:
    # 77 is unknown; of the others uploader and tags as in bundles.py.
    catalogue = Catalogue(open_bundle(write_interests(settings)))
    found = catalogue.attributes(np.array([50, 77, 10, 50, 20]))
    assert found == [((1, 2), 9), ((), None), ((1,), 7), ((1, 2), 9), ((2,), 8)]
    assert catalogue.attributes(np.array([], dtype=np.int64)) == []
