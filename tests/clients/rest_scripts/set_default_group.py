"""Reads the memberships of the group, and makes each the default one."""

import sys

from zendesk import Session

zendesk = Session()
group = next(group for group in zendesk.all("/groups", "groups") if group["name"] == sys.argv[1])
for membership in zendesk.all(f"/groups/{group['id']}/memberships", "group_memberships"):
    if not membership["default"]:
        zendesk.put(f"/users/{membership['user_id']}/group_memberships/{membership['id']}/make_default")
