# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that come at a steady rate, honest and patient, while something happens to the machines that serve them."""

import collections
import concurrent.futures
import hashlib
import os
import socket
import ssl
import subprocess
import threading
import time
from typing import Callable

PATIENCE = 30  # seconds until a request counts as lost
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
Visit = collections.namedtuple("Visit", "source begun ended fault tries")


def make_identity(path: str, host: str) -> tuple[str, bytes]:
    """Returns the PEM of key and certificate, and the certificate's SHA-256. They are in PATH.key and PATH.crt, too."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + host,
         "-days", "100", "-addext", "subjectAltName=DNS:" + host, "-keyout", path + ".key", "-out", path + ".crt"],
        check=True, capture_output=True)  # fmt: skip
    with open(path + ".key") as key, open(path + ".crt") as certificate:
        text = certificate.read()
        return key.read() + text, hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).digest()


def write_pages(folder: str, host: str, slow: int) -> None:
    """A page, and a file of SLOW bytes for slow clients."""
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/index.gmi", "w") as file:
        file.write("# %s\n" % host)
    with open(folder + "/slow.bin", "wb") as file:
        file.write(b"." * slow)


def connect(source: str, to: str, host: str) -> ssl.SSLSocket:
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_STREAM)
    plain.settimeout(PATIENCE)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    plain.bind((source, 0))
    plain.connect((to, 1965))
    return context.wrap_socket(plain, server_hostname=host)


def ask(source: str, to: str, host: str) -> tuple[bytes, bytes]:
    """Returns the whole response and the SHA-256 of the certificate."""
    with connect(source, to, host) as client:
        certificate = hashlib.sha256(client.getpeercert(True)).digest()
        client.sendall(b"gemini://%s/\r\n" % host.encode())
        response = b""
        while part := client.recv(65536):
            response += part
        return response, certificate


class SlowReader(threading.Thread):
    """Reads one response after the other, each in about two seconds."""

    def __init__(self, source: str, to: str, host: str, size: int, until: threading.Event) -> None:
        super().__init__(daemon=True)
        self.source, self.to, self.host, self.size, self.until, self.reads = source, to, host, size, until, []

    def run(self) -> None:
        while not self.until.is_set():
            begun, fault, taken = time.monotonic(), "", 0
            try:
                with connect(self.source, self.to, self.host) as client:
                    client.sendall(b"gemini://%s/slow.bin\r\n" % self.host.encode())
                    connected = time.monotonic()
                    while part := client.recv(16384):
                        taken += len(part)
                        time.sleep(max(0, connected + 2 * taken / self.size - time.monotonic()))
                if taken < self.size:
                    fault = "%d bytes" % taken
            except (OSError, ValueError) as error:
                fault = repr(error)
            self.reads.append(Visit(self.source, begun, time.monotonic(), fault, 1))
            time.sleep(0.2 if fault else 0)


class Clients:
    """Of one host, at one address, from addresses of their own: RATE a second, and at least LEAST of them. Its slow.bin has
    SLOW bytes. JUDGE(name, holds, words) hears what came of it, and lines that begin with WORD tell it."""

    def __init__(
        self, word: str, to: str, host: str, certificate: bytes, sources: list[str], slow: int, rate: int, least: int, judge: Callable
    ) -> None:
        self.word, self.to, self.host, self.certificate = word, to, host, certificate
        self.sources, self.slow, self.rate, self.least, self.judge = sources, slow, rate, least, judge
        self.page = b"20 text/gemini\r\n# %s\n" % host.encode()

    def try_once(self, source: str) -> str:
        """The whole page and the one certificate: no fault."""
        try:
            answer, certificate = ask(source, self.to, self.host)
        except (OSError, ValueError) as error:  # ValueError: the connection was reset before the handshake
            return repr(error)
        if certificate != self.certificate:
            return "another certificate"
        return "" if answer == self.page else repr(answer)

    def visit(self, number: int, again: bool) -> Visit:
        """AGAIN: as somebody who asks again after a second, for as long as patience lasts."""
        source, begun, tries = self.sources[number % len(self.sources)], time.monotonic(), 1
        while (fault := self.try_once(source)) and again and time.monotonic() < begun + PATIENCE:
            time.sleep(1)
            tries += 1
        return Visit(source, begun, time.monotonic(), fault, tries)

    def make_visits(self, event: Callable, again: bool) -> tuple[list[Visit], list[Visit], list, list[str]]:
        happened, over, visits = threading.Event(), threading.Event(), []
        readers = [SlowReader(self.sources[number], self.to, self.host, self.slow, over) for number in range(6)]
        for reader in readers:
            reader.start()
        died, words = [], []

        def happen() -> None:
            try:
                time.sleep(0.5)
                died.extend(event() or ())
            except Exception as error:
                words.append(repr(error) + str(getattr(error, "stderr", "") or ""))
            happened.set()

        happening = threading.Thread(target=happen)
        happening.start()
        with concurrent.futures.ThreadPoolExecutor(max_workers=400) as clients:
            number, begun = 0, time.monotonic()
            while number < self.least or not happened.is_set():
                time.sleep(max(0, begun + number / self.rate - time.monotonic()))
                visits.append(clients.submit(self.visit, number, again))
                number += 1
        happening.join()
        over.set()
        for reader in readers:
            reader.join()
        return [each.result() for each in visits], [each for reader in readers for each in reader.reads], died, words

    def under(self, name: str, event: Callable, again: bool = False, cut: bool = False) -> list[Visit]:
        """Makes visits, more of them while the event lasts, and returns them. An event that lets something die returns between
        which moments. AGAIN: clients ask again. CUT: what slow clients lose is told, but is no fault."""
        visits, reads, died, words = self.make_visits(event, again)

        def open_there(each: Visit) -> bool:
            return bool(died) and each.begun <= died[1] and each.ended >= died[0]

        def count(all_of_them: list[Visit]) -> tuple[list[Visit], str]:
            faults = [each for each in all_of_them if each.fault]
            lost = [each for each in faults if not open_there(each)]
            told = "%d of %d lost" % (len(lost), len(all_of_them) - len(faults) + len(lost))
            return lost, told + (" (%d more were open there)" % (len(faults) - len(lost)) if faults != lost else "")

        lost, told = count(visits)
        lost_reads, told_reads = count(reads)
        asked_again = sum(each.tries > 1 for each in visits)
        slowest = max((each.ended - each.begun for each in visits if not each.fault), default=0)
        print("%s: %s: %s%s, slowest %.2f s; slow clients: %s" % (
            self.word, name, told, ", %d asked again" % asked_again if again else "", slowest, told_reads), flush=True)  # fmt: skip
        words += ["%s: visit after %.2f s: %s" % (name, each.begun - visits[0].begun, each.fault) for each in (lost + ([] if cut else lost_reads))[:10]]
        self.judge(name + ": no request is lost", not words and len(reads) >= 6, "\n".join(words))
        return visits
