"""Does what a page of docs/clients tells its reader to do, in an empty folder, and compares what the page says will be printed.

    python3 tests/clients/walk.py docs/clients/go.md 127.0.0.1:50051 [SECTION]

Blocks of `sh` are run one after the other in one shell; a block after `Save this as `NAME`:` is written to that file; a block of `text`
is what the commands before it print. All other blocks are only read. $GATEWAY stands for this repository, and for the address that the
page names one that leads to ADDRESS over connections of which every other one is lost: it is cut in the middle of a message once it has
brought LONGEST bytes. A program that reads a longer stream has to go on where it was.
"""

import itertools
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?:Save this as `(?P<name>[^`]+)`[^\n]*:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MARK = "--- end of step "
LONGEST = 115_000  # reflection sends some 90 KB at once, and a page of 100 users has 57 KB, compressed 14 KB


def steps(page, section):
    if section:
        page = re.split(r"^## ", page, flags=re.MULTILINE)
        page = next(part for part in page if part.startswith(section + "\n"))
    return [match.groupdict() for match in BLOCK.finditer(page)]


def script(steps):
    lines = ["set -eu -o pipefail"]
    for number, step in enumerate(steps):
        if step["name"]:
            folder = os.path.dirname(step["name"])
            lines += [f"mkdir -p {folder}"] if folder else []
            lines += [f"cat > {step['name']} <<'END OF FILE'\n{step['text']}END OF FILE"]
        elif step["language"] == "sh":
            lines += [step["text"], f"echo; echo '{MARK}{number}'"]
    return "\n".join(lines) + "\n"


class Cutting:
    """Carries connections to an address, and cuts every other one when it has brought LONGEST bytes."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.target, self.cuts = (host, int(port)), 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        for longest in itertools.cycle([LONGEST, sys.maxsize]):
            client, _ = self.listener.accept()
            gateway = socket.create_connection(self.target)
            threading.Thread(target=self.requests, args=(client, gateway), daemon=True).start()
            threading.Thread(target=self.answers, args=(client, gateway, longest), daemon=True).start()

    def requests(self, client, gateway):
        try:
            while part := client.recv(1 << 16):
                gateway.sendall(part)
            gateway.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other end is gone

    def answers(self, client, gateway, left):
        try:
            while left and (part := gateway.recv(min(left, 1 << 16))):
                client.sendall(part)
                left -= len(part)
        except OSError:
            pass  # the other end is gone
        self.cuts += left == 0
        for end in (client, gateway):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is shut
            end.close()


def main():
    path, address, *section = sys.argv[1:]
    way = Cutting(address)
    page = pathlib.Path(path).read_text().replace("127.0.0.1:50051", way.address)
    todo = steps(page, section[0] if section else None)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GATEWAY": str(REPOSITORY)}
        command = ["bash", "-c", script(todo)]
        done = subprocess.run(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=1200)
    output = COLOUR.sub("", done.stdout)
    print(output)
    if done.returncode:
        sys.exit(f"{path}: the commands end with {done.returncode}")
    printed, rest, runs = "", output, 0
    for number, step in enumerate(todo):
        if step["language"] == "sh" and not step["name"]:
            printed, rest = rest.split(f"{MARK}{number}\n", 1)
            runs += 1
        elif step["language"] == "text" and not step["name"]:
            missing = [line for line in step["text"].splitlines() if line not in printed.splitlines()]
            if missing:
                sys.exit(f"{path}: the page says that this is printed, and it is not: {missing}")
    if not runs:
        sys.exit(f"{path}: nothing to run")
    streams = len(re.findall(r"^stream: ", page, flags=re.MULTILINE))
    if way.cuts < streams:
        sys.exit(f"{path}: {streams} programs read a stream, and {way.cuts} connections were cut")
    print(f"{way.cuts} connections were cut")


main()
