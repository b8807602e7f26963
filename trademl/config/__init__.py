"""Configuration: where the home is, and the YAML sections read from it."""

from trademl.config.home import Home, find_home
from trademl.config.reading import Section, load_section

__all__ = ["Home", "Section", "find_home", "load_section"]
