"""A certificate authority for tests: it signs servers on loopback and clients, and makes the token signer's key."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class KeyPair:
    """Two PEM files: a certificate and its private key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority whose files lie in `folder`. Make one per session: keys cost time."""

    def __init__(self, folder: Path, name: str = "Liftlock tests") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._certificate = self._sign(self._name, self._key, authority=True)
        self.ca = folder / "ca.crt"
        """The PEM file a client has to trust."""
        self.ca.write_bytes(_pem(self._certificate))

    def server(self, name: str = "server", *, also: tuple[str, ...] = ()) -> KeyPair:
        """A certificate for 127.0.0.1, localhost and the host names of `also`, signed by this authority."""
        return self._pair(name, ExtendedKeyUsageOID.SERVER_AUTH, rsa_key=False, also=also)

    def client(self, name: str = "client") -> KeyPair:
        """A certificate a client shows to a server that asks for one."""
        return self._pair(name, ExtendedKeyUsageOID.CLIENT_AUTH, rsa_key=False)

    def signer(self, name: str = "signer") -> KeyPair:
        """An RSA pair for signing tokens; a registry that trusts this authority accepts its signatures."""
        return self._pair(name, None, rsa_key=True)

    def context(self) -> ssl.SSLContext:
        """A client's TLS context that trusts this authority and nothing else."""
        return ssl.create_default_context(cafile=str(self.ca))

    def _pair(
        self, name: str, usage: x509.ObjectIdentifier | None, *, rsa_key: bool, also: tuple[str, ...] = ()
    ) -> KeyPair:
        pair = KeyPair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        if not pair.certificate.exists():
            key: PrivateKey
            if rsa_key:
                key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            else:
                key = ec.generate_private_key(ec.SECP256R1())
            pair.key.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            pair.certificate.write_bytes(_pem(self._sign(_name(name), key, usage=usage, also=also)))
        return pair

    def _sign(
        self,
        subject: x509.Name,
        key: PrivateKey,
        *,
        authority: bool = False,
        usage: x509.ObjectIdentifier | None = None,
        also: tuple[str, ...] = (),
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if authority:
            builder = builder.add_extension(_key_usage(sign_certificates=True), critical=True)
        else:
            builder = builder.add_extension(_key_usage(sign_certificates=False), critical=True)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if usage == ExtendedKeyUsageOID.SERVER_AUTH:
            names: list[x509.GeneralName] = [x509.DNSName(host) for host in ("localhost", *also)]
            names.append(x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
