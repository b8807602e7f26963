"""Pulling: a device goes to the next release whole, or stays with the one it has."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lake.small_release import BARS, CREATED, MODEL, NOON_AFTER, Server, at, newest_close, server_in, state
from trademl.config.lake import LakeConfig
from trademl.errors import ConfigError, LockedError, ReleaseError, SnapshotError
from trademl.lake import pull as pulling
from trademl.lake.files import FileLock, write_atomic
from trademl.lake.layout import Layout
from trademl.lake.manifest import Manifest, current_seq, read_manifest
from trademl.lake.pull import Pulled, pull
from trademl.lake.reading import is_device
from trademl.lake.release import Release, parse_release


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return server_in(tmp_path)


@pytest.fixture
def device(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "device")


def bring(server: Server, device: Layout, config: LakeConfig | None = None, **changed: Any) -> Pulled:
    return pull(device, config or server.config(), **{"now": at(NOON_AFTER), **changed})


def served(device: Layout) -> dict[str, bytes]:
    """What decides on what a device reads: pointers, documents and manifests."""
    return {name: raw for name, raw in state(device).items() if not name.startswith("objects/")}


def test_a_first_pull_brings_a_release_that_can_be_read(server: Server, device: Layout) -> None:
    """Every object, the document and its signature byte for byte, the manifest made from it, and CURRENT."""
    release = server.publish(1, sessions=3, shift=0.5)
    done = bring(server, device)
    sizes = release.objects()
    assert len(sizes) == 3 + 1 + 2
    assert (done.seq, done.as_of, done.run_id, done.changed) == (1, release.as_of, "run-1", True)
    assert (done.objects_new, done.bytes_new, done.bytes_total) == (6, sum(sizes.values()), sum(sizes.values()))
    found = state(device)
    assert found["CURRENT"] == b"1\n"
    assert found["releases/00000001.json"] == server.layout.release(1).read_bytes() == release.to_bytes()
    assert found["releases/00000001.json.sig"] == server.layout.signature(1).read_bytes()
    assert {name.removeprefix("objects/") for name in found if name.startswith("objects/")} == set(sizes)
    assert all(found[f"objects/{name}"] == (server.layout.objects / name).read_bytes() for name in sizes)
    manifest = read_manifest(device)
    assert manifest == release.to_manifest()
    assert is_device(manifest)
    assert newest_close(device) == (1, 3.5)


def test_objects_and_documents_are_read_only(server: Server, device: Layout) -> None:
    """What was pulled has mode 0444; only the pointer can be replaced by writing."""
    server.publish(1)
    bring(server, device)
    modes = {path.stat().st_mode & 0o777 for path in device.objects.iterdir() if path.is_file()}
    modes |= {path.stat().st_mode & 0o777 for path in [*device.releases.iterdir(), *device.manifests.iterdir()]}
    assert modes == {0o444}


def test_a_later_pull_fetches_what_is_new_only(server: Server, device: Layout) -> None:
    """A fourth session costs its own object, the calendar and the new model; three sessions are there."""
    server.publish(1, sessions=3)
    bring(server, device)
    release = server.publish(2, sessions=4, shift=0.25)
    done = bring(server, device)
    new = [
        release.tables[BARS].files[3].bytes,
        release.assets[MODEL].bytes,
        release.tables["silver.calendar"].files[0].bytes,
    ]
    assert (done.seq, done.objects_new, done.bytes_new) == (2, 3, sum(new))
    assert newest_close(device) == (2, 4.25)


def test_pulling_what_is_here_does_nothing(server: Server, device: Layout) -> None:
    """The same release again: no byte is fetched or written, and that is said."""
    server.publish(1)
    bring(server, device)
    before = state(device)
    done = bring(server, device)
    assert (done.seq, done.changed, done.objects_new, done.bytes_new) == (1, False, 0, 0)
    assert "nothing to do" in done.note
    assert state(device) == before


def test_progress_counts_bytes_up_to_all(server: Server, device: Layout) -> None:
    """The last report is all of all; reports never fall."""
    release = server.publish(1)
    seen: list[tuple[int, int]] = []
    bring(server, device, progress=lambda done, total: seen.append((done, total)))
    total = sum(release.objects().values())
    assert {wanted for _, wanted in seen} == {total}
    assert (seen[0][0], seen[-1][0]) == (0, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("damage", ["missing", "short", "altered", "link", "longer"])
def test_a_damaged_object_is_fetched_again(server: Server, device: Layout, tmp_path: Path, damage: str) -> None:
    """Pulling the release that is here mends an object that is missing, cut, altered, longer or a planted link."""
    release = server.publish(1)
    bring(server, device)
    whole = state(device)
    victim = device.object(release.tables[BARS].files[0].sha256)
    raw = victim.read_bytes()
    victim.unlink()
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * len(raw))
    if damage == "link":
        victim.symlink_to(secret)
    elif damage != "missing":
        victim.write_bytes({"short": raw[:10], "altered": b"X" + raw[1:], "longer": raw + b"x"}[damage])
    done = bring(server, device)
    assert (done.changed, done.objects_new, done.bytes_new) == (False, 1, len(raw))
    assert state(device) == whole
    assert not victim.is_symlink()
    assert secret.read_bytes() == b"s" * len(raw)


def test_a_release_that_the_check_refuses_is_not_used(server: Server, device: Layout) -> None:
    """The caller's check sees all objects in place and the old release still current; its refusal ends the pull."""
    server.publish(1)
    bring(server, device)
    new = server.publish(2, shift=0.5)
    before = served(device)
    seen: list[int] = []

    def check(layout: Layout, manifest: Manifest, release: Release) -> None:
        assert (release, manifest, current_seq(layout)) == (new, new.to_manifest(), 1)
        assert all((layout.objects / name).stat().st_size == size for name, size in release.objects().items())
        seen.append(release.seq)
        raise SnapshotError("golden values differ")

    with pytest.raises(SnapshotError, match="golden values differ"):
        bring(server, device, check=check)
    assert seen == [2]
    assert served(device) == before
    assert bring(server, device, check=lambda *_: None).objects_new == 0
    assert newest_close(device) == (2, 3.5)


