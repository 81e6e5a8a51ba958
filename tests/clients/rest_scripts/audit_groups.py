"""Reads the groups, and the memberships of each with their users beside them."""

import csv
import sys

from zendesk import Session

zendesk = Session()


def memberships(group):
    """Returns the memberships of a group, and their users by id."""
    rows, users, parameters = [], {}, {"include": "users", "page[size]": 100}
    while True:
        page = zendesk.get(f"/groups/{group['id']}/memberships", **parameters)
        rows += page["group_memberships"]
        users.update((user["id"], user) for user in page["users"])
        if not page["meta"]["has_more"]:
            return rows, users
        parameters["page[after]"] = page["meta"]["after_cursor"]


output = csv.writer(sys.stdout)
output.writerow(["id", "name", "agents", "default_for", "suspended", "never_signed_in", "odd"])
for group in sorted(zendesk.all("/groups", "groups"), key=lambda group: group["id"]):
    members, users = memberships(group)
    people = [users[membership["user_id"]] for membership in members]
    suspended = sorted(user["id"] for user in people if user["suspended"])
    absent = sorted(user["id"] for user in people if not user["last_login_at"])
    findings = ["no agents"] if not members else ["one agent only"] if len(members) == 1 else []
    if suspended:
        findings.append("suspended agents")
    if absent:
        findings.append("agents who have never signed in")
    default_for = sum(membership["default"] for membership in members)
    row = [group["id"], group["name"], len(members), default_for, " ".join(map(str, suspended)), " ".join(map(str, absent))]
    output.writerow([*row, "; ".join(findings)])
