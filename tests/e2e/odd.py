"""A TLS peer that does odd things, and says what it hears: alerts, the answer's last line, and the end."""

import hmac
import socket
import ssl
import struct
import sys
import tempfile
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHANGE, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
# user_canceled, the one warning that TLS 1.3 has.
WARNING, HANDSHAKE_FAILURE = bytes([1, 90]), bytes([2, 40])
REQUEST = b'GET / HTTP/1.0\r\n\r\n'
# SSL_OP_NO_EXTENDED_MASTER_SECRET: the keys of TLS 1.2 do not depend on the bytes of the hello.
NO_EXTENDED_MASTER_SECRET = 1


def record(kind, payload, version=0x0303):
    return struct.pack('>BHH', kind, version, len(payload)) + payload


def records(data):
    while len(data) >= 5:
        length = int.from_bytes(data[3:5], 'big')
        yield data[0], data[:5], data[5:5 + length]
        data = data[5 + length:]


def in_pieces(data, size):
    return [data[start:start + size] for start in range(0, len(data), size)]


def expand(secret, label, length):
    """HKDF-Expand-Label of TLS 1.3, up to one block."""
    label = b'tls13 ' + label
    return hmac.digest(secret, struct.pack('>HB', length, len(label)) + label + b'\0\1', 'sha384')[:length]


def prf(secret, seed, length):
    """The pseudorandom function of TLS 1.2."""
    block, out = seed, b''
    while len(out) < length:
        block = hmac.digest(secret, block, 'sha384')
        out += hmac.digest(secret, block + seed, 'sha384')
    return out[:length]


class Keys:
    """One direction of a connection, AES-256-GCM."""

    def __init__(self, key, iv, sequence, tls13):
        self.cipher, self.iv, self.sequence, self.tls13 = AESGCM(key), iv, sequence, tls13

    def count(self):
        self.sequence += 1
        return (self.sequence - 1).to_bytes(8, 'big')

    def nonce13(self, number):
        return (int.from_bytes(self.iv, 'big') ^ int.from_bytes(number, 'big')).to_bytes(12, 'big')

    def seal(self, kind, plain):
        number = self.count()
        if self.tls13:
            header = struct.pack('>BHH', DATA, 0x0303, len(plain) + 17)
            return header + self.cipher.encrypt(self.nonce13(number), plain + bytes([kind]), header)
        about = number + struct.pack('>BHH', kind, 0x0303, len(plain))
        return record(kind, number + self.cipher.encrypt(self.iv + number, plain, about))

    def open(self, kind, header, payload):
        number = self.count()
        if self.tls13:
            plain = self.cipher.decrypt(self.nonce13(number), payload, header).rstrip(b'\0')
            return plain[-1], plain[:-1]
        about = number + struct.pack('>BHH', kind, 0x0303, len(payload) - 24)
        return kind, self.cipher.decrypt(self.iv + payload[:8], payload[8:], about)


class Peer:
    def __init__(self, connection):
        self.socket, self.theirs, self.data = connection, None, b''
        self.socket.settimeout(10)

    def send(self, *pieces):
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except ConnectionError:
            pass  # What was said before is still heard.

    def heard(self):
        """Everything up to the end of the connection."""
        end = 'closed'
        try:
            while piece := self.socket.recv(65536):
                self.data += piece
        except TimeoutError:
            end = 'still open'
        except ConnectionError:
            pass
        said = []
        for kind, header, payload in records(self.data):
            if self.theirs and kind != CHANGE:
                try:
                    kind, payload = self.theirs.open(kind, header, payload)
                except InvalidTag:
                    payload = b'not encrypted with the keys'
            if kind == ALERT:
                said.append('alert ' + ' '.join(str(number) for number in payload))
            elif kind == DATA:
                said.append(payload.decode(errors='replace').splitlines()[-1])
        return ', '.join(said + [end])


