"""trademl: a SQL-first feature warehouse and governed training path for trading models."""

__version__ = "0.1.0"