def test_an_interrupted_object_goes_on_where_it_was(server: Server, device: Layout) -> None:
    """The beginning of an object that is there is not fetched again; its bytes count."""
    release = server.publish(1, model=os.urandom(100_000))
    model = release.assets[MODEL]
    device.parts.mkdir(parents=True)
    (device.parts / model.sha256).write_bytes(server.layout.asset(model.sha256).read_bytes()[:60_000])
    (device.parts / model.sha256).chmod(0o444)
    done = bring(server, device)
    assert done.bytes_new == done.bytes_total - 60_000
    assert device.asset(model.sha256).stat().st_size == 100_000
    assert list(device.parts.iterdir()) == []


def test_a_bad_beginning_is_thrown_away_once(server: Server, device: Layout) -> None:
    """A part with other bytes, as a power cut leaves them, costs a second download and not the release."""
    release = server.publish(1, model=os.urandom(50_000))
    model = release.assets[MODEL]
    device.parts.mkdir(parents=True)
    (device.parts / model.sha256).write_bytes(bytes(20_000))
    (device.parts / "unwanted").write_bytes(b"x")
    (device.parts / "folder").mkdir()
    done = bring(server, device)
    assert done.bytes_new == done.bytes_total - 20_000 + 50_000
    assert list(device.parts.iterdir()) == []
    assert newest_close(device) == (1, 3.0)


def test_a_bad_beginning_of_a_bad_object_is_refused(server: Server, device: Layout) -> None:
    """The second attempt is the last one."""
    release = server.publish(1, model=bytes(50_000))
    model = release.assets[MODEL]
    write_atomic(server.layout.asset(model.sha256), b"x" * 50_000)
    device.parts.mkdir(parents=True)
    (device.parts / model.sha256).write_bytes(bytes(20_000))
    with pytest.raises(ReleaseError, match="as the source sends it has sha256"):
        bring(server, device)
    assert current_seq(device) is None


def test_a_part_longer_than_its_object_is_dropped(server: Server, device: Layout) -> None:
    """Nothing can be appended to it."""
    release = server.publish(1)
    device.parts.mkdir(parents=True)
    (device.parts / release.assets[MODEL].sha256).write_bytes(bytes(100_000))
    assert bring(server, device).objects_new == 6


