"""Load for a soak: connections of many manners, in clear text or TLS, each direction's bytes compared by SHA-256.

A client says its manner and how many bytes go up and down. The server sends its own bytes, their hash, and the hash of what
it got; then it closes.
"""

import collections
import hashlib
import http.server
import json
import os
import random
import select
import socket
import ssl
import struct
import sys
import threading
import time

HEADER = struct.Struct("!cQQ")
# What is sent at once, and the pause behind it.
PACES = {
    b"short": (2000, 0),
    b"bulk": (65536, 0),
    b"drip": (1, 0.002),
    b"half": (16384, 0),
    b"long": (4096, 0.1),
    b"abort": (16384, 0),
}
MANNERS = {manner[:1]: manner for manner in PACES}
WEIGHTS = [50, 8, 10, 15, 0, 11]
# Workers that have long connections and no others.
LONG = 2
PATIENCE = 60


class Cut(Exception):
    pass


class Link:
    """Both directions of a connection at once, in clear text or TLS, each of which can be closed alone."""

    def __init__(self, plain, context=None, server=False):
        self.plain = plain
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.came, self.leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server else "server.example"
        self.tls = context.wrap_bio(self.came, self.leaves, server, name) if context else None
        self.ready, self.ended, self.closing = not self.tls, False, False
        self.outgoing = b""
        if self.tls and not server:
            self.decrypted()

    def send(self, data):
        if self.tls:
            self.tls.write(data)
        else:
            self.outgoing += data

    def close_half(self):
        self.closing = True
        if self.tls:
            try:
                self.tls.unwrap()
            except ssl.SSLWantReadError:
                pass

    def idle(self):
        """Whether more can be sent."""
        return self.ready and not self.outgoing and self.closing is False

    def step(self, pause):
        """Moves what can be moved, waits otherwise, and gives what came."""
        self.outgoing += self.leaves.read()
        if self.closing and not self.outgoing:
            if not self.tls:
                self.plain.shutdown(socket.SHUT_WR)
            self.closing, pause = None, 0
        writes = [self.plain] if self.outgoing else []
        readable, writable, _ = select.select([] if self.ended else [self.plain], writes, [], pause)
        if writable:
            self.outgoing = self.outgoing[self.plain.send(self.outgoing) :]
        if not readable:
            return b""
        data = self.plain.recv(65536)
        if not self.tls:
            self.ended = not data
            return data
        self.came.write(data) if data else self.came.write_eof()
        return self.decrypted()

    def decrypted(self):
        heard = b""
        try:
            if not self.ready:
                self.tls.do_handshake()
                self.ready = True
            while piece := self.tls.read(65536):
                heard += piece
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return heard

    def close(self):
        """Sends what is left, and waits for the other side's end."""
        if self.closing is False:
            self.close_half()
        end = time.monotonic() + PATIENCE
        while self.outgoing or self.leaves.pending or self.closing or not self.ended:
            self.step(1)
            if time.monotonic() > end:
                raise Cut("the other side does not close")
        self.plain.close()


def pieces(total, size, digest):
    while total > 0:
        piece = os.urandom(min(size, total))
        digest.update(piece)
        total -= len(piece)
        yield piece


def exchange(link, manner, outgoing, heard, finished):
    """Sends at the manner's pace and hears, until `finished`."""
    pause, next_at, last = PACES[manner][1], 0, time.monotonic()
    while not finished():
        now = time.monotonic()
        if outgoing is not None and link.idle() and now >= next_at:
            piece = next(outgoing, None)
            if piece is None:
                outgoing = None
                continue
            link.send(piece)
            next_at = now + pause
        wait = max(0, next_at - now) if outgoing is not None and link.idle() else 1
        data = link.step(wait)
        if data:
            heard(data)
        if data or link.outgoing == b"" and outgoing is not None:
            last = time.monotonic()
        if time.monotonic() - last > PATIENCE:
            raise Cut("nothing moves")


