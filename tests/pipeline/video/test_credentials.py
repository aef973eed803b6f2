"""Content Credentials: what is signed says what was done to what, and a change afterwards is seen."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import cli
from pipeline.demo.clip import masked_portrait, write_clip
from pipeline.errors import ConfigError, SinkError
from pipeline.run import load
from pipeline.video.labels import OWN, Seal, credentials, own_certificate
from tests.stand_ins import as_if_loaded

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)
signs = pytest.mark.skipif(importlib.util.find_spec("c2pa") is None, reason="c2pa-python is not installed")


@pytest.fixture(autouse=True)
def own_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where a certificate for this machine is kept."""
    folder = tmp_path / "config"
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_args, **_kwargs: folder)
    monkeypatch.setattr(load, "networks", as_if_loaded)
    return folder / "c2pa"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "me.png"
    Image.fromarray(masked_portrait()).save(path)
    return path


@signs
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif"])
def test_a_picture_says_what_was_drawn_into_which_input(suffix: str, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / f"bare{suffix}"
    assert cli.main(["run", str(photo), "-o", str(out), "--c2pa"]) == 0
    said, drawn = credentials(out)
    assert drawn
    assert said[0].startswith(f"C2PA: signed by {OWN}; the signature holds, and no authority")
    assert any("c2pa.opened" in line for line in said)
    assert any("compositeWithTrainedAlgorithmicMedia" in line for line in said)
    assert said[-1] == "C2PA: made of me.png"


@signs
@pytest.mark.parametrize("more", [(), ("--chunk-seconds", "1")], ids=["one pass", "chunks"])
def test_a_video_is_signed_and_its_frames_stay(
    more: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, out = tmp_path / "talk.mp4", tmp_path / "bare.mp4"
    write_clip(clip, width=320, height=240, frames=20)
    assert cli.main(["run", str(clip), "-o", str(out), "--c2pa", *more]) == 0
    assert cli.main(["check", str(out)]) == 0
    said = capsys.readouterr().out
    assert "IPTC DigitalSourceType" in said
    assert "C2PA: made of talk.mp4" in said


@signs
def test_a_change_after_signing_is_seen(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "bare.png"
    assert cli.main(["run", str(photo), "-o", str(out), "--c2pa"]) == 0
    whole = bytearray(out.read_bytes())
    whole[-200] ^= 1
    out.write_bytes(whole)
    said, _ = credentials(out)
    assert "does NOT hold" in said[0]


@signs
def test_a_certificate_of_the_users_own_signs(photo: Path, tmp_path: Path) -> None:
    chain, key = own_certificate(tmp_path / "mine")
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "mine.pem").write_bytes(key)
    out = tmp_path / "bare.png"
    given = ["--certificate", str(tmp_path / "chain.pem"), "--certificate-key", str(tmp_path / "mine.pem")]
    assert cli.main(["run", str(photo), "-o", str(out), "--c2pa", *given]) == 0
    assert credentials(out)[1]
    assert not (tmp_path / "config").exists()  # none was made


def test_the_certificate_of_this_machine_is_made_once_and_its_key_is_private(own_config: Path) -> None:
    first = own_certificate(own_config)
    assert own_certificate(own_config) == first
    assert (own_config / "key.pem").stat().st_mode & 0o077 == 0


def test_half_a_certificate_and_one_without_signing_are_refused(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["run", str(photo), "-o", str(tmp_path / "a.png"), "--certificate", "chain.pem"]) == 1
    assert "give --c2pa, too" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: True)
    with pytest.raises(ConfigError, match="belong together"):
        Seal(certificate=photo).check(photo)
    with pytest.raises(SinkError, match=r"\.mkv can't hold C2PA's manifest"):
        Seal().check(tmp_path / "bare.mkv")


def test_without_the_package_it_says_how_to_get_it(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "c2pa" else found(name))
    assert cli.main(["run", str(photo), "-o", str(tmp_path / "bare.png"), "--c2pa"]) == 1
    assert "c2pa-python is not installed: make setup EXTRAS=c2pa" in capsys.readouterr().err
    assert cli.main(["check", str(photo)]) == 1
    assert "C2PA was not looked for" in capsys.readouterr().err
