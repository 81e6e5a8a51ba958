"""Looks for each user by external id, and writes the tags that it has with the new ones."""

import sys

from zendesk import Session, lines

path, *tags = sys.argv[1:]
zendesk = Session()
for external_id in lines(path):
    found = zendesk.get("/users/search", external_id=external_id)["users"]
    if not found:
        print(external_id, "is nobody")
    elif not set(tags) <= set(found[0]["tags"]):
        zendesk.put(f"/users/{found[0]['id']}", {"user": {"tags": sorted({*found[0]["tags"], *tags})}})