class Client(Peer):
    def __init__(self, target, version):
        if target.startswith('/'):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(target)
        else:
            host, port = target.rsplit(':', 1)
            connection = socket.create_connection((host, int(port)), 5)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(connection)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = ssl.TLSVersion['TLSv1_' + version]
        context.set_ciphers('ECDHE-ECDSA-AES256-GCM-SHA384')
        context.options |= NO_EXTENDED_MASTER_SECRET
        self.secrets = tempfile.NamedTemporaryFile('r')
        context.keylog_filename = self.secrets.name
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname='server.example')
        self.tls13, self.flight = version == '3', b''

    def step(self):
        """What the handshake sends next."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def hear_flight(self):
        """Reads until the handshake has an answer."""
        while True:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError
            self.flight += piece
            self.incoming.write(piece)
            if answer := self.step():
                return answer

    def keys(self):
        """The keys after the handshake."""
        logged = dict((line.split()[0], line.split()[1:]) for line in self.secrets if not line.startswith('#'))
        if self.tls13:
            return [
                Keys(expand(secret, b'key', 32), expand(secret, b'iv', 12), 0, True)
                for secret in (bytes.fromhex(logged[name + '_TRAFFIC_SECRET_0'][1]) for name in ('CLIENT', 'SERVER'))
            ]
        ours, master = (bytes.fromhex(word) for word in logged['CLIENT_RANDOM'])
        block = prf(master, b'key expansion' + self.flight[11:43] + ours, 72)
        return [Keys(block[:32], block[64:68], 1, False), Keys(block[32:64], block[68:], 1, False)]

    def shake(self, hello=None):
        """A whole handshake; `hello` are the pieces that go out first."""
        first = self.step()
        self.send(*(hello(first) if hello else [first]))
        self.send(self.hear_flight())
        if not self.tls13:
            while True:
                try:
                    self.incoming.write(self.socket.recv(65536))
                    self.tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    pass
        self.ours, self.theirs = self.keys()
        return self

    def say(self, *plain, kind=DATA):
        self.send(*(self.ours.seal(kind, piece) for piece in plain))

    def ask(self):
        self.say(REQUEST)

    def word(self):
        """A first word, which the program has when it says yes."""
        self.say(b'word')
        answer = len(b'yes') + (17 if self.tls13 else 24)
        while not any(kind == DATA and len(payload) == answer for kind, _, payload in records(self.data)):
            self.data += self.socket.recv(65536)


def with_version(hello, version):
    return hello[:9] + version.to_bytes(2, 'big') + hello[11:]


def small_records(hello):
    return [b''.join(record(HANDSHAKE, piece, 0x0301) for piece in in_pieces(hello[5:], 7))]


def slowly(hello):
    for piece in in_pieces(hello, 60):
        yield piece
        time.sleep(0.3)


def served(hello):
    return lambda client: client.shake(hello).ask()


def first(*pieces):
    return lambda client: client.send(*pieces)


def half_a_hello(client):
    hello = client.step()
    client.send(hello[:len(hello) // 2])
    client.socket.shutdown(socket.SHUT_WR)


def hello_of(version):
    return lambda client: client.send(with_version(client.step(), version))


def compressed_hello(client):
    """Offers DEFLATE and nothing else."""
    hello = bytearray(client.step())
    suites = 44 + hello[43]
    methods = suites + 2 + int.from_bytes(hello[suites:suites + 2], 'big')
    assert hello[methods:methods + 2] == b'\1\0'
    hello[methods + 1] = 1
    client.send(hello)


def interrupted_hello(client):
    hello = client.step()[5:]
    client.send(record(HANDSHAKE, hello[:50]), record(DATA, b'in between'), record(HANDSHAKE, hello[50:]))


def after_hello(*pieces):
    return lambda client: client.send(client.step(), *pieces)


def after_flight(*pieces):
    """Waits for the server's flight, answers with something else."""
    def script(client):
        client.send(client.step())
        client.hear_flight()
        if client.tls13:
            client.theirs = client.keys()[1]
        client.send(*pieces)
    return script


def damaged_finished(client):
    client.send(client.step())
    answer = client.hear_flight()
    if client.tls13:
        client.theirs = client.keys()[1]
    client.send(answer[:-1] + bytes([answer[-1] ^ 1]))


def wrong_finished(client):
    """The server's transcript of the handshake is another: it got the hello with another name."""
    client.send(client.step().replace(b'server.example', b'server.exampel'))
    client.send(client.hear_flight())


def then(*plain, kind=DATA):
    """After the handshake and a first word."""
    def script(client):
        client.shake().word()
        client.say(*plain, kind=kind)
    return script


def then_ask(*plain, kind=DATA):
    def script(client):
        client.shake().say(*plain, kind=kind)
        client.ask()
    return script


def then_clear(*pieces):
    def script(client):
        client.shake().word()
        client.send(*pieces)
    return script