def serve(plain, context):
    link, manner = Link(plain, context, server=True), b"abort"
    came, digests = bytearray(), (hashlib.sha256(), hashlib.sha256())
    try:
        while len(came) < HEADER.size:
            came += link.step(PATIENCE)
            if link.ended and len(came) < HEADER.size:
                raise Cut("ended before its header")
        code, up, down = HEADER.unpack(came[: HEADER.size])
        manner = MANNERS[code]
        digests[0].update(came[HEADER.size :])
        got, sent = len(came) - HEADER.size, False

        def heard(data):
            nonlocal got
            digests[0].update(data)
            got += len(data)

        def outgoing():
            nonlocal sent
            yield from pieces(down, PACES[manner][0], digests[1])
            yield digests[1].digest()
            sent = True

        def finished():
            return sent and link.idle() and (link.ended or got == up and manner != b"half")

        exchange(link, manner, outgoing(), heard, finished)
        if got != up and manner != b"abort":
            raise Cut(f"{got} of {up} bytes came")
        link.send(digests[0].digest())
        link.close()
    except (OSError, Cut) as error:
        if manner != b"abort":
            print("CUT", manner.decode(), repr(error), flush=True)
        plain.close()


def server(port, pem):
    listener, context = socket.create_server(("", port), backlog=1000), server_context(pem)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0], context), daemon=True).start()


def server_context(pem):
    if not pem:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def size(manner, longest):
    return {
        b"short": lambda: random.randint(0, 2000),
        b"bulk": lambda: random.randint(1 << 20, 4 << 20),
        b"drip": lambda: random.randint(1, 300),
        b"half": lambda: random.randint(0, 300_000),
        b"long": lambda: int(40_960 * random.uniform(1, longest)),
        b"abort": lambda: random.randint(100_000, 1_000_000),
    }[manner]()


def client(address, port, context, manner, longest):
    """One connection; gives how many bytes were compared."""
    up, down = size(manner, longest), size(manner, longest)
    plain = socket.create_connection((address, port), 20)
    link = Link(plain, context)
    if manner == b"abort":
        up_now = random.randint(0, up)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        up_now = up
    digest, heard, sent = hashlib.sha256(), bytearray(), False

    def outgoing():
        nonlocal sent
        yield HEADER.pack(manner[:1], up, down)
        yield from pieces(up_now, PACES[manner][0], digest)
        if manner == b"half":
            link.close_half()
        sent = True

    try:
        if manner == b"abort":
            exchange(link, manner, outgoing(), heard.extend, lambda: sent)
            return 0
        exchange(link, manner, outgoing(), heard.extend, lambda: link.ended)
        if len(heard) != down + 64:
            raise Cut(f"{len(heard)} of {down + 64} bytes came")
        if hashlib.sha256(heard[:down]).digest() != heard[down : down + 32]:
            raise Cut("what came is not what was sent")
        if digest.digest() != heard[down + 32 :]:
            raise Cut("what arrived is not what was sent")
        link.close()
        return up + down
    finally:
        plain.close()


def clients(address, port, seconds, workers, authority):
    contexts = [None]
    if authority:
        contexts = [ssl.create_default_context(cafile=authority) for _ in range(2)]
        contexts[0].maximum_version = ssl.TLSVersion.TLSv1_2
        contexts[1].minimum_version = ssl.TLSVersion.TLSv1_3
    end, counts, failures, compared = time.monotonic() + seconds, collections.Counter(), [], [0]
    lock = threading.Lock()

    def work(number):
        while (left := end - time.monotonic()) > 0:
            manner = b"long" if number < LONG else random.choices(list(PACES), WEIGHTS)[0]
            try:
                done = client(address, port, random.choice(contexts), manner, min(max(2, seconds / 3), left + 1))
                with lock:
                    counts[manner.decode()] += 1
                    compared[0] += done
            except ConnectionRefusedError:
                # It never began, so nothing of it was cut.
                with lock:
                    counts["refused"] += 1
            except Exception as error:
                with lock:
                    failures.append(f"{manner.decode()}: {error!r}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"counts": counts, "bytes": compared[0], "failures": failures}))


class Echo(http.server.BaseHTTPRequestHandler):
    """Gives back what was posted."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Web(http.server.ThreadingHTTPServer):
    context = None

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(PATIENCE)
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def shutdown_request(self, request):
        try:
            if self.context:
                request.unwrap()
        except OSError:
            pass
        super().shutdown_request(request)


def web(port, pem):
    Web.context = server_context(pem)
    Web(("", port), Echo).serve_forever()


match sys.argv[1:]:
    case ["server", port, pem]:
        server(int(port), pem)
    case ["web", port, pem]:
        web(int(port), pem)
    case ["clients", address, port, seconds, workers, authority]:
        clients(address, int(port), float(seconds), int(workers), authority)
