"""Creates the agent, adds each membership, makes one the default, and takes the agent out of the group that Zendesk chose."""

import sys

from zendesk import Session

email, name, *wanted = sys.argv[1:]
zendesk = Session()
groups = {group["name"]: group["id"] for group in zendesk.all("/groups", "groups")}
user = zendesk.post("/users/create_or_update", {"user": {"email": email, "name": name, "role": "agent"}})["user"]
path = f"/users/{user['id']}/group_memberships"
present = {membership["group_id"]: membership["id"] for membership in zendesk.all(path, "group_memberships")}
for group in wanted:
    if groups[group] not in present:
        row = {"group_membership": {"user_id": user["id"], "group_id": groups[group]}}
        present[groups[group]] = zendesk.post("/group_memberships", row)["group_membership"]["id"]
zendesk.put(f"{path}/{present[groups[wanted[0]]]}/make_default")
for group, membership in present.items():
    if group not in [groups[name] for name in wanted]:
        zendesk.delete(f"/group_memberships/{membership}")
