"""moto: a simulated S3 server in this process, in a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader


@contextmanager
def moto_server(access_key: str, secret_key: str, page_length: int) -> Iterator[str]:
    """Address of a server that lists ``page_length`` keys at a time; it lets everybody in."""
    # It takes a second to load; most tests do without.
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", str(page_length))
        _load_descriptions_once(patch)
        patch.setattr(S3Response, "put_object", _one_at_a_time(S3Response.put_object))
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


def _one_at_a_time(put_object: Callable[[Any], Any]) -> Callable[[Any], Any]:
    # moto looks whether the condition holds, and writes a moment later; AWS does both at once.
    lock = threading.Lock()

    def put_alone(self: Any) -> Any:
        with lock:
            return put_object(self)

    return put_alone


def _load_descriptions_once(patch: pytest.MonkeyPatch) -> None:
    # Each client reads the same megabytes of JSON anew: half of the time of these tests.
    read = JSONFileLoader.load_file
    known: dict[str, Any] = {}

    def load_file(self: JSONFileLoader, file_path: str) -> Any:
        if file_path not in known:
            known[file_path] = read(self, file_path)
        return known[file_path]

    patch.setattr(JSONFileLoader, "load_file", load_file)
