"""The moment and the document of a viewport."""

from datetime import datetime

from tests.sleeves.events.viewport_doubles import moment
from trademl.sleeves.events.viewport.document import Viewport
from trademl.sleeves.events.viewport.feasibility import Refusal


def test_a_bar_is_named_by_its_end_in_nanoseconds() -> None:
    """15:00:00 UTC on 31 December 2025 is 1,767,193,200 seconds after 1970."""
    assert moment().ts_ns == 1_767_193_200 * 10**9


def test_reasons_stand_beside_the_targets() -> None:
    """Targets keep the seed's fields; why the gate refuses one stands under its level_id."""
    asked = moment(datetime(2025, 12, 31, 15, 0, 30))
    found = Viewport(asked, "viewport-1", ({"level_id": "SPY PDH"},), {}, {"SPY PDH": (Refusal("r", "w"),)}, ("n",))
    assert found.document() == {
        "symbol": "SPY",
        "at": "2025-12-31T15:00:30Z",
        "date": "2025-12-31",
        "bar_end": "2025-12-31T15:00:00Z",
        "ts_ns": 1_767_193_200 * 10**9,
        "bar_minutes": 1,
        "model_id": "viewport-1",
        "viewport": {"targets": [{"level_id": "SPY PDH"}]},
        "feasibility": {"SPY PDH": [{"rule": "r", "why": "w"}]},
        "notes": ["n"],
    }
