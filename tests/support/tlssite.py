"""Files of TLS as options name them, right and wrong ones."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from tests.support.certificates import Authority, encrypt_key


class Site:
    """A folder of files, right and wrong ones: `site("one.key")` is a path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = Authority(folder)
        for name in ("one", "two"):
            authority.issue(name)
        authority.issue("expired", days=-1)
        encrypt_key(self("one.key"), folder / "encrypted.key")
        certificate = Path(self("one.pem")).read_text()
        key = Path(self("one.key")).read_text()
        made = {
            "both.pem": certificate + key,
            "key-first.pem": key + certificate,
            "empty.pem": "",
            "half.pem": certificate[:200],
            "half.key": key[:100],
            "bad.pem": certificate.replace("M", "A", 1),
            "bad.key": key.replace("M", "A", 1),
            "chain-half.pem": certificate + certificate[:200],
        }
        for name, text in made.items():
            Path(self(name)).write_text(text)
        der = ssl.PEM_cert_to_DER_cert(certificate)
        Path(self("der.pem")).write_bytes(der)

    def __call__(self, name: str) -> str:
        return str(self.folder / name)

    def options(self, names: dict[str, Any]) -> dict[str, Any]:
        """Return keywords of Config: names of files stand for their paths, without `ssl_`."""
        return {
            option if option == "proxy_protocol" else f"ssl_{option}": self(value)
            if option in ("certfile", "keyfile", "ca_certs")
            else value
            for option, value in names.items()
        }


ONE = {"certfile": "one.pem", "keyfile": "one.key"}
