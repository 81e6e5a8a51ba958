"""A client with grpcio and the documented service config; tests/it/clients/retries.rs says what it is for.

Arguments: address, file of the service config. For each line "path request" on standard input, the request in hexadecimal, it makes a
call and prints the name of its code.
"""

import pathlib
import sys

import grpc

channel = grpc.insecure_channel(sys.argv[1], [("grpc.service_config", pathlib.Path(sys.argv[2]).read_text())])
for line in sys.stdin:
    path, _, request = line.rstrip("\n").partition(" ")
    try:
        channel.unary_unary(path)(bytes.fromhex(request), wait_for_ready=True)
        print("OK", flush=True)
    except grpc.RpcError as error:
        print(error.code().name, flush=True)
