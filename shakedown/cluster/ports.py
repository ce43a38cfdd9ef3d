"""A port on 127.0.0.1 for the cluster's front door."""

import socket

import psutil

from shakedown.verdict import UnusableEnvironment


def choose(wanted: int) -> int:
    """`wanted` where it is free, any free port where it is 0.

    Raises UnusableEnvironment that names who has the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise UnusableEnvironment(
                f"port {wanted} on 127.0.0.1 can't be had for the gateway: {holder(wanted) or error.strerror}; "
                "choose another with --gateway-port, or 0 for any that is free"
            ) from error
        return int(probe.getsockname()[1])


def holder(port: int) -> str:
    """Which process listens there, as far as this user may see."""
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                return "another user's process listens there"
            return f"{psutil.Process(connection.pid).name()} (pid {connection.pid}) listens there"
    return ""
