"""What gives credentials to the programs of a machine or a container, as AWS's metadata services do."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "the-token-of-a-session"
ROLE = "/latest/meta-data/iam/security-credentials"
# To whom the access key of this name is given, and by which header they prove it.
ACCESS = {
    f"{ROLE}/renku": ("OF-THE-INSTANCE", "X-aws-ec2-metadata-token", TOKEN),
    "/container": ("OF-THE-CONTAINER", "Authorization", None),
    "/pod": ("OF-THE-POD", "Authorization", "the-token-of-a-pod"),
}


@contextmanager
def metadata_server() -> Iterator[str]:
    """Address of one on the loopback interface."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metadata)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def credentials(access_key: str) -> dict[str, str]:
    """What the services answer, and programs of credentials print."""
    expiration = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    return {
        "Code": "Success",
        "AccessKeyId": access_key,
        "SecretAccessKey": "secret",
        "Token": f"token-{access_key}",
        "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "LastUpdated": "2026-11-01T00:00:00Z",
    }


class _Metadata(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self._answer(200 if self.path == "/latest/api/token" else 404, TOKEN)

    def do_GET(self) -> None:
        if self.path == f"{ROLE}/":
            self._answer(200, "renku")
            return
        access_key, header, proof = ACCESS[self.path]
        allowed = self.headers.get(header) == proof
        self._answer(200 if allowed else 401, json.dumps(credentials(access_key)) if allowed else "")

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""
