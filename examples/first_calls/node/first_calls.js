// A call, an error with details, an update with a mask, and a stream that is resumed.
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const options = { keepCase: true, longs: String, enums: String, includeDirs: ["proto", "."] };
const types = loader.loadSync(["zendesk/gateway/v1/user_service.proto", "details.proto"], options);
const { UserService } = grpc.loadPackageDefinition(types).zendesk.gateway.v1;
const users = new UserService("127.0.0.1:50051", grpc.credentials.createInsecure());
const within = (seconds) => ({ deadline: new Date(Date.now() + seconds * 1000) });
const call = (method, request, seconds) =>
  new Promise((resolve, reject) => users[method](request, within(seconds), (error, reply) => (error ? reject(error) : resolve(reply))));

// The details of an error by their kind: ErrorInfo, RetryInfo, BadRequest.
function details(error) {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const status = bytes ? types["google.rpc.Status"].deserialize(bytes) : { details: [] };
  return Object.fromEntries(status.details.map(({ type_url, value }) => {
    const name = type_url.split("/").pop();
    return [name.split(".").pop(), types[name]?.deserialize(value)];
  }));
}

async function main() {
  const user = (await call("ListUsers", { page_size: 2 }, 10)).users[1];
  console.log("call:", user.name);
  await call("ListUsers", { page_size: 101 }, 10).catch((error) => {
    const { ErrorInfo, BadRequest } = details(error);
    console.log("error:", grpc.status[error.code], ErrorInfo.reason, BadRequest.field_violations[0].field);
  });

  // One custom field is set; the notes are cleared: the mask names them, and they are not set.
  const changes = { user_fields: { fields: { plan: { stringValue: "gold" } } } };
  const update = { id: user.id, user: changes, update_mask: { paths: ["user_fields.plan", "notes"] } };
  const updated = (await call("UpdateUser", update, 10)).user;
  console.log("update:", updated.user_fields.fields.plan.stringValue, updated.notes || "no notes");

  // Rows count once a token has come after them: what came after the last token comes again.
  let [rows, token, more] = [[], "", true];
  while (more) {
    const stream = users.StreamUsers({ filter: { roles: ["USER_ROLE_AGENT"] }, page_token: token }, within(60));
    let page = [];
    more = false;
    try {
      for await (const message of stream) {
        page.push(...message.users);
        more = Boolean(message.next_page_token);
        if (more) [rows, page, token] = [rows.concat(page), [], message.next_page_token];
      }
      rows = rows.concat(page); // with `more` still set, the gateway is shutting down
    } catch (error) {
      if (![grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED, grpc.status.CANCELLED].includes(error.code)) throw error;
      more = true;
      const { seconds = 0, nanos = 0 } = details(error).RetryInfo?.retry_delay ?? { seconds: 1 };
      await new Promise((resume) => setTimeout(resume, 1000 * seconds + nanos / 1e6));
    }
  }
  console.log("stream:", rows.length, "agents");
}

main();
