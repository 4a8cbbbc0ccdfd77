"""Certificates for the tests: one that the tests' own authority has issued for this machine's loopback."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import trustme

from smtpmock_cli.net.tls import SELF_SIGNED_NAMES


class Certificate(NamedTuple):
    """Files, as PEM: the certificate, its private key, both in one, and the authority to trust."""

    cert: str
    key: str
    both: str
    authority: str

    def client_context(self) -> ssl.SSLContext:
        """Of a client that trusts the authority and nobody else."""
        return ssl.create_default_context(cafile=self.authority)


def make_certificate(folder: Path) -> Certificate:
    authority = trustme.CA()
    made = authority.issue_cert(*SELF_SIGNED_NAMES)
    paths = Certificate(*(str(folder / f"{name}.pem") for name in Certificate._fields))
    made.cert_chain_pems[0].write_to_path(paths.cert)
    made.private_key_pem.write_to_path(paths.key)
    made.private_key_and_cert_chain_pem.write_to_path(paths.both)
    authority.cert_pem.write_to_path(paths.authority)
    return paths
