"""Which object `L` loads, and that it loads it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from core.probe.host_checks import check_host
from core.probe.loader import SHIPPED_OBJECT
from core.probe.refusals import ProbeUnavailable
from core.sources.feed import open_feed
from core.system.arch import parse_arch
from core.system.host import LOCAL
from tui.reload import probe_object, probe_opener
from tui.settings import Settings


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the Build screen leaves the probe; the directory is there, the object is not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "ebpf-tui/probe" / parse_arch("local").name / "co-re" / SHIPPED_OBJECT.name
    path.parent.mkdir(parents=True)
    return path


def test_the_built_object_goes_before_the_shipped_one(built: Path) -> None:
    assert probe_object() == SHIPPED_OBJECT
    built.write_bytes(b"")
    assert probe_object() == built


def test_an_object_that_others_could_have_written_is_not_loaded(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built.write_bytes(b"")
    built.chmod(0o666)
    with pytest.raises(ProbeUnavailable, match=r"other users can write to .*: remove it"):
        probe_object()
    built.chmod(0o644)
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    os.chown(built, 4711, 4711)
    with pytest.raises(ProbeUnavailable):
        probe_object()
    monkeypatch.setenv("SUDO_UID", "4711")  # who called sudo may bring what root loads
    monkeypatch.setenv("SUDO_GID", "4711")
    assert probe_object() == built


def test_the_built_object_is_loaded_and_a_damaged_one_is_told(built: Path) -> None:
    try:
        check_host(LOCAL, SHIPPED_OBJECT)
    except ProbeUnavailable as why:
        pytest.skip(str(why))
    shutil.copyfile(SHIPPED_OBJECT, built)
    running = open_feed(LOCAL, probe=False)
    feed = probe_opener(Settings())(running)
    try:
        assert feed.tiers.maps.on
        assert feed.names is running.names
    finally:
        feed.close()
    built.write_bytes(SHIPPED_OBJECT.read_bytes()[:2000])
    with pytest.raises(ProbeUnavailable):
        probe_opener(Settings())(running)
    built.unlink()
    with pytest.raises(ProbeUnavailable, match="--no-probe"):
        probe_opener(Settings(probe=False))(running)
