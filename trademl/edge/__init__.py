"""Scoring on small machines: onnxruntime, numpy and DuckDB only."""
