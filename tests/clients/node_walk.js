// Lists all users and groups with node-zendesk, https://github.com/blakmatrix/node-zendesk, and prints
// {"users": [ids], "groups": [ids]}. Its option endpointUri takes the place of the subdomain.

const { createClient } = require("node-zendesk");

async function main() {
  const { ZENDESK_URL, ZENDESK_EMAIL, ZENDESK_TOKEN } = process.env;
  const client = createClient({
    username: ZENDESK_EMAIL,
    token: ZENDESK_TOKEN,
    endpointUri: `${ZENDESK_URL}/api/v2`,
  });
  const ids = (rows) => rows.map((row) => row.id);
  console.log(JSON.stringify({ users: ids(await client.users.list()), groups: ids(await client.groups.list()) }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
