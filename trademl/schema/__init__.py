"""Tables whose rows Python writes: raw datasets, predictions and evidence, with their column types and grains.

dbt's ``sources.yml`` states the same columns for the warehouse; a test keeps the two equal. Types are DuckDB's; every
timestamp is a naive UTC ``TIMESTAMP``.
"""

from trademl.schema.batches import BATCHES, BatchTable
from trademl.schema.raw import (
    EVENT_FEATURES,
    EVENT_LABELS,
    LANDING_COLUMNS,
    QUARANTINE_COLUMNS,
    RAW,
    RawDataset,
)

__all__ = [
    "BATCHES",
    "EVENT_FEATURES",
    "EVENT_LABELS",
    "LANDING_COLUMNS",
    "QUARANTINE_COLUMNS",
    "RAW",
    "BatchTable",
    "RawDataset",
]