def damaged_data(client):
    client.shake().word()
    sealed = client.ours.seal(DATA, REQUEST)
    client.send(sealed[:-1] + bytes([sealed[-1] ^ 1]))


def hello_again(count, end):
    def script(client):
        hello = bytes.fromhex('0100002b0303') + bytes(32) + bytes.fromhex('000004c02c00ff0100')
        end(*[hello] * count, kind=HANDSHAKE)(client)
    return script


CLIENTS = {
    'hello in small records': served(small_records),
    'hello byte by byte': served(lambda hello: in_pieces(hello, 1)),
    'hello slowly': served(slowly),
    'garbage': first(b'\xde\xad\xbe\xef' * 64),
    'plain HTTP': first(REQUEST),
    'hello of SSLv2': first(bytes.fromhex('802e0100020015000000100700c00300800100800600400400800200800000') + bytes(17)),
    'half a hello': half_a_hello,
    'hello of TLS 1.1': hello_of(0x0302),
    'hello of TLS 1.0': hello_of(0x0301),
    'hello of SSL 3.0': hello_of(0x0300),
    'hello with compression': compressed_hello,
    'interrupted hello': interrupted_hello,
    'empty handshake record': first(record(HANDSHAKE, b'')),
    'oversized record': first(record(HANDSHAKE, bytes(20000))),
    'empty data first': first(*[record(DATA, b'')] * 100),
    'data first': first(record(DATA, REQUEST)),
    'ChangeCipherSpec first': first(record(CHANGE, b'\1')),
    'fatal alert first': first(record(ALERT, HANDSHAKE_FAILURE)),
    'warnings first': first(*[record(ALERT, WARNING)] * 100),
    'data in place of keys': after_flight(record(DATA, REQUEST)),
    'ChangeCipherSpec flood': after_flight(*[record(CHANGE, b'\1')] * 100),
    'early ChangeCipherSpec': after_flight(record(CHANGE, b'\1'), record(HANDSHAKE, bytes(40))),
    'warnings in between': after_flight(*[record(ALERT, WARNING)] * 100),
    'damaged Finished': damaged_finished,
    'wrong Finished': wrong_finished,
    'renegotiation': hello_again(1, then_ask),
    'renegotiation again and again': hello_again(100, then),
    'some empty data': then_ask(*[b''] * 30),
    'empty data flood': then(*[b''] * 1000),
    'oversized data': then(bytes(16385)),
    'damaged data': damaged_data,
    'clear data': then_clear(record(DATA, REQUEST)),
    'late ChangeCipherSpec': then_clear(record(CHANGE, b'\1')),
    'warnings flood': then(*[WARNING] * 100, kind=ALERT),
}

def server_hello(version):
    hello = version.to_bytes(2, 'big') + b'\7' * 32 + bytes.fromhex('00c02c00')
    return record(HANDSHAKE, b'\2' + len(hello).to_bytes(3, 'big') + hello)


SERVERS = {
    'garbage': [b'\xde\xad\xbe\xef' * 64],
    'banner': [b'220 ready\r\n'],
    'close at once': [],
    'close after half a hello': [server_hello(0x0303)[:20]],
    'close after the hello': [server_hello(0x0303)],
    'hello of TLS 1.1': [server_hello(0x0302)],
    'data after the hello': [server_hello(0x0303), record(DATA, b'HTTP/1.0 200 OK\r\n\r\nfalse')],
    'data in place of the hello': [record(DATA, b'HTTP/1.0 200 OK\r\n\r\nfalse')],
    'empty records': [record(DATA, b'')] * 100,
    'oversized record': [record(HANDSHAKE, bytes(20000))],
    'fatal alert': [record(ALERT, HANDSHAKE_FAILURE)],
}


def serve(case, port, path):
    """Serves one client at a port, then one at a Unix socket."""
    bare = socket.socket(socket.AF_UNIX)
    bare.bind(path)
    bare.listen()
    for listener in (socket.create_server(('0.0.0.0', port)), bare):
        peer = Peer(listener.accept()[0])
        peer.data = peer.socket.recv(65536)
        peer.send(*SERVERS[case])
        try:
            peer.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It was reset.
        print('clear text' if b'secret' in peer.data else 'hello', peer.heard(), sep=', ', flush=True)


if __name__ == '__main__':
    role, case, target, *path = sys.argv[1:]
    if role == 'server':
        serve(case, int(target), *path)
    else:
        client = Client(target, role)
        CLIENTS[case](client)
        print(client.heard())
