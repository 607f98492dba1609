"""An FTP server whose AUTH TLS and PROT P are done by AT-TLS: the server itself knows no TLS and holds no key.

    python3 ftpd.py FOLDER PORT FIRST-LAST

serves a folder to user `user`, password `secret`, with passive ports FIRST to LAST. The rules for the control port and
for the passive ports say ApplicationControlled On.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import attls
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler, proto_cmds
from pyftpdlib.servers import ThreadedFTPServer


class Data(DTPHandler):
    """A data connection; under PROT P it begins with a handshake, which clients expect behind reply 150."""

    started = False

    def start(self):
        if self.cmd_channel.protected and not self.started:
            attls.control(self.socket, attls.INIT_CONNECTION)
            self.started = True

    def push(self, data):
        self.start()
        super().push(data)

    def push_with_producer(self, producer):
        self.start()
        super().push_with_producer(producer)

    def enable_receiving(self, type, cmd):
        self.start()
        super().enable_receiving(type, cmd)


class Handler(FTPHandler):
    """RFC 4217 on the server's side."""

    proto_cmds = {
        **proto_cmds,
        **{
            name: {"perm": None, "auth": False, "arg": True, "help": f"Syntax: {name} argument."}
            for name in ("AUTH", "PBSZ", "PROT")
        },
    }
    dtp_handler = Data
    protected = False
    secured = False

    def ftp_AUTH(self, line):
        if line.upper() not in ("TLS", "TLS-C", "SSL"):
            self.respond("502 Unrecognized encryption type.")
            return
        self.respond("234 AUTH TLS successful.")
        # What came behind AUTH in clear text could be anybody's.
        self.ac_in_buffer = b""
        status = attls.control(self.socket, attls.INIT_CONNECTION)
        self.secured = status["connection"] == "Secure"

    def ftp_PBSZ(self, line):
        self.respond("200 PBSZ=0 successful." if self.secured else "503 PBSZ not allowed on insecure control connection.")

    def ftp_PROT(self, line):
        if not self.secured:
            self.respond("503 PROT not allowed on insecure control connection.")
            return
        self.protected = line.upper() == "P"
        self.respond(f"200 Protection set to {'Private' if self.protected else 'Clear'}")

    def ftp_USER(self, line):
        if self.secured:
            super().ftp_USER(line)
        else:
            self.respond("550 SSL/TLS required on the control channel.")


def main():
    folder, port, ports = sys.argv[1:]
    first, last = ports.split("-")
    Handler.authorizer = DummyAuthorizer()
    Handler.authorizer.add_user("user", "secret", folder, perm="elrw")
    Handler.passive_ports = range(int(first), int(last) + 1)
    ThreadedFTPServer(("::", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
