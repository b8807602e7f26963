import pytest

from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.warehouse.simulate import SimulationConfig


@pytest.mark.parametrize(
    "wrong", [{"symbols": 3}, {"planted_ic": 0.9}, {"label_horizon": 0}, {"planted_icc": 0.05}, {"sessions": 50}]
)
def test_a_wrong_parameter_is_named(wrong: dict[str, float]) -> None:
    """A value outside its range, or an unknown field, is a configuration error that names the field."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        validate_section(wrong, SimulationConfig, origin="test")


def test_a_signal_of_nothing_is_refused() -> None:
    """Two zero weights leave no signal to plant."""
    with pytest.raises(ConfigError, match="no signal"):
        validate_section({"momentum_weight": 0, "volatility_weight": 0}, SimulationConfig, origin="test")
