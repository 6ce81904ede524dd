"""What policies and detectors of the user's return is checked: a wrong one is named in one line."""

from __future__ import annotations

import numpy as np
import pytest

from bench.drift.detectors.base import Detection, require_detection
from bench.drift.policies.base import Decision, require_decision

from .made_views import view_of


@pytest.mark.parametrize(
    "made", [Decision(), Decision(class_weights=np.array([0.0, 2.0])), Decision(retrain=True)]
)
def test_a_decision_is_taken(made: Decision) -> None:
    assert require_decision("mine", made, num_classes=2) is made


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "policy=mine: decide.. must return a Decision .*, and returned a NoneType"),
        (True, "and returned a bool"),
        (Decision(class_weights=np.ones(3)), "must be 2 finite numbers"),
        (Decision(class_weights=np.array([1.0, np.nan])), "must be 2 finite numbers"),
        (Decision(class_weights=np.array([1.0, -1.0])), "of at least 0"),
        (Decision(class_weights=np.zeros(2)), "not all 0"),
    ],
)
def test_another_decision_is_refused(made: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_decision("mine", made, num_classes=2)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "detector=mine: update.. must return a Detection .*, and returned a NoneType"),
        (Detection(alarm=100), "alarm=100: must be the last prediction .*199"),  # of 100 to 199
        (Detection(alarm=10_000), "alarm=10000"),
        (Detection(alarm=-1), "alarm=-1"),
    ],
)
def test_another_detection_is_refused(made: object, message: str) -> None:
    """An alarm in the past would make its delay too short, one in the future a false alarm."""
    served = view_of(window=1).served
    assert require_detection("mine", Detection(alarm=199), served) == Detection(alarm=199)
    with pytest.raises(ValueError, match=message):
        require_detection("mine", made, served)
