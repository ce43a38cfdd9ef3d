"""An HTTP server that costs next to nothing: each request gets one prepared answer. Load is measured on it."""

import argparse
import asyncio
from dataclasses import dataclass

END = b"\r\n\r\n"


@dataclass
class Answering:
    """How it answers: `body` with the status `code`, `delay` seconds after the request came."""

    body: bytes
    code: int = 200
    delay: float = 0.0

    def answer(self) -> bytes:
        """The whole answer."""
        head = f"HTTP/1.1 {self.code} Said\r\nContent-Type: application/json\r\nContent-Length: {len(self.body)}"
        return head.encode() + END + self.body


class Connection(asyncio.Protocol):
    """One client's connection, kept open."""

    def __init__(self, answering: Answering) -> None:
        self.answering, self.read = answering, b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a stream server is given
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self.read += data
        while END in self.read:
            head, _, rest = self.read.partition(END)
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
            )
            if len(rest) < length:
                return
            self.read = rest[length:]
            if self.answering.delay:
                asyncio.get_running_loop().call_later(self.answering.delay, self.send)
            else:
                self.send()

    def send(self) -> None:
        """Send the prepared answer."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(self.answering.answer())


async def serve(answering: Answering, port: int = 0) -> asyncio.Server:
    """Listen on 127.0.0.1; port 0 chooses a free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(answering), "127.0.0.1", port, backlog=1024)


async def main() -> None:
    """Serve until killed, and say on which port."""
    parser = argparse.ArgumentParser(prog="python -m bench.null_server")
    parser.add_argument("body", help="of every answer")
    server = await serve(Answering(parser.parse_args().body.encode()))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