def test_what_a_dead_pull_wrote_is_no_obstacle(server: Server, device: Layout) -> None:
    """Documents under the next number that were never in use are replaced."""
    server.publish(1)
    bring(server, device)
    for path in (device.release(2), device.signature(2), device.manifest(2)):
        write_atomic(path, b"half")
    server.publish(2, shift=0.5)
    assert bring(server, device).changed
    assert newest_close(device) == (2, 3.5)
    assert parse_release(device.release(2).read_bytes()).seq == 2


def test_a_full_disk_is_found_before_anything_is_fetched(
    server: Server, device: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Needed and free bytes are compared first; the message has both, and what is there of a part counts."""
    release = server.publish(1)
    needed = sum(release.objects().values())

    real_statvfs = os.statvfs
    monkeypatch.setattr(
        "trademl.lake.pull.os.statvfs", lambda path: _smaller(real_statvfs(path), needed + pulling.SPARE_BYTES - 1)
    )
    with pytest.raises(
        ReleaseError, match=f"{needed:,} bytes are to be fetched, {needed + pulling.SPARE_BYTES - 1:,} are"
    ):
        bring(server, device)
    assert [path.name for path in device.parts.iterdir()] == []
    monkeypatch.setattr(
        "trademl.lake.pull.os.statvfs", lambda path: _smaller(real_statvfs(path), needed + pulling.SPARE_BYTES)
    )
    assert bring(server, device).changed


def _smaller(real: os.statvfs_result, free: int) -> os.statvfs_result:
    fields = list(real)
    # f_frsize and f_bavail
    fields[1], fields[4] = 1, free
    return os.statvfs_result(fields)


def test_old_releases_go_and_the_newest_stay(server: Server, device: Layout) -> None:
    """keep_releases = 2: after four pulls two releases with their manifests and objects are there, and no more."""
    config = server.config(keep_releases=2)
    for seq in range(1, 5):
        server.publish(seq, shift=seq / 8)
        bring(server, device, config)
    assert [path.name for path in sorted(device.releases.glob("*.json"))] == ["00000003.json", "00000004.json"]
    assert [path.name for path in sorted(device.manifests.iterdir())] == ["00000003.json", "00000004.json"]
    needed: set[str] = set()
    for seq in (3, 4):
        needed |= set(parse_release(device.release(seq).read_bytes()).objects())
    assert {path.name for path in device.objects.iterdir() if path.is_file()} == needed


def test_a_lake_that_publishes_or_builds_is_not_pulled_into(server: Server, device: Layout) -> None:
    """A server's own lake is never overwritten by somebody's release."""
    server.publish(1)
    with pytest.raises(ReleaseError, match="publishes releases itself"):
        bring(server, server.layout)
    write_atomic(device.current, b"4\n")
    with pytest.raises(ReleaseError, match=r"CURRENT of .* is 4, a snapshot that was built here"):
        bring(server, device)


def test_there_must_be_a_source_and_a_key(server: Server, device: Layout) -> None:
    """No source is an error of configuration; no key refuses every release; an empty source has no RELEASED."""
    with pytest.raises(ConfigError, match="names no source"):
        pull(device, LakeConfig())
    with pytest.raises(ReleaseError, match="the source has no RELEASED"):
        bring(server, device)
    server.publish(1)
    with pytest.raises(ReleaseError, match="no key is trusted here"):
        bring(server, device, server.config(trusted_keys=()))
    assert current_seq(device) is None


def test_one_pull_at_a_time(server: Server, device: Layout) -> None:
    """A second one is refused while the first holds the lake."""
    server.publish(1)
    with FileLock(device.publish_lock), pytest.raises(LockedError):
        bring(server, device)


def test_the_allowed_skew_is_the_configured_one(server: Server, device: Layout) -> None:
    """A clock exactly as far behind as allowed is good enough; a second more is not."""
    server.publish(1)
    config = server.config(max_clock_skew_minutes=3)
    with pytest.raises(ReleaseError, match="3 minutes are allowed"):
        bring(server, device, config, now=at(CREATED - timedelta(minutes=3, seconds=1)))
    assert bring(server, device, config, now=at(CREATED - timedelta(minutes=3))).changed


def test_a_result_says_what_was_done(server: Server, device: Layout) -> None:
    """Results are plain values that can be compared and shown."""
    server.publish(1)
    done = bring(server, device)
    assert replace(done, seconds=0.0) == Pulled(
        1, done.as_of, "run-1", True, 6, done.bytes_total, done.bytes_total, done.key, 0.0
    )
    assert done.seconds > 0
