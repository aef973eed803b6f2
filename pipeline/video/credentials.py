"""Content Credentials: a manifest by C2PA in the output, signed, that says what was drawn into which input.

The manifest names the input as what was opened and edited, and the edit as IPTC's composite with trained algorithmic
media. Source: the C2PA technical specification 2.2, by c2pa-python, which is in the extra `c2pa`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from pipeline.errors import ConfigError, SinkError
from pipeline.video.labels import SOURCE_TYPE

if TYPE_CHECKING:
    import c2pa
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509 import Certificate

NEEDS = "c2pa-python is not installed: pip install 'barefaced[c2pa]', or pip install c2pa-python"

KINDS = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".avif": "image/avif",
    ".tif": "image/tiff", ".tiff": "image/tiff", ".heic": "image/heic", ".heif": "image/heif",
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime",
}  # fmt: skip
"""The suffix of files that can hold a manifest to their media type."""

SIGNS_CLAIMS, SIGNS_MAIL = "1.3.6.1.5.5.7.3.36", "1.3.6.1.5.5.7.3.4"
"""What a certificate must allow, by C2PA's profile: signing documents, or mail."""

OWN = "barefaced on this machine"
"""Who signs where nobody gave a certificate."""

OWN_DAYS = 3650


@dataclass(frozen=True)
class Seal:
    """Signs finished files. Without a certificate of the user's one is made for this machine and kept."""

    certificate: Path | None = None
    """The certificate and those that vouch for it, PEM, the signer's first."""
    key: Path | None = None
    """The private key of the first, PEM."""

    def check(self, path: Path) -> None:
        """Raise what signing would raise, before any work: `ConfigError`, and `SinkError` for another kind."""
        if importlib.util.find_spec("c2pa") is None:
            raise ConfigError(f"--c2pa can't sign: {NEEDS}")
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("--certificate and --certificate-key belong together: give both, or neither")
        if path.suffix.lower() not in KINDS:
            raise SinkError(f"{path.suffix} can't hold C2PA's manifest; use one of {', '.join(KINDS)}")
        self._signer()

    def sign(self, source: Path, unfinished: Path, name: str) -> None:
        """Put a signed manifest into `unfinished`, which will be called `name` and was made of `source`.

        Raises `SinkError`.
        """
        import c2pa

        action = {
            "action": "c2pa.edited",
            "digitalSourceType": SOURCE_TYPE,
            "description": "Face regions were drawn by a neural network. They are invented, not recovered.",
        }
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["input"]}}
        ingredient = {"title": source.name, "relationship": "parentOf", "label": "input", "instance_id": "input"}
        came = KINDS.get(source.suffix.lower())
        manifest = {
            "claim_generator_info": [{"name": "barefaced", "version": version("barefaced")}],
            "title": name,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [opened, action] if came else [action]}}],
        }
        try:
            builder = c2pa.Builder(manifest)
            if came:
                with source.open("rb") as file:
                    builder.add_ingredient(ingredient, came, file)
            with unfinished.open("rb") as plain, tempfile.TemporaryFile(dir=unfinished.parent) as signed:
                builder.sign(self._signer(), KINDS[Path(name).suffix.lower()], plain, signed)
                signed.seek(0)
                with unfinished.open("wb") as file:  # written over, not replaced: it stays locked
                    shutil.copyfileobj(signed, file)
        except (c2pa.C2paError, OSError) as error:
            raise SinkError(f"{name} can't be signed: {error}") from error

    def _signer(self) -> c2pa.Signer:
        """The signer of c2pa-python. Raises `ConfigError` for a certificate or key that it does not take."""
        import c2pa

        if self.certificate is None or self.key is None:
            chain, key = own_certificate(platformdirs.user_config_path("barefaced", appauthor=False) / "c2pa")
        else:
            try:
                chain, key = self.certificate.read_bytes(), self.key.read_bytes()
            except OSError as error:
                raise ConfigError(f"{error.filename} can't be read: {error.strerror}") from error
        try:
            return c2pa.Signer.from_info(c2pa.C2paSignerInfo(_algorithm(key).encode(), chain, key, None))
        except (c2pa.C2paError, ValueError, TypeError) as error:
            raise ConfigError(f"the certificate or its key can't sign by C2PA: {error}") from error


