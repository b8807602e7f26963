"""The names of the traders' columns."""

from tests.sleeves.traders.columns import AGGREGATED, EXTRA, PER_SAMPLE, RAW
from trademl.sleeves.traders.names import EXTRA_FEATURES, FEATURES, aggregated_columns, per_sample_columns


def test_there_are_48_and_97_columns_with_the_published_names_in_order() -> None:
    """18 features and 6 derived of them, each twice; of these mean and trend, and the number of windows."""
    assert list(FEATURES) == RAW
    assert list(EXTRA_FEATURES) == EXTRA
    assert list(per_sample_columns()) == PER_SAMPLE
    assert list(aggregated_columns()) == AGGREGATED
    assert (len(per_sample_columns()), len(aggregated_columns())) == (48, 97)
    assert aggregated_columns()[:3] == ("roi_7d_dm_mean", "roi_7d_dm_trend", "roi_7d_rank_mean")
