"""`make bench`: what a prediction costs the model server, beside one call of the same graph in process, in one run.

Each figure is of one digit per request over loopback. CPU is the server process's own, user and system; the client is
another process, so that on few cores the latencies are those of server and client together.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import numpy as np
from numpy.typing import NDArray

from models.build import bundle
from models.golden import Golden

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = (1, 8, 64)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
START_S = 120.0
MIB = 2**20
SLOPE_FROM = 20_000  # requests before memory is expected to be level
SESSION_CALLS = 5_000

Ask = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Load:
    """One protocol at one number of clients: latencies and CPU in milliseconds."""

    protocol: str
    clients: int
    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


class Server:
    """The server under measurement."""

    def __init__(self) -> None:
        self.rest, self.grpc = free_port(), free_port()
        flags = [f"--port={self.grpc}", f"--rest_api_port={self.rest}", "--model_name=digits"]
        command = [sys.executable, "-m", "model_server.main", *flags, f"--model_base_path={bundle() / 'digits'}"]
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)

    def cpu_s(self) -> float:
        """User and system time since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_mib(self) -> float:
        """Memory it holds now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE / MIB

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def first_answer(ask: Ask, server: Server) -> float:
    """Seconds from the process's start to its first answer; raises TimeoutError where none comes."""
    while time.monotonic() - server.started < START_S:
        try:
            await ask()
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.02)
        else:
            return time.monotonic() - server.started
    raise TimeoutError(f"no answer within {START_S} s of the start")


async def measure(protocol: str, ask: Ask, clients: int, requests: int, server: Server) -> Load:
    """Send `requests` from so many clients, each with one under way at a time."""
    latencies: list[float] = []

    async def client() -> None:
        for _ in range(requests // clients):
            started = time.perf_counter()
            await ask()
            latencies.append(time.perf_counter() - started)

    cpu, started = server.cpu_s(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    elapsed, cpu = time.perf_counter() - started, server.cpu_s() - cpu
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    count = len(latencies)
    return Load(protocol, clients, count, count / elapsed, float(p50), float(p99), cpu / count * 1e3)


SESSION_CALL = """
import sys, time
from pathlib import Path
from model_server import slim
slim.install()
import numpy as np
from model_server.servable import Servable
servable = Servable("digits", 2, Path(sys.argv[1]), ["serve"])
signature = servable.signatures["serving_default"]
call = servable.call((signature.inputs["image"].name,), (signature.outputs["probabilities"].name,))
image = np.full((1, 784), 0.5, np.float32)
for _ in range(500):
    call([image], 1)
started = time.process_time()
for _ in range(int(sys.argv[2])):
    call([image], 1)
print((time.process_time() - started) / int(sys.argv[2]) * 1e3)
"""


def session_call_ms() -> float:
    """CPU of one warm call of the same graph in a process of its own."""
    command = [sys.executable, "-c", SESSION_CALL, str(bundle() / "digits" / "2"), str(SESSION_CALLS)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


async def memory_slope(asks: list[Ask], count: int, server: Server) -> dict[str, float]:
    """Send `count` requests over both protocols; MiB per 10,000 requests after the first 20,000, by least squares."""
    points: list[tuple[int, float]] = []
    sent = 0

    async def client(ask: Ask) -> None:
        nonlocal sent
        while sent < count:
            sent += 1
            await ask()
            if sent % 2_000 == 0 and sent >= SLOPE_FROM:
                points.append((sent, server.resident_mib()))

    await asyncio.gather(*(client(ask) for ask in asks for _ in range(8)))
    slope = np.polyfit([count for count, _ in points], [mib for _, mib in points], 1)[0] * 10_000
    return {"requests": sent, "errors": 0, "mib_per_10000_requests": float(slope)}


async def run(requests: int, memory_requests: int) -> dict[str, object]:
    """All measurements; any answer that is an error ends the run."""
    image = Golden.load(bundle()).images[0]
    body = json.dumps({"instances": [image.tolist()]}).encode()
    message = grpc_request(image)
    server = Server()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc}")
        call: Any = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

        async def rest() -> None:
            url = f"http://127.0.0.1:{server.rest}/v1/models/digits:predict"
            async with http.post(url, data=body, raise_for_status=True) as answer:
                await answer.read()

        async def over_grpc() -> None:
            await call(message)

        try:
            start = {"start_to_first_answer_s": await first_answer(rest, server), "start_cpu_s": server.cpu_s()}
            loads = [
                await measure(protocol, ask, clients, requests, server)
                for clients in CLIENTS
                for protocol, ask in (("rest", rest), ("grpc", over_grpc))
            ]
            memory = await memory_slope([rest, over_grpc], memory_requests, server) if memory_requests else {}
            return {**start, "loads": loads, "resident_mib": server.resident_mib(), **memory}
        finally:
            await channel.close()
            server.stop()


def grpc_request(image: NDArray[np.float32]) -> bytes:
    """A predict request as bytes, so that the client costs little."""
    from tensorflow.core.framework import tensor_pb2, types_pb2  # noqa: PLC0415  # after slim.install()
    from tensorflow_serving.apis import predict_pb2  # noqa: PLC0415

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "digits"
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=image.tobytes())
    for size in (1, len(image)):
        proto.tensor_shape.dim.add(size=size)
    request.inputs["image"].CopyFrom(proto)
    done: bytes = request.SerializeToString()
    return done


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.model_server", description=main.__doc__)
    parser.add_argument("--requests", type=int, default=6_400, help="per protocol and number of clients")
    parser.add_argument("--memory-requests", type=int, default=0, help="for the slope of memory; 200000 to prove it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from model_server import slim  # noqa: PLC0415  # the client needs the protos only

    slim.install()
    session = session_call_ms()
    found = asyncio.run(run(options.requests, options.memory_requests))
    loads: list[Load] = found.pop("loads")  # type: ignore[assignment]
    if options.json:
        print(json.dumps({"session_call_ms": session, **found, "loads": [asdict(load) for load in loads]}, indent=2))
        return
    print(f"warm session call in process: {session:.3f} ms of CPU")
    for name, value in found.items():
        print(f"{name}: {value:.2f}")
    print("protocol clients requests   per s   p50 ms   p99 ms   CPU ms   x session call")
    for load in loads:
        print(
            f"{load.protocol:8} {load.clients:7} {load.requests:8} {load.per_second:7.0f} {load.p50_ms:8.2f}"
            f" {load.p99_ms:8.2f} {load.cpu_ms:8.3f} {load.cpu_ms / session:16.1f}"
        )


if __name__ == "__main__":
    main()
