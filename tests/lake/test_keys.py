"""Keys and signatures: what is signed verifies, and nothing else does."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from trademl.errors import ConfigError, ReleaseError
from trademl.lake.keys import KEY_VARIABLE, key_id, keygen, load_private_key, public_text, sign, verify

# RFC 8032, section 7.1, test 2: secret key, public key, message, signature.
SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNED = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
    "387b2eaeb4302aeeb00d291612bb0c00"
)
KEY = Ed25519PrivateKey.from_private_bytes(SECRET)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    folder.mkdir()
    return folder


def test_the_published_test_vector() -> None:
    """The signature of RFC 8032's second test is the RFC's, and verifies under the RFC's public key."""
    document = json.loads(sign(b"\x72", KEY))
    assert base64.b64decode(document["signature"]) == SIGNED
    assert base64.b64decode(public_text(KEY)) == PUBLIC
    # The first 16 digits of what sha256sum says of the public key.
    assert key_id(PUBLIC) == "39f713d0a644253f"
    assert document["key"] == verify(b"\x72", sign(b"\x72", KEY), [public_text(KEY)]) == key_id(PUBLIC)
    assert set(document) == {"key", "signature"}


def test_a_new_key_signs_what_its_public_half_verifies(tmp_path: Path, lake: Path) -> None:
    """keygen writes a PEM of mode 0600 and returns the public key; both make a pair, and two keys differ."""
    path = tmp_path / "release.key"
    public = keygen(path, lake)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert len(base64.b64decode(public, validate=True)) == 32
    key = load_private_key(lake, {KEY_VARIABLE: str(path)})
    assert verify(b"document", sign(b"document", key), [public]) == key_id(base64.b64decode(public))
    assert keygen(tmp_path / "other.key", lake) != public


def test_a_key_is_never_overwritten(tmp_path: Path, lake: Path) -> None:
    """A path that exists is refused, and stays as it was."""
    path = tmp_path / "release.key"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="exists already"):
        keygen(path, lake)
    assert path.read_text() == "precious"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="exists already"):
        keygen(tmp_path / "link", lake)
    with pytest.raises(ConfigError, match="No such file"):
        keygen(tmp_path / "absent" / "release.key", lake)


@pytest.mark.parametrize("place", ["release.key", "deep/release.key", "../lake/release.key"])
def test_a_key_in_the_lake_is_refused(lake: Path, place: str) -> None:
    """The lake is copied to devices: a private key is neither made nor read there, by whatever path."""
    (lake / "deep").mkdir()
    with pytest.raises(ConfigError, match="is inside the lake"):
        keygen(lake / place, lake)
    assert not (lake / place).exists()
    with pytest.raises(ConfigError, match="is inside the lake"):
        load_private_key(lake, {KEY_VARIABLE: str(lake / place)})


def test_a_link_into_the_lake_is_refused(tmp_path: Path, lake: Path) -> None:
    """A path outside that leads into the lake counts as inside."""
    (tmp_path / "outside").symlink_to(lake)
    with pytest.raises(ConfigError, match="is inside the lake"):
        keygen(tmp_path / "outside" / "release.key", lake)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, lake: Path, mode: int) -> None:
    """Any bit for group or others is too much; the message names the mode."""
    path = tmp_path / "release.key"
    keygen(path, lake)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}"):
        load_private_key(lake, {KEY_VARIABLE: str(path)})


def test_what_is_no_key_is_refused(tmp_path: Path, lake: Path) -> None:
    """No variable, no file, a folder, a text, another kind of key, a key with a passphrase: each is named."""
    path = tmp_path / "release.key"
    with pytest.raises(ConfigError, match=f"{KEY_VARIABLE} is not set"):
        load_private_key(lake, {})
    with pytest.raises(ConfigError, match="No such file"):
        load_private_key(lake, {KEY_VARIABLE: str(path)})
    with pytest.raises(ConfigError, match="Is a directory"):
        load_private_key(lake, {KEY_VARIABLE: str(tmp_path)})
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    other = X25519PrivateKey.generate().private_bytes(pem, pkcs8, serialization.NoEncryption())
    locked = KEY.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret"))
    for raw, told in (
        (b"text", "no private key in PEM"),
        (other, "not an Ed25519 key"),
        (locked, "without a passphrase"),
    ):
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT, 0o600))
        path.write_bytes(raw)
        with pytest.raises(ConfigError, match=told):
            load_private_key(lake, {KEY_VARIABLE: str(path)})


