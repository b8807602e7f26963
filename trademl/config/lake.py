"""configs/lake.yml: where a device pulls releases from, whose signatures it trusts, and when it must not serve.

A server that publishes and a device that pulls read the same file; each uses its own part of it.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, StrictStr, StringConstraints, field_validator

from trademl.config.home import Home
from trademl.config.reading import Section, load_section

LAKE_FILE = "lake.yml"
KEY_BYTES = 32

# Plain characters only: nothing that a shell, rsync or ssh could read as an option or expand.
_PATH = r"(?P<path>(?:/[A-Za-z0-9_.+@=,][A-Za-z0-9_.+@=,-]*)+)/?"
_SSH = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z_][A-Za-z0-9_.-]{0,63})@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252})"
    rf"(?::(?P<port>[0-9]{{1,5}}))?{_PATH}"
)
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,62})(?P<prefix>(?:/[A-Za-z0-9_.+=,][A-Za-z0-9_.+=,-]*)*)/?")

Share = Annotated[float, Field(strict=True, gt=0.0, le=1.0, allow_inf_nan=False)]
Index = Annotated[float, Field(strict=True, gt=0.0, le=100.0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Source:
    """Where releases come from, taken apart.

    Attributes:
        kind: ``path`` (a folder of this machine), ``ssh`` (rsync over ssh) or ``s3``.
        path: the folder, or the prefix within the bucket (without slashes at its ends).
        host: the host, or the bucket; empty for a path.
        user: who logs in; None leaves it to ssh.
        port: the ssh port; None leaves it to ssh.
    """

    kind: Literal["path", "ssh", "s3"]
    path: str
    host: str = ""
    user: str | None = None
    port: int | None = None


def parse_source(text: str) -> Source:
    """Take a source apart.

    >>> parse_source("ssh://pi@lake.example:2222/srv/trademl/lake").port
    2222

    Raises:
        ValueError: it is none of the three forms, or has characters that none of them needs.
    """
    if ".." in text.split("/"):
        raise ValueError("a source has no `..` in its path")
    if found := _SSH.fullmatch(text):
        port = None if found["port"] is None else int(found["port"])
        if port is not None and not 1 <= port <= 65535:
            raise ValueError(f"{port} is no port; ports are 1 to 65535")
        return Source("ssh", found["path"], found["host"], found["user"], port)
    if found := _S3.fullmatch(text):
        return Source("s3", found["prefix"].strip("/"), found["bucket"])
    if text.startswith("/") and text.isprintable():
        return Source("path", text)
    raise ValueError(
        "write /path, ssh://[user@]host[:port]/path or s3://bucket/prefix; "
        "in the last two with letters, digits and . _ + @ = , - only"
    )


class ScoringLimits(Section):
    """How a device scores, and what it takes for implausible.

    Attributes:
        mode: ``local`` computes scores on the device; ``fetch`` takes the server's report of the day.
        max_turnover: the largest share of yesterday's best picks that may be replaced in one day.
        max_feature_psi: how far the population stability index of a feature may be above that of the reference's
            worst session.
        max_prediction_psi: the same for the prediction.
        min_rows: fewer scored symbols than this are no universe.
    """

    mode: Literal["local", "fetch"] = "local"
    max_turnover: Share = 0.7
    max_feature_psi: Index = 0.5
    max_prediction_psi: Index = 0.5
    min_rows: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 20


class LakeConfig(Section):
    """Releases: where from, signed by whom, how fast, how many and for how long.

    Attributes:
        source: the server's lake, see :func:`parse_source`; None where nothing is pulled.
        trusted_keys: public keys whose releases are accepted: base64 of the 32 raw bytes of an Ed25519 key.
        bandwidth_limit_kib: at most this many KiB a second; None means no limit.
        keep_releases: how many releases stay for a rollback, the current one included.
        expires_after_days: for how long a new release may be used.
        max_age_days: the last session may be this old when it is released and when it is scored; None means any age.
        max_clock_skew_minutes: how far a device's clock may be behind the publisher's.
        scoring: how a device scores.
    """

    source: StrictStr | None = None
    trusted_keys: tuple[Annotated[StrictStr, StringConstraints(max_length=64)], ...] = ()
    bandwidth_limit_kib: Annotated[StrictInt, Field(ge=1, le=10_000_000)] | None = None
    keep_releases: Annotated[StrictInt, Field(ge=1, le=1000)] = 3
    expires_after_days: Annotated[StrictInt, Field(ge=1, le=366)] = 5
    max_age_days: Annotated[StrictInt, Field(ge=1, le=366)] | None = 5
    max_clock_skew_minutes: Annotated[StrictInt, Field(ge=0, le=1440)] = 10
    scoring: ScoringLimits = ScoringLimits()

    @field_validator("source")
    @classmethod
    def _known_form(cls, value: str | None) -> str | None:
        if value is not None:
            parse_source(value)
        return value

    @field_validator("trusted_keys", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return () if value is None else value

    @field_validator("trusted_keys")
    @classmethod
    def _keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                size = len(base64.b64decode(text, validate=True))
            except binascii.Error:
                size = -1
            if size != KEY_BYTES:
                raise ValueError(
                    f"{text!r} is no public key: `trademl lake keygen` prints one, base64 of {KEY_BYTES} bytes"
                )
        return value


def read_lake_config(home: Home) -> LakeConfig:
    """Return configs/lake.yml of a home; a home without that file has the defaults.

    Raises:
        ConfigError: a field is unknown or has a wrong value.
    """
    path = home.configs / LAKE_FILE
    return load_section(path, LakeConfig) if path.is_file() else LakeConfig()
