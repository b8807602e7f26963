"""Ed25519 keys and detached signatures of release documents (RFC 8032), through ``cryptography``.

The signature covers the exact bytes of the document, so it is checked before anything is parsed. A key is known by the
first 16 hexadecimal digits of the sha256 of its 32 public bytes.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trademl.errors import ConfigError, ReleaseError
from trademl.lake.files import fsync_dir

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_VARIABLE = "TRADEML_RELEASE_KEY"
MAX_SIGNATURE = 1024
MAX_PRIVATE_KEY = 4096
SIGNATURE_BYTES = 64

_KEY_ID = re.compile(r"[0-9a-f]{16}")
_PRIVATE = 0o600
_OTHERS = 0o077
_NEW_KEY = "make one with `trademl lake keygen --out PATH`"
_UNTRUSTED = (
    "do not use this release; ask its publisher for the public key, compare it, and list it in configs/lake.yml"
)


def keygen(out: Path, lake: Path) -> str:
    """Write a new private key to ``out`` (PEM, PKCS8, mode 0600) and return its public key as base64.

    Raises:
        ConfigError: ``out`` exists, has no folder, or lies in the lake, from where devices copy.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    out = out.expanduser()
    _refuse_inside(out, lake)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    except FileExistsError as error:
        raise ConfigError(
            f"{out} exists already", remedy="choose another path: a key that signed releases must not be lost"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot write {out}: {error.strerror}", remedy="choose a path in an existing folder"
        ) from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(pem)
        stream.flush()
        os.fsync(stream.fileno())
    fsync_dir(out.parent)
    return public_text(key)


def load_private_key(lake: Path, environment: Mapping[str, str] = os.environ) -> "Ed25519PrivateKey":
    """Return the private key that the variable ``TRADEML_RELEASE_KEY`` names.

    Raises:
        ConfigError: the variable is not set, or the file is absent, in the lake, open to others or no such key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    named = environment.get(KEY_VARIABLE)
    if not named:
        raise ConfigError(f"{KEY_VARIABLE} is not set", remedy=f"set it to the path of the private key; {_NEW_KEY}")
    path = Path(named).expanduser()
    _refuse_inside(path, lake)
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            pem = stream.read(MAX_PRIVATE_KEY) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise ConfigError(f"{KEY_VARIABLE}={named}: {error.strerror}", remedy=_NEW_KEY) from error
    if status.st_mode & _OTHERS:
        raise ConfigError(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}: others can read or write it",
            remedy=f"chmod 600 {path}, and replace the key if somebody may have read it",
        )
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no private key in PEM without a passphrase", remedy=_NEW_KEY) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds a {type(key).__name__}, not an Ed25519 key", remedy=_NEW_KEY)
    return key


def public_text(key: "Ed25519PrivateKey") -> str:
    """Return the public key of ``key`` as devices list it: base64 of its 32 raw bytes."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def key_id(public: bytes) -> str:
    """Return the short name of a raw public key.

    >>> key_id(bytes(32))
    '66687aadf862bd77'
    """
    return hashlib.sha256(public).hexdigest()[:16]


def sign(raw: bytes, key: "Ed25519PrivateKey") -> bytes:
    """Return the signature file of a document: JSON with the key's name and the signature in base64."""
    document = {
        "key": key_id(key.public_key().public_bytes_raw()),
        "signature": base64.b64encode(key.sign(raw)).decode(),
    }
    return json.dumps(document).encode()


def verify(raw: bytes, signature: bytes, trusted_keys: Sequence[str]) -> str:
    """Return the name of the trusted key that signed ``raw``.

    Args:
        raw: the document, exactly as it was received.
        signature: the signature file.
        trusted_keys: public keys in base64.

    Raises:
        ReleaseError: no key is trusted, the file is no signature, its key is not trusted, or it does not fit.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not trusted_keys:
        raise ReleaseError(
            "no key is trusted here: trusted_keys in configs/lake.yml is empty",
            remedy="list the publisher's public key there, as `trademl lake keygen` printed it",
        )
    name, value = _read_signature(signature)
    trusted = {key_id(public): public for public in (base64.b64decode(text, validate=True) for text in trusted_keys)}
    if name not in trusted:
        raise ReleaseError(
            f"the release is signed with key {name}; trusted are {', '.join(sorted(trusted))}", remedy=_UNTRUSTED
        )
    try:
        Ed25519PublicKey.from_public_bytes(trusted[name]).verify(value, raw)
    except InvalidSignature as error:
        raise ReleaseError(
            f"the signature of key {name} does not fit the document: one of the two was altered",
            remedy="do not use this release; publish it again if the source is yours",
        ) from error
    return name


def _read_signature(raw: bytes) -> tuple[str, bytes]:
    try:
        if len(raw) > MAX_SIGNATURE:
            raise ValueError(f"it has {len(raw)} bytes, the limit is {MAX_SIGNATURE}")
        document = json.loads(raw)
        if not isinstance(document, dict) or set(document) != {"key", "signature"}:
            raise ValueError("it must hold key and signature")
        name, text = document["key"], document["signature"]
        if not (isinstance(name, str) and isinstance(text, str)):
            raise ValueError("key and signature must be text")
        if not _KEY_ID.fullmatch(name):
            raise ValueError("the key's name must be 16 hexadecimal digits")
        value = base64.b64decode(text, validate=True)
        if len(value) != SIGNATURE_BYTES:
            raise ValueError(f"the signature has {len(value)} bytes, expected {SIGNATURE_BYTES}")
    except (ValueError, binascii.Error, RecursionError) as error:
        raise ReleaseError(f"the signature file is none: {error}", remedy="publish the release again") from error
    return name, value


def _refuse_inside(path: Path, lake: Path) -> None:
    if path.resolve().is_relative_to(lake.resolve()):
        raise ConfigError(
            f"{path} is inside the lake {lake}, which devices copy", remedy="keep the private key outside the lake"
        )
