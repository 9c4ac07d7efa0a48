"""A web server with threads: serves files, saves uploads, runs a program, does rare work. SIGHUP opens its log again."""

import fcntl
import hashlib
import http.server
import multiprocessing
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading


def database():
    with sqlite3.connect("/tmp/server.db") as connection:
        connection.execute("create table if not exists requests (path text)")
        connection.execute("insert into requests values ('/')")
    connection.close()


def resolve():
    try:
        socket.getaddrinfo("no-such-host.invalid", 80)
    except socket.gaierror:
        pass


def backup():
    shutil.rmtree("/tmp/backup", ignore_errors=True)
    shutil.copytree("/srv/www/list", "/tmp/backup")


def workers():
    process = multiprocessing.Process(target=abs, args=(1,))
    process.start()
    process.join()


def lock():
    with open("/tmp/server.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


RARE = {
    "/database": database,
    "/resolve": resolve,
    "/backup": backup,
    "/disk": lambda: shutil.disk_usage("/tmp"),
    "/workers": workers,
    "/lock": lock,
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers requests for files, and requests that do more."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/run":
            self.answer(subprocess.run(["date"], capture_output=True, check=True).stdout)
        elif self.path in RARE:
            RARE[self.path]()
            self.answer(b"done")
        else:
            super().do_GET()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with tempfile.NamedTemporaryFile(dir="/tmp") as file:
            file.write(body)
            file.flush()
            file.seek(0)
            self.answer(hashlib.sha256(file.read()).hexdigest().encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text, *args):
        log.write(text % args + "\n")
        log.flush()


def reload(*_):
    global log
    log.close()
    log = open("/tmp/server.log", "a", encoding="utf-8")


log = open("/tmp/server.log", "a", encoding="utf-8")
server = http.server.ThreadingHTTPServer(
    ("127.0.0.1", 8080), lambda *args: Handler(*args, directory="/srv/www")
)
signal.signal(signal.SIGHUP, reload)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
