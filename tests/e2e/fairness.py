"""Floods, small messages beside them, and a receiver that waits before it reads."""

import hashlib
import os
import select
import signal
import socket
import ssl
import struct
import sys
import threading
import time

FLOOD = os.urandom(65536)
MESSAGES = 200
MOVED = 16 << 20
LONGEST = 40
AMOUNT = 64 << 20


def server_context(pem):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def serve(connection, context):
    """Echoes, or floods while it takes what comes; at the end it tells how old the oldest message was on its arrival."""
    connection = context.wrap_socket(connection, server_side=True)
    manner = connection.recv(1)
    while manner == b"e" and (message := connection.recv(8)):
        connection.sendall(message)
    slowest, came = 0.0, b""
    connection.setblocking(False)
    while manner != b"e":
        try:
            piece = connection.recv(65536)
            if not piece:
                break
            if manner == b"m":
                came += piece
                while len(came) >= 8:
                    slowest = max(slowest, time.monotonic() - struct.unpack("d", came[:8])[0])
                    came = came[8:]
        except ssl.SSLWantReadError:
            pass
        try:
            connection.send(FLOOD)
        except ssl.SSLWantWriteError:
            select.select([connection], [connection], [])
    connection.setblocking(True)
    if manner != b"e":
        connection.sendall(FLOOD)  # OpenSSL wants a write that was begun to be made again
    connection.sendall(struct.pack("d", slowest))
    connection.unwrap()


def server(pem):
    context = server_context(pem)
    listener = socket.create_server(("", 7000))
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0], context), daemon=True).start()


class Flooded(threading.Thread):
    """A connection that is flooded, and floods too if it shall."""

    def __init__(self, address, manner, floods):
        super().__init__(daemon=True)
        self.connection = socket.create_connection((address, 7000), 2 * LONGEST)
        self.connection.sendall(manner)
        self.moved, self.last, self.ended = 0, b"", False
        self.start()
        self.flooder = threading.Thread(target=self.flood, daemon=True) if floods else None
        if self.flooder:
            self.flooder.start()

    def run(self):
        while piece := self.connection.recv(65536):
            self.moved += len(piece)
            self.last = (self.last + piece)[-8:]

    def flood(self):
        while not self.ended:
            self.connection.sendall(FLOOD)

    def end(self):
        """Gives what the server told at the end."""
        self.ended = True
        if self.flooder:
            self.flooder.join()
        self.connection.shutdown(socket.SHUT_WR)
        self.join()
        return struct.unpack("d", self.last)[0]


def messages(address, flood):
    flooded = Flooded(address, b"m" if flood == "against" else b"f", flood == "beside both ways")
    beside = socket.create_connection((address, 7000), 2 * LONGEST)
    beside.sendall(b"e")
    begun, count, slowest = time.monotonic(), 0, 0.0
    while (count < MESSAGES or flooded.moved < MOVED) and time.monotonic() - begun < LONGEST:
        now = time.monotonic()
        if flood == "against":
            flooded.connection.sendall(struct.pack("d", now))
        else:
            beside.sendall(struct.pack("d", now))
            beside.recv(8, socket.MSG_WAITALL)
            slowest = max(slowest, time.monotonic() - now)
        count += 1
        time.sleep(0.005)
    moved = flooded.moved
    slowest = max(slowest, flooded.end())
    print(f"{moved / 2**20:.0f} {slowest:.3f} {count}")


def receiver(port, pem):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    connection, _ = socket.create_server(("", port)).accept()
    if pem:
        connection = server_context(pem).wrap_socket(connection, server_side=True)
    signal.sigwait([signal.SIGUSR1])
    digest = hashlib.sha256()
    while piece := connection.recv(65536):
        digest.update(piece)
    if pem:
        connection.unwrap()
    print("sha256", digest.hexdigest())


def sender(address, port, secures):
    connection = socket.create_connection((address, port), 20)
    if secures:
        connection = ssl._create_unverified_context().wrap_socket(connection)
    connection.settimeout(2)
    digest, sent, stalled = hashlib.sha256(), 0, False
    while sent < AMOUNT:
        try:
            taken = connection.send(FLOOD)
        except TimeoutError:
            if not stalled:
                print("stalled behind", sent >> 20, "MiB", flush=True)
            stalled = True
            continue
        digest.update(FLOOD[:taken])
        sent += taken
    connection.settimeout(20)
    if secures:
        connection.unwrap()
    else:
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    print("sha256", digest.hexdigest())


match sys.argv[1:]:
    case ["server", pem]:
        server(pem)
    case ["messages", address, flood]:
        messages(address, flood)
    case ["receiver", port, pem]:
        receiver(int(port), pem)
    case ["sender", address, port, secures]:
        sender(address, int(port), secures)
