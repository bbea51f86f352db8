"""A proxy that cuts connections instead of handing on answers to Produce: the records are stored, and nobody knows."""

import socket
import threading
from collections import deque
from contextlib import suppress
from types import TracebackType

PRODUCE = 0


def read_exactly(source: socket.socket, size: int) -> bytes:
    """The next bytes; an error if the connection ends before."""
    data = b""
    while len(data) < size:
        chunk = source.recv(size - len(data))
        if not chunk:
            raise ConnectionError
        data += chunk
    return data


def read_frame(source: socket.socket) -> bytes:
    """The next frame, with its size."""
    size = read_exactly(source, 4)
    return size + read_exactly(source, int.from_bytes(size, "big"))


def end(*sockets: socket.socket) -> None:
    """Ends connections, so that whoever reads from them notices; closing them would not wake a reader."""
    for it in sockets:
        with suppress(OSError):
            it.shutdown(socket.SHUT_RDWR)


class CuttingProxy:
    """Stands before a broker; the first `cuts` answers to Produce never arrive."""

    def __init__(self, cuts: int) -> None:
        """Listens at once, so that a broker can advertise the port; `broker_port` is set later."""
        self.cuts = cuts
        self.broker_port = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "CuttingProxy":
        """Begins to accept."""
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: tuple[type[BaseException], BaseException, TracebackType]) -> None:
        """Ends with the connections, which the client has closed by now."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                broker = socket.create_connection(("127.0.0.1", self.broker_port))
                asked: deque[int] = deque()
                self._spawn(self._requests, client, broker, asked)
                self._spawn(self._answers, client, broker, asked)

    def _requests(self, client: socket.socket, broker: socket.socket, asked: deque[int]) -> None:
        with suppress(OSError):
            while True:
                frame = read_frame(client)
                asked.append(int.from_bytes(frame[4:6], "big"))
                broker.sendall(frame)
        end(client, broker)

    def _answers(self, client: socket.socket, broker: socket.socket, asked: deque[int]) -> None:
        with suppress(OSError):
            while True:
                frame = read_frame(broker)
                if asked.popleft() == PRODUCE and self.cuts > 0:
                    self.cuts -= 1
                    break
                client.sendall(frame)
        end(client, broker)