@given(raw=st.binary(min_size=1, max_size=300), data=st.data())
def test_one_flipped_bit_of_a_document_is_noticed(raw: bytes, data: st.DataObject) -> None:
    """Whatever bit of whatever document is flipped, the signature no longer fits."""
    signature = sign(raw, KEY)
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    altered = bytearray(raw)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ReleaseError, match="does not fit the document"):
        verify(bytes(altered), signature, [public_text(KEY)])


def test_one_flipped_bit_of_a_signature_is_noticed() -> None:
    """Each of the 512 bits of a signature matters."""
    for bit in range(512):
        altered = bytearray(SIGNED)
        altered[bit // 8] ^= 1 << bit % 8
        raw = json.dumps({"key": key_id(PUBLIC), "signature": base64.b64encode(altered).decode()}).encode()
        with pytest.raises(ReleaseError, match="does not fit the document"):
            verify(b"\x72", raw, [public_text(KEY)])


def test_only_listed_keys_are_trusted() -> None:
    """Of several keys the one that signed is named; without it, or without any, the release is refused."""
    other = public_text(Ed25519PrivateKey.generate())
    signature = sign(b"document", KEY)
    assert verify(b"document", signature, [other, public_text(KEY)]) == key_id(PUBLIC)
    with pytest.raises(ReleaseError, match=f"signed with key {key_id(PUBLIC)}; trusted are"):
        verify(b"document", signature, [other])
    with pytest.raises(ReleaseError, match=r"trusted_keys in configs/lake\.yml is empty"):
        verify(b"document", signature, [])


def test_a_name_gives_no_trust() -> None:
    """A signature by another key under the name of a trusted one does not verify."""
    forged = json.loads(sign(b"document", Ed25519PrivateKey.generate()))
    forged["key"] = key_id(PUBLIC)
    with pytest.raises(ReleaseError, match="does not fit the document"):
        verify(b"document", json.dumps(forged).encode(), [public_text(KEY)])


GOOD = json.loads(sign(b"document", KEY))


@pytest.mark.parametrize(
    "raw, told",
    [
        (b"", "Expecting value"),
        (b"\x80\x81", "decode"),
        (b"[" * 900, "none"),
        (b"[]", "must hold key and signature"),
        (b" " * 1025, "has 1025 bytes, the limit is 1024"),
        (json.dumps({**GOOD, "more": 1}).encode(), "must hold key and signature"),
        (json.dumps({"key": GOOD["key"]}).encode(), "must hold key and signature"),
        (json.dumps({**GOOD, "signature": 5}).encode(), "must be text"),
        (json.dumps({**GOOD, "key": ["a"]}).encode(), "must be text"),
        (json.dumps({**GOOD, "key": "../../etc/passwd"}).encode(), "16 hexadecimal digits"),
        (json.dumps({**GOOD, "key": "\x1b[2J" + "0" * 12}).encode(), "16 hexadecimal digits"),
        (json.dumps({**GOOD, "signature": GOOD["signature"][:-4]}).encode(), "has 63 bytes, expected 64"),
        (json.dumps({**GOOD, "signature": "*" + GOOD["signature"]}).encode(), "base64"),
    ],
)
def test_what_is_no_signature_file_is_refused(raw: bytes, told: str) -> None:
    """Anything but the two fields, in form and in size, is refused before a key is tried."""
    with pytest.raises(ReleaseError, match=told):
        verify(b"document", raw, [public_text(KEY)])
