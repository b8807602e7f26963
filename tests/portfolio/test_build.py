"""Target weights: the policy by hand, and limits that hold for any scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.portfolio import ranked_weights
from trademl.errors import ConfigError
from trademl.portfolio.build import (
    Candidates,
    PortfolioConfig,
    broken_limits,
    build,
    portfolio_volatility,
    shrunk_to_limits,
    standardised_ranks,
)

TEN = tuple("ABCDEFGHIJ")


def names(count: int) -> tuple[str, ...]:
    """Distinct symbols."""
    return tuple(f"S{at:03d}" for at in range(count))


def test_ranks_not_scores_decide_how_much() -> None:
    """Four names, standardised ranks -3, -1, 1, 3 over a constant: a quarter and three quarters of each side."""
    config = PortfolioConfig(max_name=1.0, max_sector=10)
    found = build(Candidates(("a", "b", "c", "d"), np.array([5.0, 1000.0, -7.0, 6.0])), config)
    assert found.weights == pytest.approx([-0.125, 0.375, -0.375, 0.125])
    assert found.net == pytest.approx(0)
    assert found.gross == pytest.approx(1)


def test_what_a_cap_takes_goes_to_the_others() -> None:
    """A side of weights in the proportion 9 7 5 3 1 and 0.5 to place, none above 0.13."""
    found = build(Candidates(TEN, np.arange(10.0)), PortfolioConfig(max_name=0.13))
    # In proportion 0.18, 0.14, 0.10; the two that are capped make the third 0.13 and more. 0.11 is left for 3 : 1.
    assert found.weights[5:] == pytest.approx([0.0275, 0.0825, 0.13, 0.13, 0.13], abs=1e-12)
    assert found.gross == pytest.approx(1)


def test_too_few_names_leave_cash_and_say_so() -> None:
    """Ten names of 5 % each make half of what is allowed."""
    found = build(Candidates(TEN, np.arange(10.0)), PortfolioConfig())
    assert found.gross == pytest.approx(0.5)
    assert "5 names of at most 0.05 cannot fill 0.5 of long exposure" in found.notes


def test_long_only_sells_nothing_short() -> None:
    """The lower half has no weight."""
    found = build(Candidates(TEN, np.arange(10.0)), PortfolioConfig(side="long_only", max_name=0.5))
    assert np.all(found.weights[:5] == 0)
    assert found.net == pytest.approx(1)


def test_risk_is_shared_not_capital() -> None:
    """Of two equal convictions the one with twice the volatility has half the weight."""
    candidates = Candidates(("a", "b", "c", "d"), np.array([1.0, 2, 2, 3]), volatility=np.array([0.2, 0.2, 0.4, 0.2]))
    found = build(candidates, PortfolioConfig(max_name=1.0, side="long_only"))
    assert found.weights.tolist() == pytest.approx([0, 0, 0, 1])
    ordered = Candidates(("a", "b", "c", "d"), np.array([1.0, 1, 3, 3]), volatility=np.array([0.2, 0.2, 0.4, 0.2]))
    assert build(ordered, PortfolioConfig(max_name=1.0, side="long_only")).weights.tolist() == pytest.approx(
        [0, 0, 1 / 3, 2 / 3]
    )


def test_the_kelly_fraction_confidence_and_a_volatility_target_scale_the_whole() -> None:
    """Half of it, half of that; and a target above what is there is not reached by leverage."""
    candidates = Candidates(TEN, np.arange(10.0), volatility=np.full(10, 0.2))
    whole = build(candidates, PortfolioConfig(max_name=0.2))
    half = build(candidates, PortfolioConfig(max_name=0.2, kelly_fraction=0.5), confidence=0.5)
    assert half.weights == pytest.approx(whole.weights / 4)
    forecast = portfolio_volatility(whole.weights, np.full(10, 0.2), 0.2)
    calm = build(candidates, PortfolioConfig(max_name=0.2, target_volatility=forecast / 2))
    assert calm.weights == pytest.approx(whole.weights / 2)
    assert build(candidates, PortfolioConfig(max_name=0.2, target_volatility=1.0)).gross == pytest.approx(1)


def test_turnover_stops_on_the_way() -> None:
    """Half of the way where the limit is half of the distance."""
    candidates = Candidates(TEN, np.arange(10.0), held=np.zeros(10))
    config = PortfolioConfig(max_name=0.2)
    found = build(candidates, config.model_copy(update={"max_turnover": 0.5}))
    assert found.weights == pytest.approx(build(candidates, config).weights / 2)


def test_limits_that_cannot_hold_together_are_named() -> None:
    """A position of twice the cap, of which the turnover limit lets go a half of what it takes."""
    held = np.zeros(10)
    held[3] = 0.4
    with pytest.raises(ConfigError, match=r"max_name 0.2: D has \+0.4000; .* to keep these limits takes 0.3000"):
        build(Candidates(TEN, np.arange(10.0), held=held), PortfolioConfig(max_name=0.2, max_turnover=0.1))


def test_drift_is_mended_before_anything_else_is_traded() -> None:
    """A name that grew to 0.22 of a cap of 0.2 goes back by 0.02; half of 0.1 turnover is left, and spent."""
    held = np.array([0.0, 0, 0, 0, 0, 0, 0, 0, 0.05, 0.22])
    candidates = Candidates(TEN, np.arange(10.0), held=held)
    config = PortfolioConfig(max_name=0.2, max_net=0.3, max_turnover=0.1)
    found = build(candidates, config)
    assert np.abs(found.weights - held).sum() == pytest.approx(0.1)
    assert found.weights.max() <= 0.2 + 1e-9
    assert found.notes[0] == "0.0200 of the turnover mends what is held: max_name 0.2: J has +0.2200"
    whole = build(candidates, config.model_copy(update={"max_turnover": 2.0})).weights
    start = np.minimum(held, 0.2)
    part = 0.08 / np.abs(whole - start).sum()
    assert found.weights == pytest.approx(start + (whole - start) * part)


def test_shrinking_to_limits_leaves_what_keeps_them() -> None:
    """Bit by bit; and takes a short position of a long-only account, and what is above a cap, off."""
    candidates = Candidates(("a", "b", "c"), np.zeros(3), sectors=("x", "y", "z"))
    config = PortfolioConfig(side="long_only", max_name=0.2)
    fine = np.array([0.2, 0.1, 0.0])
    assert shrunk_to_limits(fine, candidates, config).tolist() == fine.tolist()
    assert shrunk_to_limits(np.array([0.3, 0.1, -0.1]), candidates, config).tolist() == [0.2, 0.1, 0]


@given(
    data=st.data(),
    count=st.integers(1, 20),
    side=st.sampled_from(["long_short", "long_only"]),
    max_turnover=st.floats(0.01, 1),
)
def test_limits_hold_from_whatever_is_held(data: st.DataObject, count: int, side: str, max_turnover: float) -> None:
    """Either every limit, that of turnover too, or an error that names what is broken and the turnover it takes."""
    held = np.array(data.draw(st.lists(st.floats(-0.3, 0.3), min_size=count, max_size=count)))
    sectors = tuple(data.draw(st.lists(st.sampled_from(["tech", "energy"]), min_size=count, max_size=count)))
    scores = np.array(data.draw(st.permutations(range(count))), dtype=np.float64)
    config = PortfolioConfig(side=side, max_name=0.2, max_net=0.2, max_sector=0.3, max_turnover=max_turnover)
    candidates = Candidates(names(count), scores, sectors=sectors, held=held)
    try:
        found = build(candidates, config)
    except ConfigError as refused:
        takes = float(refused.message.split("takes ")[1].split(",")[0])
        assert takes > max_turnover - 1e-4
        assert broken_limits(held, candidates, config) != []
    else:
        assert np.abs(found.weights - held).sum() <= max_turnover + 1e-8
        assert broken_limits(found.weights, candidates, config, 1e-8) == []


@given(
    data=st.data(),
    count=st.integers(0, 60),
    side=st.sampled_from(["long_short", "long_only"]),
    max_name=st.floats(0.01, 0.5),
    max_net=st.floats(0, 0.5),
    max_sector=st.floats(0.01, 0.5),
    kelly=st.floats(0.5, 1),
)
def test_every_limit_holds_whatever_the_scores(
    data: st.DataObject, count: int, side: str, max_name: float, max_net: float, max_sector: float, kelly: float
) -> None:
    """Gross, net, name, sector, side; and the order of the symbols does not matter."""
    scores = np.array(data.draw(st.lists(st.floats(-10, 10) | st.just(np.nan), min_size=count, max_size=count)))
    sectors = tuple(data.draw(st.lists(st.sampled_from(["tech", "energy", ""]), min_size=count, max_size=count)))
    risks = np.array(data.draw(st.lists(st.floats(0.05, 2), min_size=count, max_size=count)))
    config = PortfolioConfig(side=side, max_name=max_name, max_net=max_net, max_sector=max_sector, kelly_fraction=kelly)
    candidates = Candidates(names(count), scores.astype(float), volatility=risks.astype(float), sectors=sectors)
    found = build(candidates, config)
    assert np.all(np.isfinite(found.weights))
    assert np.all(np.abs(found.weights) <= max_name + 1e-8)
    assert found.gross <= config.gross + 1e-8
    assert abs(found.net) <= (config.gross if side == "long_only" else max_net) + 1e-8
    assert np.all(found.weights[np.isnan(scores)] == 0) if count else True
    if side == "long_only":
        assert np.all(found.weights >= 0)
    for name in set(sectors):
        assert abs(found.weights[np.array(sectors) == name].sum()) <= max_sector + 1e-8
    if count:
        turned = build(
            Candidates(names(count)[::-1], scores[::-1], volatility=risks[::-1], sectors=sectors[::-1]), config
        )
        assert turned.weights[::-1] == pytest.approx(found.weights, abs=1e-9)


@given(
    data=st.data(),
    count=st.integers(1, 15),
    side=st.sampled_from(["long_short", "long_only"]),
    max_name=st.floats(0.02, 0.5),
    max_net=st.floats(0, 0.3),
    max_sector=st.floats(0.05, 0.5),
    target=st.none() | st.floats(0.01, 0.3),
)
def test_weights_are_those_of_plain_loops(
    data: st.DataObject,
    count: int,
    side: str,
    max_name: float,
    max_net: float,
    max_sector: float,
    target: float | None,
) -> None:
    """The policy written out a second time, with other ways to the ranks and the caps."""
    chosen = data.draw(st.lists(st.integers(-3, 3) | st.just(np.nan), min_size=count, max_size=count))
    risks = data.draw(st.lists(st.floats(0.05, 2), min_size=count, max_size=count))
    groups = data.draw(st.lists(st.sampled_from(["tech", "energy", ""]), min_size=count, max_size=count))
    config = PortfolioConfig.model_validate(
        {
            "side": side,
            "max_name": max_name,
            "max_net": max_net,
            "max_sector": max_sector,
            "target_volatility": target,
            "correlation": 0.3,
            "kelly_fraction": 0.8,
            "confidence": 0.5,
        }
    )
    symbols = names(count)
    found = build(
        Candidates(symbols, np.array(chosen, dtype=float), volatility=np.array(risks), sectors=tuple(groups)), config
    )
    expected = ranked_weights(
        dict(zip(symbols, map(float, chosen), strict=True)),
        dict(zip(symbols, risks, strict=True)),
        dict(zip(symbols, groups, strict=True)),
        long_only=side == "long_only",
        cap=max_name,
        gross=1.0,
        max_net=max_net,
        max_sector=max_sector,
        target_volatility=target,
        correlation=0.3,
        scale=0.4,
    )
    assert found.weights == pytest.approx([expected[name] for name in symbols], abs=1e-7)


def test_inputs_that_do_not_fit_are_refused() -> None:
    """With what was received."""
    config = PortfolioConfig()
    with pytest.raises(ConfigError, match="1 symbols are there twice"):
        build(Candidates(("a", "a"), np.zeros(2)), config)
    with pytest.raises(ConfigError, match="3 scores for 2 symbols"):
        build(Candidates(("a", "b"), np.zeros(3)), config)
    with pytest.raises(ConfigError, match="volatility has 1"):
        build(Candidates(("a", "b"), np.zeros(2), volatility=np.array([0.1, 0])), config)
    with pytest.raises(ConfigError, match="confidence of 2"):
        build(Candidates(("a", "b"), np.zeros(2)), config, confidence=2)
    with pytest.raises(ConfigError, match="no volatility is forecast"):
        build(Candidates(("a", "b"), np.arange(2.0)), PortfolioConfig(target_volatility=0.1))


def test_confidence_and_correlation_come_from_the_configuration_unless_given() -> None:
    """Half of the weights; and a measured confidence must have been measured."""
    candidates = Candidates(TEN, np.arange(10.0), volatility=np.full(10, 0.2))
    whole = build(candidates, PortfolioConfig(max_name=0.2))
    assert build(candidates, PortfolioConfig(max_name=0.2, confidence=0.5)).weights == pytest.approx(whole.weights / 2)
    with pytest.raises(ConfigError, match="confidence is 'measured' in the configuration, and no measurement"):
        build(candidates, PortfolioConfig(confidence="measured"))
    held_up = PortfolioConfig(max_name=0.2, side="long_only", target_volatility=0.05, correlation=0.8)
    forecast = portfolio_volatility(build(candidates, held_up).weights, np.full(10, 0.2), 0.8)
    assert forecast == pytest.approx(0.05)


def test_standardised_ranks_have_mean_0_and_deviation_1() -> None:
    """Ties share their rank, what is missing has 0."""
    ranks = standardised_ranks(np.array([3.0, np.nan, 1.0, 3.0, 2.0]))
    # Ranks 3.5, 1, 3.5, 2 less 2.5, over their deviation.
    assert ranks == pytest.approx(np.array([1.0, 0, -1.5, 1.0, -0.5]) / np.sqrt(4.5 / 3))
    assert standardised_ranks(np.full(3, 2.0)).tolist() == [0, 0, 0]
