"""Every error trademl raises on purpose.

One tree, so that a caller can catch as narrowly or as widely as needed::

    TrademlError
    ├── HomeNotFound           no configs/trademl.yml upward of here
    ├── ConfigError            a configuration file or option is wrong
    ├── IngestError            a source file cannot be read at all
    ├── BuildError             dbt failed, or the warehouse is locked
    ├── DataGateError          data quality blocks training or scoring
    ├── SnapshotError          no snapshot, or one that does not verify
    ├── QueryRefused           a SQL statement that may not run on a snapshot
    ├── SplitError             a split cannot be made from these parameters
    ├── LeakageError           stored splits leak
    ├── ModelError             a model cannot be fitted, read or exported
    │   └── ParityError        native and exported scores differ
    ├── ArtifactError          a run folder is missing, incomplete or altered
    ├── PromotionError         a run may not become champion, or nothing can be rolled back
    ├── ReleaseError           a release is not signed, whole, new or fresh as it must be
    ├── TripwireError          what would be served is not plausible: nothing is
    │   └── TradingHalted      a tripwire stopped trading: nothing more is sent until it is resumed
    ├── BrokerError            the broker refuses, or answers something else than was asked
    │   ├── OrderRejected      the broker answered that it does not take this order
    │   └── BrokerUnavailable  no answer: whether the broker acted is not known
    ├── LockedError            another process holds the resource
    └── MissingExtra           an optional dependency is not installed

Each message says what was asked, the value received, the limit, and the remedy.
"""


class TrademlError(Exception):
    """Root of the tree. ``remedy`` says what to do next and is shown on a line of its own."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}" if self.remedy else self.message


class HomeNotFound(TrademlError):
    """No home: neither ``TRADEML_HOME`` nor a folder upward with configs/trademl.yml."""


class ConfigError(TrademlError):
    """A configuration file or a command line option has a wrong field or value."""

    exit_code = 2


class IngestError(TrademlError):
    """A source file cannot be read at all: nothing of it landed."""


class BuildError(TrademlError):
    """dbt failed, or the warehouse file is held by another process."""


class DataGateError(TrademlError):
    """Data quality is not GREEN where it must be."""

    exit_code = 3


class SnapshotError(TrademlError):
    """There is no snapshot to read, or it does not verify."""


class QueryRefused(TrademlError):
    """A statement that is not a plain SELECT over the snapshot."""

    exit_code = 2


class SplitError(TrademlError):
    """The parameters leave a split without train or test rows."""


class LeakageError(TrademlError):
    """The leakage audit found a violation: the run may not be registered."""

    exit_code = 3


class ModelError(TrademlError):
    """A model cannot be fitted, saved, read or exported."""


class ParityError(ModelError):
    """Native and exported scores are not bit-equal."""


class ArtifactError(TrademlError):
    """A run folder is missing, incomplete, or its files do not match their hashes."""


class PromotionError(TrademlError):
    """A run may not become champion, or there is no champion to go back to."""

    exit_code = 3


class ReleaseError(TrademlError):
    """A release is refused: its signature, age, size or content is not what it must be."""

    exit_code = 4


class TripwireError(TrademlError):
    """Scores were computed and are not served: they, or the features behind them, are not plausible."""

    exit_code = 5


class TradingHalted(TripwireError):
    """A tripwire stopped trading, or had stopped it before: no order is sent until `trademl trade resume`."""


class BrokerError(TrademlError):
    """The broker refuses a request, or answers something else than was asked."""


class OrderRejected(BrokerError):
    """The broker answered that it does not take this order: it will never be filled."""


class BrokerUnavailable(BrokerError):
    """No answer came, or none that counts: whether the broker acted on the request is not known."""


class LockedError(TrademlError):
    """Another process holds a lock on the resource."""


class MissingExtra(TrademlError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is not installed",
            remedy=f"pip install 'trademl[{extra}]'",
        )
