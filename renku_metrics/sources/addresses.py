"""What is kept of email addresses: a keyed hash, and the kind of address."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from renku_metrics.shapes import KEYCLOAK_ID

AddressKind = Literal["personal", "noreply", "bot", "shared"]

# Nobody has an address in these domains (RFC 2606). The domain .example is not among them, because examples use
# it for institutions.
RESERVED_DOMAINS = re.compile(r"(.+\.)?(example\.(com|org|net)|invalid|test|localhost)")
# Tools and their guides put these in if nobody set an address, so many people share them.
# docs/sources/renku-commits.md#default-addresses-are-shared
SHARED_DOMAINS = frozenset({"localhost.localdomain", "local.host", "yourdomain.com"})
SHARED_ADDRESSES = frozenset(
    f"{local}@{domain}"
    for local in ("you", "your", "your.name", "your.email", "youremail", "user", "name", "email", "me")
    for domain in ("email.com", "domain.com", "mail.com")
) | {"foo@bar.com", "test@test.com", "none@none.none", "noreply@github.com"}
# At most 18 digits: anybody can write such an address, and a longer id fits no column of ids.
# docs/sources/gitlab.md#noreply-addresses-name-the-user
NOREPLY = re.compile(r"(?P<id>[0-9]{1,18})-[^@]*@users\.noreply\.(?P<host>[^@]+)")
# User names and addresses of GitLab's access tokens begin so: project_12_bot_1a2b, project12_bot until 14.
# docs/sources/gitlab.md#access-tokens-are-users
ACCESS_TOKEN = re.compile(r"(project|group)_?\d+_bot")


@dataclass(frozen=True)
class Address:
    """What is kept of an email address."""

    hash: str
    kind: AddressKind
    gitlab_user_id: int | None = None


class AddressBook:
    """Turns clear email addresses of one deployment into what may be kept of them."""

    def __init__(self, hash_key: bytes, noreply_hosts: Iterable[str]) -> None:
        self._hash_key = hash_key
        self._noreply_hosts = frozenset(host.lower() for host in noreply_hosts)
        # A few thousand people make the commits of years, so nearly every address is read once.
        self._known = lru_cache(maxsize=10_000)(self._read)

    def hash(self, text: str) -> str:
        """HMAC-SHA-256 of the text, trimmed and lower case, as 64 hexadecimal digits."""
        return self.keyed_hash(_normal(text))

    def keyed_hash(self, text: str) -> str:
        """HMAC-SHA-256 of the text as it is, as 64 hexadecimal digits."""
        # JSON can hold half a surrogate pair; it must not stop a pull.
        return hmac.new(self._hash_key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()

    def keycloak_id(self, told: str) -> str:
        """What is kept of Keycloak's id of a person: a UUID or a keyed hash unchanged, else the keyed hash of the id.

        An id from a directory (``f:<uuid>:ada.lovelace``) or from an import can hold a name or an address
        (docs/sources/keycloak.md#an-id-can-hold-a-name). The same id gets the same hash from every source.
        """
        # The prefix makes it differ from every other hash that is made with the key.
        return told if KEYCLOAK_ID.fits(told) else self.keyed_hash(f"keycloak {told}")

    def read(self, address: str | None) -> Address:
        """Hash and kind of an author's address, and the GitLab user id if a noreply address names it."""
        return self._known(address or "")

    def _read(self, address: str) -> Address:
        clear = _normal(address)
        hashed = self.keyed_hash(clear)
        noreply = NOREPLY.fullmatch(clear)
        if noreply and noreply["host"] in self._noreply_hosts:
            return Address(hashed, "noreply", int(noreply["id"]))
        if "[bot]" in clear or ACCESS_TOKEN.match(clear):
            return Address(hashed, "bot")
        return Address(hashed, "shared" if is_shared(clear) else "personal")


def is_shared(clear: str) -> bool:
    """Whether the trimmed, lower-case address is empty, a tool's default, or belongs to nobody for another reason."""
    local, at, domain = clear.rpartition("@")
    # localhost and a container's host name (root@1f2e3d4c5b6a) have no dot.
    nobody = not at or not local or "." not in domain or domain in SHARED_DOMAINS
    return nobody or bool(RESERVED_DOMAINS.fullmatch(domain)) or local == "jovyan" or clear in SHARED_ADDRESSES


def _normal(address: str) -> str:
    return unicodedata.normalize("NFC", address).strip().lower()