def _algorithm(key: bytes) -> str:
    """C2PA's name of the signature that a private key makes. Raises `ValueError` or `TypeError` for another key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    private = serialization.load_pem_private_key(key, None)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return {256: "es256", 384: "es384", 521: "es512"}[private.curve.key_size]
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise ValueError("its key is of no kind that C2PA knows")


def own_certificate(folder: Path) -> tuple[bytes, bytes]:
    """The certificates, PEM, and the private key that were made for this machine, made now where they are missing.

    They prove that two files were signed on one machine, and nothing of whose it is. Raises `ConfigError`.
    """
    chain_path, key_path = folder / "certificate.pem", folder / "key.pem"
    try:
        if not (chain_path.exists() and key_path.exists()):
            chain, key = _made()
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
            chain_path.write_bytes(chain)
        return chain_path.read_bytes(), key_path.read_bytes()
    except OSError as error:
        raise ConfigError(f"a certificate for this machine can't be kept in {folder}: {error}") from error


def _made() -> tuple[bytes, bytes]:
    """A new key, its certificate, and that of the authority that was made to vouch for it: C2PA takes no other."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def certificate(public: EllipticCurvePublicKey, name: str, *, vouches: bool) -> Certificate:
        from cryptography import x509
        from cryptography.x509.oid import NameOID, ObjectIdentifier

        def named(common: str) -> x509.Name:
            words = [(NameOID.ORGANIZATION_NAME, OWN), (NameOID.COMMON_NAME, common)]
            return x509.Name([x509.NameAttribute(kind, word) for kind, word in words])

        now = datetime.now(UTC)
        uses = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=vouches, crl_sign=vouches, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder(named("authority"), named(name), public, x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=OWN_DAYS))
            .add_extension(x509.BasicConstraints(ca=vouches, path_length=None), critical=True)
            .add_extension(uses, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        )
        if not vouches:
            allowed = x509.ExtendedKeyUsage([ObjectIdentifier(SIGNS_CLAIMS), ObjectIdentifier(SIGNS_MAIL)])
            builder = builder.add_extension(allowed, critical=False)
        return builder.sign(authority, hashes.SHA256())

    pem = serialization.Encoding.PEM
    chain = b"".join(
        one.public_bytes(pem)
        for one in (
            certificate(own.public_key(), "signer", vouches=False),
            certificate(authority.public_key(), "authority", vouches=True),
        )
    )
    plain = serialization.NoEncryption()
    return chain, own.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def credentials(path: Path) -> tuple[list[str], bool]:
    """What the manifest of a file says, in sentences, and whether networks drew in it; none where there is none.

    Also none without c2pa-python. Raises nothing for a file of another kind.
    """
    if importlib.util.find_spec("c2pa") is None or path.suffix.lower() not in KINDS:
        return [], False
    import c2pa

    try:
        reader = c2pa.Reader.try_create(path)
    except c2pa.C2paError as error:
        return [f"C2PA: the manifest can't be read: {error}"], False
    if reader is None:
        return [], False

    with reader:
        store = json.loads(reader.json())
    manifest = store["manifests"][store["active_manifest"]]
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    ]
    signer = manifest.get("signature_info", {}).get("issuer", "nobody known")
    said = [f"C2PA: signed by {signer}; {_verdict(store)}"]
    said += [f"C2PA: {action['action']}{_details(action)}" for action in actions]
    said += [f"C2PA: made of {one.get('title', 'a file without a name')}" for one in manifest.get("ingredients", [])]
    drawn = any("lgorithmicMedia" in action.get("digitalSourceType", "") for action in actions)
    return said, drawn


def _verdict(store: dict[str, Any]) -> str:
    """Whether the signature holds and is one that others trust."""
    if store.get("validation_state") not in ("Valid", "Trusted"):
        codes = ", ".join(status["code"] for status in store.get("validation_status", []))
        return f"the signature does NOT hold: the file was changed after it was signed ({codes})"
    if any(status["code"] == "signingCredential.untrusted" for status in store.get("validation_status", [])):
        return "the signature holds, and no authority that is known here vouches for the certificate"
    return "the signature holds"


def _details(action: dict[str, Any]) -> str:
    """What an action says of itself beside its name."""
    source = action.get("digitalSourceType", "").rpartition("/")[2]
    told = [text for text in (source, action.get("description", "")) if text]
    return f": {'; '.join(told)}" if told else ""
