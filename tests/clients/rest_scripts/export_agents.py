"""Reads the lists of groups, organizations, roles and memberships for their names, and then the agents."""

import collections
import csv
import sys

from zendesk import Session

zendesk = Session()
groups = {group["id"]: group["name"] for group in zendesk.all("/groups", "groups")}
organizations = {organization["id"]: organization["name"] for organization in zendesk.all("/organizations", "organizations")}
roles = {role["id"]: role["name"] for role in zendesk.get("/custom_roles")["custom_roles"]}
groups_of = collections.defaultdict(list)
for membership in zendesk.all("/group_memberships", "group_memberships"):
    groups_of[membership["user_id"]].append(groups[membership["group_id"]])
output = csv.writer(sys.stdout)
output.writerow(["id", "name", "email", "role", "organization", "groups"])
for user in zendesk.all("/users", "users", **{"role[]": ["agent", "admin"]}):
    role, organization = roles.get(user["custom_role_id"], user["role"]), organizations.get(user["organization_id"])
    output.writerow([user["id"], user["name"], user["email"], role, organization, "; ".join(sorted(groups_of[user["id"]]))])
