"""Clients of the gateway as services in Python have them, with grpcio and the descriptors; tests/it/well_behaved.rs says what they do.

Reads the plan from the file named, says "ready", works from the next line of standard input on for as long as the plan
says, and prints {"took": {method: [milliseconds]}, "failures": [{"method", "code", "message", "details"}]}.
"""

import base64
import itertools
import json
import pathlib
import random
import sys
import threading
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

plan = json.loads(pathlib.Path(sys.argv[1]).read_text())
pool = descriptor_pool.DescriptorPool()
for file in descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(plan["descriptors"]).read_bytes()).file:
    pool.Add(file)
took, failures = {}, []


def prepared(call):
    """The call's method and its request, built once: what is looked at is the gateway."""
    method = pool.FindServiceByName(call["service"]).FindMethodByName(call["method"])
    return method, json_format.ParseDict(call["request"], message_factory.GetMessageClass(method.input_type)()), call["seconds"]


calls = [prepared(call) for call in plan["calls"]]
watch, health, _ = prepared(plan["watch"])


def failed(method, error):
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    failures.append({
        "method": method.name,
        "code": error.code().name,
        "message": error.details(),
        "details": base64.b64encode(details).decode(),
    })


class Client:
    """One channel, with a connection of its own."""

    def __init__(self, client):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 16 << 20)]
        self.channel = grpc.insecure_channel(plan["address"], options)
        self.metadata = [("x-api-key", client["key"])] if client["key"] else []
        self.turns = itertools.count(client["first"])
        self.stubs = {method.full_name: self.stub(method) for method, _, _ in [*calls, (watch, None, None)]}

    def stub(self, method):
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        reply = message_factory.GetMessageClass(method.output_type)
        path = f"/{method.containing_service.full_name}/{method.name}"
        return kind(path, request_serializer=lambda message: message.SerializeToString(), response_deserializer=reply.FromString)

    def is_served(self):
        """Begins to watch the health, and waits for the first word."""
        self.health = self.stubs[watch.full_name](health, metadata=self.metadata, wait_for_ready=True)
        next(self.health)

    def work(self, until):
        while True:
            time.sleep(random.uniform(0, 2 * plan["pause_ms"]) / 1000)
            if (now := time.monotonic()) > until:
                return
            method, request, seconds = calls[next(self.turns) % len(calls)]
            try:
                reply = self.stubs[method.full_name](request, timeout=seconds, metadata=self.metadata)
                if method.server_streaming:
                    for _ in reply:
                        pass
                took.setdefault(method.name, []).append((time.monotonic() - now) * 1000)
            except grpc.RpcError as error:
                failed(method, error)


clients = [Client(client) for client in plan["clients"]]
for client in clients:
    client.is_served()
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + plan["seconds"]
workers = [threading.Thread(target=client.work, args=[end]) for client in clients for _ in range(plan["at_a_time"])]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
for client in clients:
    if not client.health.is_active():
        failed(watch, client.health)
print(json.dumps({"took": took, "failures": failures}))
