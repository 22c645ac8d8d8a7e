"""What a toxicity result may say, and how a mixture's score follows from its components'."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.toxicity import HitCall, MixtureScore, MolarScore, called, contradictions, score_mixture
from app.importers.toxicity_records import slug


@pytest.mark.parametrize(
    ("continuous", "call"),
    [
        (1.0, HitCall.ACTIVE),
        (0.9, HitCall.ACTIVE),
        (0.8999999, HitCall.INACTIVE),
        (0.0, HitCall.INACTIVE),
        (-0.95, HitCall.INACTIVE),
    ],
)
def test_a_continuous_hit_call_is_active_from_nine_tenths_on(continuous: float, call: HitCall) -> None:
    assert called(continuous) is call


AC50: dict[str, Any] = {"potency_type": "AC50", "potency": 1.5, "potency_unit": "uM"}


@pytest.mark.parametrize(
    ("stated", "pointers"),
    [
        ({"hit_call": "active"}, []),
        ({"continuous_hit_call": 0.95}, []),
        ({"hit_call": "active", "continuous_hit_call": 0.95}, []),
        (AC50, []),
        ({}, [""]),
        ({"hit_call": "inactive", "continuous_hit_call": 0.95}, ["/hit_call"]),
        ({"hit_call": "inconclusive", "continuous_hit_call": 0.5}, ["/hit_call"]),
        (AC50 | {"potency_unit": None}, ["/potency"]),
        ({"hit_call": "active", "potency_type": "AC50"}, ["/potency"]),
        ({"hit_call": "active", "concentration_unit": "uM"}, ["/concentration_unit"]),
        ({"hit_call": "active", "concentration_min": 0.0}, ["/concentration_unit"]),
        (
            {"hit_call": "active", "concentration_min": 2, "concentration_max": 1, "concentration_unit": "uM"},
            ["/concentration_max"],
        ),
    ],
)
def test_a_result_contradicts_itself_or_not(stated: dict[str, Any], pointers: list[str]) -> None:
    assert [fault.pointer for fault in contradictions(stated)] == pointers


def test_a_mixtures_score_is_the_mean_by_mol() -> None:
    parts = [MolarScore(0.75, 0.4, 1.0, 0.8), MolarScore(0.25, 0.0, 0.5, 0.4)]

    assert score_mixture(parts) == MixtureScore(0.3, 0.875, 0.7, None)


def test_a_component_without_a_score_is_left_out_of_the_score_and_lowers_what_it_rests_on() -> None:
    parts = [MolarScore(0.5, 0.4, 1.0, 0.8), MolarScore(0.5, None, 0.0, 0.0)]

    mixed = score_mixture(parts)

    assert (mixed.score, mixed.coverage, mixed.confidence) == (0.4, 0.5, 0.4)
    assert mixed.reason == "without 1 of 2 components, which have no conclusive hit call"


def test_without_any_score_there_is_a_reason_and_no_nought() -> None:
    mixed = score_mixture([MolarScore(1.0, None, 0.0, 0.0)])

    assert mixed == MixtureScore(None, 0.0, 0.0, "no component has a conclusive hit call")


def test_what_is_measured_of_all_stays_within_the_whole() -> None:
    tenth = MolarScore(0.1, 1.0, 1.0, 1.0)

    mixed = score_mixture([tenth] * 10)

    assert mixed.score is not None
    assert max(mixed.score, mixed.coverage, mixed.confidence) <= 1.0


def test_an_endpoints_name_is_made_of_small_letters() -> None:
    assert slug(" Ion-Channel (K+) ") == "ion_channel_k"
