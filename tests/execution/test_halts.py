"""Halts: they hold until a person resumes, for every process, and cannot be lost unseen."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from trademl.errors import ConfigError, TradingHalted
from trademl.execution.halts import Switch, Tripped
from trademl.lake.layout import Layout

NOW = datetime(2024, 1, 8, 12, tzinfo=UTC)
LOSS = Tripped("daily_loss", 0.05, 0.03, "equity fell", "find out why")


def switch(root: Path, account: str = "paper") -> Switch:
    return Switch(Layout(root), account, now=lambda: NOW)


def test_a_fresh_account_may_trade(tmp_path: Path) -> None:
    """Without a halt nothing stops."""
    switch(tmp_path).check()
    assert switch(tmp_path).halted() == ()


def test_a_halt_holds_for_every_process_until_it_is_resumed(tmp_path: Path) -> None:
    """Another object, as another process has, sees it at once; the message names wire, reason and remedy."""
    sending = switch(tmp_path)
    sending.check()
    switch(tmp_path).halt([LOSS, Tripped("turnover", 3.0, 2.0, "too much", "check")], who="test")
    with pytest.raises(TradingHalted, match="daily_loss: equity fell; turnover: too much") as caught:
        sending.check()
    assert "find out why" in caught.value.remedy
    assert switch(tmp_path).resume("the loss was a stock split") is True
    sending.check()
    history = switch(tmp_path).history()
    assert [(one.sequence, one.event, one.tripwire) for one in history] == [
        (1, "halted", "daily_loss"),
        (2, "halted", "turnover"),
        (3, "resumed", "manual"),
    ]
    assert (history[0].value, history[0].bound, history[0].who) == (0.05, 0.03, "test")


def test_a_second_halt_after_a_resume_halts_again(tmp_path: Path) -> None:
    """The same wire with the same values is another event."""
    one = switch(tmp_path)
    one.halt([LOSS])
    one.resume("looked into and understood")
    one.halt([LOSS])
    assert [halt.sequence for halt in switch(tmp_path).halted()] == [3]


def test_accounts_are_halted_apart(tmp_path: Path) -> None:
    """A halt of one account leaves the others alone."""
    switch(tmp_path).halt([LOSS])
    switch(tmp_path, "other").check()


def test_a_lost_batch_halts(tmp_path: Path) -> None:
    """Without the batch of the halt, a resume stands there with the number 2: nobody knows, so nothing is traded."""
    one = switch(tmp_path)
    one.halt([LOSS])
    (lost,) = Layout(tmp_path).batch_files("ops.halts")
    one.resume("looked into and understood")
    lost.unlink()
    with pytest.raises(TradingHalted, match=r"numbers \[2\]"):
        switch(tmp_path).check()


def test_people_give_reasons(tmp_path: Path) -> None:
    """A word is no reason; resuming what is not halted changes nothing."""
    one = switch(tmp_path)
    with pytest.raises(ConfigError, match="10"):
        one.halt_by_hand("stop")
    one.halt_by_hand("fire drill on Monday")
    with pytest.raises(ConfigError, match="10"):
        one.resume("  ok   ok ")
    with pytest.raises(TradingHalted, match="manual: fire drill on Monday"):
        one.check()
    assert one.resume("the drill is over") is True
    assert one.resume("the drill is over") is False
