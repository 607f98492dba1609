"""TLS of a connection, controlled by its program: the counterpart of z/OS's SIOCTTLSCTL.

    import attls
    attls.control(sock, attls.INIT_CONNECTION)      # TLS from here on; the program goes on sending plain bytes
    attls.query(sock)["connection"]                 # "Secure"

The policy's rule for the connection must say ApplicationControlled On. Errors are OSError with z/OS's errno; their `reason` is
its junior (JrConnDeniedPolicy and so on) where there is one.
"""

import errno
import http.client
import json
import os
import socket

INIT_CONNECTION = "INIT_CONNECTION"
ALLOW_HSTIMEOUT = "ALLOW_HSTIMEOUT"
RESET_SESSION = "RESET_SESSION"
RESET_CIPHER = "RESET_CIPHER"
STOP_CONNECTION = "STOP_CONNECTION"

DAEMON = "/run/pagent/pagent.sock"


class _Connection(http.client.HTTPConnection):
    """HTTP to the daemon's socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ.get("ATTLS_DAEMON", DAEMON))


def _end(address):
    host, port = address[0].partition("%")[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def control(connection, *requests, certificate=False):
    """Carries out requests on a connected TCP socket, and returns how the connection stands: a dictionary with policy,
    connection, rule, environment, protocol, cipher, key_share, security_type, fips140, userid (whom the
    partner's certificate stands for under SAFCheck) and certificate (PEM, if wanted). Waits for the handshake."""
    wanted = {
        "local": _end(connection.getsockname()),
        "remote": _end(connection.getpeername()),
        "requests": list(requests),
        "certificate": certificate,
    }
    daemon = _Connection("pagent")
    try:
        daemon.request("POST", "/v1/ttls", json.dumps(wanted), {"Content-Type": "application/json"})
        response = daemon.getresponse()
        answer = json.loads(response.read())
    finally:
        daemon.close()
    if response.status != 200:
        number = getattr(errno, answer.get("errno", ""), errno.EIO)
        error = OSError(number, answer.get("error", "the daemon refuses"))
        error.reason = answer.get("reason", "")
        raise error
    return answer


def query(connection, certificate=False):
    """How the connection stands."""
    return control(connection, certificate=certificate)
