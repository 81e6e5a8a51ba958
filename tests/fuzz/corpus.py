"""Packs a folder of inputs into a file with one input a line, and unpacks it again.

    corpus.py unpack FILE FOLDER
    corpus.py pack FOLDER FILE MOST_BYTES
"""

import ast
import hashlib
import pathlib
import sys

NAMED = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x22: '\\"', 0x27: "\\'", 0x5C: "\\\\"}


def escape(data: bytes) -> str:
    """Writes bytes as Rust's `escape_ascii` does."""
    return "".join(NAMED.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in data)


def unpack(file: pathlib.Path, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for line in file.read_text().splitlines() if file.exists() else []:
        data = ast.literal_eval(f"b'{line}'")
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def pack(folder: pathlib.Path, file: pathlib.Path, most: int) -> None:
    # The shortest first: of two that reach as much, a reader prefers the shorter one.
    lines = sorted((escape(path.read_bytes()) for path in folder.iterdir()), key=lambda line: (len(line), line))
    kept, size = [], 0
    for line in lines:
        size += len(line) + 1
        if size > most:
            break
        kept.append(line)
    file.write_text("".join(f"{line}\n" for line in kept))


match sys.argv[1:]:
    case ["unpack", file, folder]:
        unpack(pathlib.Path(file), pathlib.Path(folder))
    case ["pack", folder, file, most]:
        pack(pathlib.Path(folder), pathlib.Path(file), int(most))
    case _:
        sys.exit(__doc__)
