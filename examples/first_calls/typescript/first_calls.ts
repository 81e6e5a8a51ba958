// A call, an error with details, an update with a mask, and a stream that is resumed.
import { setTimeout as pause } from "node:timers/promises";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/details_pb.js";
import { type User, UserRole } from "./gen/zendesk/gateway/v1/user_pb.js";
import { UserService } from "./gen/zendesk/gateway/v1/user_service_pb.js";

const users = createClient(UserService, createGrpcTransport({ baseUrl: "http://127.0.0.1:50051" }));

// A call. Without a timeout it may take as long as the gateway allows.
const user = (await users.listUsers({ pageSize: 2 }, { timeoutMs: 10_000 })).users[1];
console.log("call:", user.name);

// An error with details.
try {
  await users.listUsers({ pageSize: 101 }, { timeoutMs: 10_000 });
} catch (reason) {
  const error = ConnectError.from(reason);
  const [info] = error.findDetails(ErrorInfoSchema);
  const [bad] = error.findDetails(BadRequestSchema);
  console.log("error:", Code[error.code], info.reason, bad.fieldViolations[0].field);
}

// One custom field is set; the notes are cleared: the mask names them, and they are not set.
const updated = await users.updateUser(
  { id: user.id, user: { userFields: { plan: "gold" } }, updateMask: { paths: ["user_fields.plan", "notes"] } },
  { timeoutMs: 10_000 },
);
console.log("update:", updated.user?.userFields?.plan, updated.user?.notes || "no notes");

// Rows count once a token has come after them: what came after the last token comes again.
const resumed = [Code.Unavailable, Code.DeadlineExceeded, Code.Canceled];
let rows: User[] = [];
let [token, more] = ["", true];
while (more) {
  const request = { filter: { roles: [UserRole.AGENT] }, pageToken: token };
  let page: User[] = [];
  more = false;
  try {
    for await (const message of users.streamUsers(request, { timeoutMs: 60_000 })) {
      page.push(...message.users);
      more = message.nextPageToken !== "";
      if (more) [rows, page, token] = [rows.concat(page), [], message.nextPageToken];
    }
    rows = rows.concat(page); // with `more` still set, the gateway is shutting down
  } catch (reason) {
    const error = ConnectError.from(reason);
    if (!resumed.includes(error.code)) throw error;
    more = true;
    const [retry] = error.findDetails(RetryInfoSchema);
    await pause(retry?.retryDelay ? durationMs(retry.retryDelay) : 1000);
  }
}
console.log("stream:", rows.length, "agents");
