"""Start-up in the real server's order: models first, then gRPC, then HTTP; no port is open before."""

import gc
import threading
import time
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from model_server import config, metrics
from model_server.flags import Flags
from model_server.grpc_services import Services, handlers
from model_server.log import say
from model_server.manager import LoadReport, Manager
from model_server.rest import RestApi, serve
from model_server.runner import Runner
from model_server.status import Code, StatusError, invalid

HEALTH_SERVICES = ("ModelService", "PredictionService")
GRPC_LIMITS = (("grpc.max_receive_message_length", 2**31 - 1), ("grpc.max_send_message_length", -1))


def run(flags: Flags) -> None:
    """Serve until the process is killed; raises StatusError where the server can't start."""
    models = config.models(flags)
    batching = config.batching(flags)
    path_of_metrics = config.prometheus_path(flags)
    credentials = server_credentials(flags)
    gc.freeze()  # what is imported stays: collecting after an unload need not look at it
    loop = uvloop.new_event_loop()

    def report(found: LoadReport) -> None:
        loop.call_soon_threadsafe(record, found)

    manager = Manager(flags, report)
    manager.apply(models)
    runner = Runner(batching, flags.rest_api_num_threads)
    start_manager_threads(manager, flags)
    loop.run_until_complete(open_ports(flags, manager, runner, path_of_metrics, credentials))
    loop.run_forever()


def start_manager_threads(manager: Manager, flags: Flags) -> None:
    """Poll the model store, and the configuration file where that is asked for."""
    if flags.file_system_poll_wait_seconds > 0:
        threading.Thread(target=manager.poll_forever, name="manager", daemon=True).start()
    if flags.model_config_file and flags.model_config_file_poll_wait_seconds > 0:
        threading.Thread(target=poll_config, args=(manager, flags), name="config", daemon=True).start()


def poll_config(manager: Manager, flags: Flags) -> None:
    """Read the configuration file again and again; one that can't be taken over leaves the old one in force."""
    while True:
        time.sleep(flags.model_config_file_poll_wait_seconds)
        try:
            manager.apply(config.models(flags))
        except StatusError as error:
            say(f"PollFilesystemAndReloadConfig failed to ReloadConfig: {error}")


def record(report: LoadReport) -> None:
    """Tell the metrics of one attempt to load."""
    code = report.error.code if report.error else Code.OK
    metrics.load_attempt_count.add((report.folder, "success" if code is Code.OK else "fail"))
    metrics.load_latency.add((report.folder,), int(report.seconds * 1e6))
    if report.warmup_seconds is not None:
        metrics.warmup_latency.observe(report.warmup_seconds * 1e6, (report.folder, code.name))


def server_credentials(flags: Flags) -> grpc.ServerCredentials | None:
    """TLS for gRPC as the SSL configuration has it; REST has none."""
    found = config.ssl(flags)
    if found is None:
        return None
    return grpc.ssl_server_credentials(
        [(found.server_key.encode(), found.server_cert.encode())],
        root_certificates=found.custom_ca.encode() or None,
        require_client_auth=found.client_verify,
    )


def channel_arguments(text: str) -> list[tuple[str, Any]]:
    """`key=value,key=value` for gRPC, whole numbers as numbers; raises StatusError where a value is missing."""
    arguments: list[tuple[str, Any]] = []
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise invalid(f"grpc_channel_arguments has '{pair}', wanted key=value")
        arguments.append((key, int(value) if value.lstrip("-").isdigit() else value))
    return arguments


async def open_ports(
    flags: Flags,
    manager: Manager,
    runner: Runner,
    path_of_metrics: str | None,
    credentials: grpc.ServerCredentials | None,
) -> None:
    """Open gRPC, then HTTP; raises StatusError where gRPC's port is taken."""
    options = [*GRPC_LIMITS, *channel_arguments(flags.grpc_channel_arguments)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(handlers(Services(manager, runner)))
    if flags.enable_grpc_healthcheck_service:
        await add_health(server)
    addresses = [f"0.0.0.0:{flags.port}"] if flags.port else []
    if flags.grpc_socket_path:
        addresses.append(f"unix:{flags.grpc_socket_path}")
    for address in addresses:
        try:
            bound = add_port(server, address, credentials)
        except RuntimeError as error:
            raise invalid("Failed to BuildAndStart gRPC server") from error
        if not bound:
            raise invalid("Failed to BuildAndStart gRPC server")
    await server.start()
    keep_alive.append(server)
    say(f"Running gRPC ModelServer at {', '.join(addresses)} ...")
    if flags.rest_api_port:
        await open_rest(flags, manager, runner, path_of_metrics)


# the gRPC server stops when nobody refers to it any more
keep_alive: list[grpc.aio.Server] = []


def add_port(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    """Bind one address; 0 where that failed. The socket file is as open as the port: no TLS on it."""
    if credentials and not address.startswith("unix:"):
        return server.add_secure_port(address, credentials)
    return server.add_insecure_port(address)


async def add_health(server: grpc.aio.Server) -> None:
    """The gRPC health service, with the names that the real server gives its services."""
    servicer = HealthServicer()
    for name in HEALTH_SERVICES:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)


async def open_rest(flags: Flags, manager: Manager, runner: Runner, path_of_metrics: str | None) -> None:
    """Open the HTTP port; as upstream, a port that is taken is logged and gRPC serves on."""
    if flags.rest_api_port == flags.port:
        say("server_options.http_port cannot be same as grpc_port. Skipped exporting HTTP/REST API.")
        return
    api = RestApi(
        manager,
        runner,
        timeout_s=flags.rest_api_timeout_in_ms / 1e3,
        path_of_metrics=path_of_metrics,
        cors=flags.rest_api_enable_cors_support,
    )
    try:
        await serve(api, flags.rest_api_port)
    except OSError as error:
        say(f"Failed to start HTTP Server at localhost:{flags.rest_api_port}: {error}")
        return
    say(f"Exporting HTTP/REST API at:localhost:{flags.rest_api_port} ...")
