"""Ingest: source files become immutable raw batches; no row is ever lost.

``files`` recognises a file, ``records`` reads a difficult CSV, ``mapping`` finds the columns, ``rules`` judges rows in
SQL, ``stage`` gathers them, ``versions`` decides what is news and when it was known, ``batch`` writes, ``run`` leads.
"""

from trademl.warehouse.ingest.calendar import land_calendar
from trademl.warehouse.ingest.report import FileReport, IngestReport
from trademl.warehouse.ingest.run import ingest_files

__all__ = ["FileReport", "IngestReport", "ingest_files", "land_calendar"]
