"""Looks for each leaver by external id, suspends each, and ends their sessions with one request for a hundred."""

import sys

from zendesk import Session, hundreds, lines

zendesk, left = Session(), []
for external_id in lines(sys.argv[1]):
    found = zendesk.get("/users/search", external_id=external_id)["users"]
    if not found:
        print(external_id, "is nobody")
        continue
    user = found[0]
    if not user["suspended"] or user["role"] != "end-user":
        zendesk.put(f"/users/{user['id']}", {"user": {"suspended": True, "role": "end-user"}})
        left.append(user["id"])
for part in hundreds(left):
    zendesk.request("POST", "/users/logout_many", ids=",".join(map(str, part)))
