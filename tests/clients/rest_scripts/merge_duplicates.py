"""Reads all end users, and merges those with the same name in the same organization; each pair is read once more before."""

import collections

from zendesk import Session

zendesk = Session()


def key(user):
    return (" ".join(user["name"].lower().split()), user["organization_id"])


same = collections.defaultdict(list)
for user in zendesk.all("/users", "users", role="end-user"):
    if user["name"] and user["organization_id"] and not user["shared"]:
        same[key(user)].append(user["id"])
for suspects, ids in same.items():
    if len(ids) < 2:
        continue
    users = zendesk.get("/users/show_many", ids=",".join(map(str, ids)))["users"]
    users = [user for user in users if user["active"] and user["role"] == "end-user" and key(user) == suspects]
    stays, *others = sorted(users, key=lambda user: (not user["verified"], user["created_at"], user["id"]))
    for user in others:
        zendesk.put(f"/users/{user['id']}/merge", {"user": {"id": stays["id"]}})
