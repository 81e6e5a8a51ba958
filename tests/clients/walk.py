"""Does what a page of docs/clients tells its reader to do, in an empty folder, and compares what the page says will be printed.

    python3 tests/clients/walk.py docs/clients/go.md 127.0.0.1:50051 [SECTION]

Blocks of `sh` are run one after the other in one shell; a block after `Save this as `NAME`:` is written to that file; a block of `text`
is what the commands before it print. All other blocks are only read. The address stands for the one that the page names, and
$GATEWAY for this repository.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?:Save this as `(?P<name>[^`]+)`[^\n]*:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MARK = "--- end of step "


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


def main():
    path, address, *section = sys.argv[1:]
    page = pathlib.Path(path).read_text().replace("127.0.0.1:50051", address)
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


main()
