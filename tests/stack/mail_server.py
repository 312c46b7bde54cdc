"""A mail server that takes every message and keeps it: as much of SMTP as a sender without TLS or password needs."""

from __future__ import annotations

import contextlib
import email
import email.policy
import socketserver
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from email.message import EmailMessage

SAID: dict[bytes, bytes] = {
    b"EHLO": b"250 loopback", b"HELO": b"250 loopback", b"MAIL": b"250 ok", b"RCPT": b"250 ok", b"DATA": b"354 go on",
    b"QUIT": b"221 bye",
}  # fmt: skip


class MailServer:
    """`port`: where it listens; `messages`: what it took."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.messages: list[EmailMessage] = []

    def about(self, words: str) -> list[EmailMessage]:
        """Return the messages whose subject holds these words."""
        return [message for message in list(self.messages) if words in message["Subject"]]

    @classmethod
    @contextlib.contextmanager
    def listening(cls) -> Generator[MailServer]:
        """Yield one that listens on a free loopback port."""
        taken: list[EmailMessage] = []

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 loopback\r\n")
                for line in self.rfile:
                    word = line[:4].upper()
                    self.wfile.write(SAID.get(word, b"502 unknown") + b"\r\n")
                    if word == b"QUIT":
                        return
                    if word == b"DATA":
                        lines = iter(self.rfile.readline, b".\r\n")
                        text = b"".join(one.removeprefix(b".") if one.startswith(b"..") else one for one in lines)
                        taken.append(email.message_from_bytes(text, policy=email.policy.default))
                        self.wfile.write(b"250 taken\r\n")

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            mail_server = cls(server.server_address[1])
            mail_server.messages = taken
            try:
                yield mail_server
            finally:
                server.shutdown()
                thread.join()
