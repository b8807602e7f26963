"""Logging for the command line: plain lines on standard error, quiet by default."""

import logging
import sys


def get_logger(name: str) -> logging.Logger:
    """Return the library logger ``trademl.<name>``; no handler is added on import."""
    return logging.getLogger(f"trademl.{name}")


def configure(verbosity: int = 0) -> None:
    """Send trademl's log to standard error: warnings, then info (1), then debug (2)."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("trademl")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
