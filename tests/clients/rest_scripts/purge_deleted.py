"""Reads all deleted users, and erases those that have been deleted for thirty days and are not erased already."""

import datetime

from zendesk import Session

zendesk = Session()
until = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=30)
for user in list(zendesk.all("/deleted_users", "deleted_users")):
    deleted = datetime.datetime.fromisoformat(user["updated_at"].replace("Z", "+00:00"))
    if deleted < until and user["name"] != "Permanently Deleted User":
        zendesk.delete(f"/deleted_users/{user['id']}")
