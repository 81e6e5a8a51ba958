// Clients of the gateway as services in Node.js have them, with @grpc/grpc-js and @grpc/proto-loader; tests/it/well_behaved.rs says
// what they do, and well_behaved.py what is read and printed.

const fs = require("node:fs");
const readline = require("node:readline");
const { setTimeout: sleep } = require("node:timers/promises");
const { performance } = require("node:perf_hooks");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const plan = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const services = loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(plan.descriptors), { keepCase: true, longs: String });
const took = {};
const failures = [];

function failed(method, error) {
  const [details] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const code = grpc.status[error.code] ?? "UNKNOWN";
  failures.push({ method, code, message: error.details ?? error.message, details: details?.toString("base64") ?? "" });
}

class Client {
  constructor({ key, first }) {
    // Its own connection.
    const options = { "grpc.use_local_subchannel_pool": 1, "grpc.max_receive_message_length": 16 << 20 };
    this.client = new grpc.Client(plan.address, grpc.credentials.createInsecure(), options);
    this.metadata = new grpc.Metadata();
    if (key) this.metadata.set("x-api-key", key);
    this.turn = first;
  }

  stream(call, options, metadata = this.metadata) {
    const { path, requestSerialize, responseDeserialize } = services[call.service][call.method];
    return this.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, call.request, metadata, options);
  }

  // Makes a call; its promise fails as the call does.
  call(call) {
    const { path, responseStream, requestSerialize, responseDeserialize } = services[call.service][call.method];
    const options = { deadline: Date.now() + call.seconds * 1000 };
    return new Promise((resolve, reject) => {
      if (responseStream) {
        this.stream(call, options).on("data", () => {}).on("error", reject).on("end", resolve);
      } else {
        const done = (error) => (error ? reject(error) : resolve());
        this.client.makeUnaryRequest(path, requestSerialize, responseDeserialize, call.request, this.metadata, options, done);
      }
    });
  }

  // Begins to watch the health, and waits for the first word.
  isServed() {
    return new Promise((resolve) => {
      const patient = this.metadata.clone();
      patient.setOptions({ waitForReady: true });
      this.health = this.stream(plan.watch, {}, patient);
      this.health.on("data", resolve).on("end", () => {});
      this.health.on("error", (error) => this.over || failed(plan.watch.method, error));
    });
  }

  async work(until) {
    for (;;) {
      await sleep(Math.random() * 2 * plan.pause_ms);
      if (performance.now() > until) return;
      const call = plan.calls[this.turn++ % plan.calls.length];
      const begun = performance.now();
      try {
        await this.call(call);
        (took[call.method] ??= []).push(performance.now() - begun);
      } catch (error) {
        failed(call.method, error);
      }
    }
  }
}

async function main() {
  const clients = plan.clients.map((client) => new Client(client));
  await Promise.all(clients.map((client) => client.isServed()));
  const input = readline.createInterface({ input: process.stdin });
  console.log("ready");
  await new Promise((resolve) => input.once("line", resolve));
  input.close();
  const until = performance.now() + plan.seconds * 1000;
  const workers = clients.flatMap((client) => Array.from({ length: plan.at_a_time }, () => client.work(until)));
  await Promise.all(workers);
  for (const client of clients) {
    client.over = true;
    client.client.close();
  }
  process.stdout.write(JSON.stringify({ took, failures }), () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
