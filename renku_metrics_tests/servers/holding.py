"""What stands between a client and a server, and holds back what the client sends until it is let go."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

BLOCK_BYTES = 65536
# So small that what is held stays with the client's system.
RECEIVED_BYTES = 4096
LONGEST_ANSWER_SECONDS = 30


class Holding:
    """An address that stands for the server's; once it is told to hold, it passes nothing on from the next PUT on.

    What was sent is held where it is, as by a network that is down: by the client's own system, but for the first
    bytes. With ``swallow`` it is held behind the client's back, as by a proxy: the client can take nothing back.
    """

    def __init__(self, server: str) -> None:
        self._server = (urlsplit(server).hostname, urlsplit(server).port)
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._clients: list[socket.socket] = []
        self._held: list[threading.Thread] = []
        self._swallow = False
        self._armed = False
        self._open = threading.Event()
        self._open.set()
        self.held = threading.Event()
        self.puts = 0

    def hold(self, *, swallow: bool) -> None:
        """From the next PUT on nothing passes."""
        self._swallow = swallow
        self._armed = True

    def let_go(self) -> None:
        """What was held reaches the server, if it can still be had; returns when the server has done with it."""
        assert self._held, "nothing was held"
        self._armed = False
        self._open.set()
        for thread in self._held:
            thread.join(timeout=LONGEST_ANSWER_SECONDS)
            assert not thread.is_alive(), "what was held has not been answered"

    def accept(self) -> None:
        """Serves until it is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=[client])
                self._threads.append(thread)
                self._clients.append(client)
                thread.start()

    def close(self) -> None:
        """Ends all connections."""
        self._open.set()
        # Wakes up who waits.
        for each in (self._listener, *self._clients):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            back = threading.Thread(target=self._answer, args=[server, client, threading.current_thread()])
            back.start()
            with suppress(OSError):
                while block := client.recv(BLOCK_BYTES):
                    if block.startswith(b"PUT "):
                        self.puts += 1
                        if self._armed:
                            self._open.clear()
                    if not self._open.is_set():
                        self._held.append(threading.current_thread())
                        self.held.set()
                        if self._swallow:
                            block += _rest(client)
                    self._open.wait()
                    server.sendall(block)
            with suppress(OSError):
                # The server answers what it has got.
                server.shutdown(socket.SHUT_WR)
            back.join()

    def _answer(self, server: socket.socket, client: socket.socket, serving: threading.Thread) -> None:
        with suppress(OSError):
            while block := server.recv(BLOCK_BYTES):
                # Who was held has given up; an answer would only tell its system to send no more.
                if serving not in self._held:
                    client.sendall(block)
        if serving not in self._held:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


def _rest(source: socket.socket) -> bytes:
    blocks = []
    with suppress(OSError):
        while block := source.recv(BLOCK_BYTES):
            blocks.append(block)
    return b"".join(blocks)


@contextmanager
def holding(server: str) -> Iterator[Holding]:
    """The server at the address, reached through a connection that holds back what it is told to."""
    between = Holding(server)
    thread = threading.Thread(target=between.accept)
    thread.start()
    try:
        yield between
    finally:
        between.close()
        thread.join()
