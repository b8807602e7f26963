"""Alpaca through alpaca-py: paper unless two settings and the account itself say otherwise; keys from the environment.

Every request has a time limit, and none is repeated blindly. A request that only reads is tried again; of an order
that got no answer the broker is asked by the order's name, and only when it has none is the order placed again. Alpaca
refuses a name that it has seen, so even a request that arrives late, after the second one, places nothing twice.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from trademl.clock import sql_utc
from trademl.errors import BrokerError, BrokerUnavailable, ConfigError, MissingExtra, OrderRejected
from trademl.execution.broker import Activity, BrokerAccount, BrokerOrder, Fill, Order, Side, Status, signed
from trademl.execution.config import BrokerConfig

KEY_ID = "APCA_API_KEY_ID"
SECRET_KEY = "APCA_API_SECRET_KEY"
BASE_URL = "APCA_API_BASE_URL"
PAPER_URL = "https://paper-api.alpaca.markets"
LIVE_URL = "https://api.alpaca.markets"

_PAGE = 100
_ATTEMPTS = 4
_NO_STATUS = -1
_TOO_MANY = 429
_RATE_PAUSES = (1.0, 5.0, 15.0, 30.0, 30.0)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STATUS: dict[str, Status] = {
    "filled": "filled",
    "partially_filled": "partially_filled",
    "canceled": "canceled",
    "expired": "expired",
    "done_for_day": "expired",
    "rejected": "rejected",
    "replaced": "canceled",
}

_KINDS = {"SPLIT": "split", "DIV": "dividend", "FEE": "fee", "INT": "interest", "CSD": "transfer", "CSW": "transfer"}

T = TypeVar("T")


class AlpacaBroker:
    """One account at Alpaca.

    Args:
        config: section ``broker``.
        pause: called with seconds between attempts; tests pass one that returns at once.

    Raises:
        ConfigError: a key is missing, or money would be traded without both settings saying so.
        MissingExtra: alpaca-py is not installed.
        BrokerError: live trading, and the account is another one than ``live_account``.
    """

    def __init__(self, config: BrokerConfig, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._live = config.mode == "live"
        if self._live and not config.live_account:
            raise ConfigError(
                "mode is live, and live_account names no account", remedy="trade on paper, or name the one account"
            )
        self._pause, self._timeout = pause, config.timeout_seconds
        self._client = _client(_address(self._live), config.timeout_seconds, paper=not self._live)
        if self._live:
            number = str(self._read(self._client.get_account).get("account_number"))
            if number != config.live_account:
                raise BrokerError(
                    f"the keys are those of account {number}, and live_account is {config.live_account}",
                    remedy="use the keys of that account; nothing was sent",
                )

    @property
    def name(self) -> str:
        return "alpaca"

    @property
    def is_live(self) -> bool:
        return self._live

    @property
    def reverses(self) -> bool:
        return False

    @property
    def auction_takes_orders(self) -> timedelta:
        # From 19:00 of the evening before, New York time; earlier ones are refused.
        return timedelta(hours=14, minutes=30)

    def submit(self, order: Order) -> BrokerOrder:
        """Place an order once.

        Raises:
            OrderRejected: Alpaca does not take it.
            BrokerUnavailable: neither the order's fate nor Alpaca could be reached.
        """
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._pause(2.0**attempt / 2)
                found = self.status(order.client_order_id)
                if found is not None:
                    return found
            try:
                return self._place(order)
            except BrokerUnavailable:
                continue
        raise BrokerUnavailable(
            f"{order.client_order_id}: no answer in {_ATTEMPTS} attempts; Alpaca has no such order",
            remedy="run the same command again when Alpaca answers: the order's name keeps it from being placed twice",
        )

    def status(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order of that name."""
        row = self._read(lambda: self._client.get_order_by_client_id(client_order_id), missing=True)
        return None if row is None else _order(row)

    def cancel(self, client_order_id: str) -> None:
        """Ask for a cancellation; an order that can no longer be cancelled is left as it is."""
        known = self.status(client_order_id)
        if known is not None and not known.is_final:
            self._try(lambda: self._client.cancel_order_by_id(known.broker_order_id), ignored=(404, 422))

    def orders(self, since: datetime) -> list[BrokerOrder]:
        """Return the orders placed at or after an instant, in any status."""
        from alpaca.common.enums import Sort
        from alpaca.trading.enums import QueryOrderStatus
        from alpaca.trading.requests import GetOrdersRequest

        found: dict[str, BrokerOrder] = {}
        # Orders "after" an instant leave that instant out.
        after = since - timedelta(microseconds=1)
        while True:
            asked = GetOrdersRequest(
                status=QueryOrderStatus.ALL, limit=_PAGE, after=after.replace(tzinfo=UTC), direction=Sort.ASC
            )
            rows = self._read(partial(self._client.get_orders, asked))
            new = [one for one in map(_order, rows) if one.broker_order_id not in found]
            found.update((one.broker_order_id, one) for one in new)
            if len(rows) < _PAGE or not new:
                break
            after = new[-1].submitted_at - timedelta(microseconds=1)
        return sorted(found.values(), key=lambda one: (one.submitted_at, one.broker_order_id))

    def fills(self, since: datetime) -> list[Fill]:
        """Return the fills at or after an instant."""
        found: dict[str, Fill] = {}
        asked: dict[str, Any] = {"after": _text(since), "direction": "asc", "page_size": _PAGE}
        while True:
            rows = self._read(lambda: self._client.get("/account/activities/FILL", dict(asked)))
            new = [one for one in map(_fill, rows) if one.fill_id not in found]
            found.update((one.fill_id, one) for one in new)
            if len(rows) < _PAGE or not new:
                break
            asked["page_token"] = rows[-1]["id"]
        return sorted(found.values(), key=lambda one: (one.filled_at, one.fill_id))

    def activities(self, since: date) -> list[Activity]:
        """Return what was no trade: every kind of activity but fills, from a day on."""
        found: dict[str, Activity] = {}
        asked: dict[str, Any] = {
            "after": f"{since.isoformat()}T00:00:00Z",
            "direction": "asc",
            "page_size": _PAGE,
            "category": "non_trade_activity",
        }
        while True:
            rows = self._read(lambda: self._client.get("/account/activities", dict(asked)))
            new = [one for one in map(_activity, rows) if one.activity_id not in found]
            found.update((one.activity_id, one) for one in new)
            if len(rows) < _PAGE or not new:
                break
            asked["page_token"] = rows[-1]["id"]
        return sorted(found.values(), key=lambda one: (one.date, one.activity_id))

    def positions(self) -> dict[str, float]:
        """Return shares by symbol."""
        held = {str(row["symbol"]): _shares(row) for row in self._read(self._client.get_all_positions)}
        return {symbol: shares for symbol, shares in sorted(held.items()) if shares}

    def account(self) -> BrokerAccount:
        """Return cash and equity, and whether Alpaca blocks the account."""
        row = self._read(self._client.get_account)
        flags = [name for name in ("trading_blocked", "account_blocked", "trade_suspended_by_user") if row.get(name)]
        if row.get("status", "ACTIVE") != "ACTIVE":
            flags.append(f"status {row['status']}")
        return BrokerAccount(float(row["equity"]), float(row["cash"]), ", ".join(flags))

    def _place(self, order: Order) -> BrokerOrder:
        from alpaca.trading.enums import OrderSide, TimeInForce
        from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest

        asked: dict[str, Any] = {
            "symbol": order.symbol,
            "qty": order.quantity,
            "side": OrderSide(order.side),
            "time_in_force": TimeInForce(order.time_in_force),
            "client_order_id": order.client_order_id,
        }
        limited = order.limit_price is not None
        request = LimitOrderRequest(**asked, limit_price=order.limit_price) if limited else MarketOrderRequest(**asked)
        try:
            return _order(self._once(lambda: self._client.submit_order(request)))
        except _Refused as refusal:
            # A name that is taken says that an earlier attempt arrived.
            if refusal.status == 422 and "client_order_id" in refusal.text:
                found = self.status(order.client_order_id)
                if found is not None:
                    return found
            if refusal.status in (403, 422):
                raise OrderRejected(
                    f"{order.client_order_id}: Alpaca rejects {order.side} {order.quantity} {order.symbol} with HTTP "
                    f"status {refusal.status}: {refusal.text}",
                    remedy="see the reason; the other orders go on",
                ) from refusal
            _refused(refusal)

    def _read(self, request: Callable[[], Any], *, missing: bool = False) -> Any:
        answer = self._try(request, ignored=(404,) if missing else ())
        if answer is None and not missing:
            raise BrokerError("Alpaca answered with nothing", remedy="try again later")
        return answer

    def _try(self, request: Callable[[], Any], ignored: tuple[int, ...]) -> Any:
        """Make a request that may be repeated; a status that is ignored gives None."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._pause(2.0**attempt / 2)
            try:
                return self._once(request)
            except _Refused as refusal:
                if refusal.status in ignored:
                    return None
                _refused(refusal)
            except BrokerUnavailable:
                if attempt == _ATTEMPTS - 1:
                    raise
        return None

    def _once(self, request: Callable[[], T]) -> T:
        """Make a request once.

        Raises:
            BrokerUnavailable: no answer, or one that says nothing about what happened.
            _Refused: Alpaca refused.
        """
        from alpaca.common.exceptions import APIError
        from requests.exceptions import RequestException

        try:
            return self._unhurried(request)
        except APIError as error:
            status = int(error.status_code or 0)
            text = " ".join(str(error).split())[:200]
            if status == 429 or status >= 500 or status == 0:
                raise BrokerUnavailable(
                    f"Alpaca answered with HTTP status {status}: {text}", remedy="try again in a minute"
                ) from error
            raise _Refused(status, text) from error
        except RequestException as error:
            # A body that is cut short or is no JSON says as little as none.
            raise BrokerUnavailable(
                f"Alpaca did not answer within {self._timeout:g} s or broke off: {' '.join(str(error).split())[:160]}",
                remedy="check the network, and run the same command again",
            ) from error

    def _unhurried(self, request: Callable[[], T]) -> T:
        """Make a request, and again after a pause when Alpaca says that there were too many: then it did nothing."""
        from alpaca.common.exceptions import APIError

        for seconds in _RATE_PAUSES:
            try:
                return request()
            except APIError as error:
                if error.status_code != _TOO_MANY:
                    raise
                self._pause(seconds)
        return request()


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def _refused(refusal: _Refused) -> NoReturn:
    remedy = {401: f"check {KEY_ID} and {SECRET_KEY}", 403: f"check {KEY_ID} and {SECRET_KEY}, and the account"}
    raise BrokerError(
        f"Alpaca refused with HTTP status {refusal.status}: {refusal.text}",
        remedy=remedy.get(refusal.status, "see the reason, and try again"),
    ) from refusal


def _address(live: bool) -> str:
    """Return where requests go: another address than Alpaca's own must be on this machine, and is never live.

    Raises:
        ConfigError: it is neither, or it contradicts the mode.
    """
    given = os.environ.get(BASE_URL, "").rstrip("/").removesuffix("/v2")
    usual = LIVE_URL if live else PAPER_URL
    if not given or given == usual:
        return usual
    if not live and urlsplit(given).hostname in _LOOPBACK:
        return given
    raise ConfigError(
        f"{BASE_URL} is {given}, and the mode is {'live' if live else 'paper'}",
        remedy=f"unset it, or set it to {usual}; another address may only be one of this machine, on paper",
    )


def _client(address: str, timeout: float, *, paper: bool) -> Any:
    missing = [name for name in (KEY_ID, SECRET_KEY) if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} not set in the environment",
            remedy=f"export {KEY_ID} and {SECRET_KEY}; trademl reads keys from nowhere else",
        )
    try:
        from alpaca.trading.client import TradingClient
    except ImportError as error:
        raise MissingExtra("alpaca-py", "broker") from error

    client = TradingClient(os.environ[KEY_ID], os.environ[SECRET_KEY], paper=paper, raw_data=True, url_override=address)
    # Its own repetition of requests is switched off by a status that no answer has: ours knows what was asked.
    client._retry_codes = [_NO_STATUS]
    # It waits for answers without end otherwise.
    setattr(client._session, "request", partial(client._session.request, timeout=timeout))  # noqa: B010
    # Proxies and passwords of the machine's own settings are not for this.
    client._session.trust_env = False
    return client


def _order(row: Any) -> BrokerOrder:
    try:
        price = row.get("filled_avg_price")
        return BrokerOrder(
            client_order_id=str(row["client_order_id"]),
            broker_order_id=str(row["id"]),
            symbol=str(row["symbol"]),
            side="buy" if row["side"] == "buy" else "sell",
            quantity=float(row["qty"]),
            filled_quantity=float(row.get("filled_qty") or 0),
            average_price=None if price in (None, "") else float(price),
            status=_STATUS.get(
                str(row["status"]), "partially_filled" if float(row.get("filled_qty") or 0) else "accepted"
            ),
            reason="" if str(row["status"]) in ("new", "accepted", "filled") else str(row["status"]),
            submitted_at=_instant(row.get("submitted_at") or row["created_at"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _nonsense("an order", row) from error


def _fill(row: Any) -> Fill:
    try:
        # A short sale has its own side in activities.
        side: Side = "buy" if row["side"] == "buy" else "sell"
        return Fill(
            fill_id=f"alpaca:{row['id']}",
            broker_order_id=str(row["order_id"]),
            symbol=str(row["symbol"]),
            quantity=signed(side, float(row["qty"])),
            price=float(row["price"]),
            fee_usd=0.0,
            filled_at=_instant(row["transaction_time"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _nonsense("a fill", row) from error


def _activity(row: Any) -> Activity:
    try:
        return Activity(
            activity_id=str(row["id"]),
            kind=_KINDS.get(str(row["activity_type"]), str(row["activity_type"])),
            symbol=str(row.get("symbol") or ""),
            date=date.fromisoformat(str(row["date"])),
            quantity=float(row.get("qty") or 0),
            amount_usd=float(row.get("net_amount") or 0),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _nonsense("an activity", row) from error


def _shares(row: Any) -> float:
    shares = float(row["qty"])
    return -abs(shares) if row.get("side") == "short" else shares


def _nonsense(what: str, row: Any) -> BrokerError:
    return BrokerError(
        f"Alpaca answered with something else than {what}: {' '.join(str(row).split())[:160]}",
        remedy="try again later; if it stays, check for a newer alpaca-py",
    )


def _instant(text: str) -> datetime:
    return sql_utc(datetime.fromisoformat(text))


def _text(instant: datetime) -> str:
    return instant.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
