"""Lists all users and groups with zenpy, https://github.com/facetoe/zenpy, as its README does it.

Prints {"users": [ids], "groups": [ids]}. zenpy asks https://SUBDOMAIN.DOMAIN unless its own variables for tests name another
place: ZENPY_FORCE_SCHEME and ZENPY_FORCE_NETLOC.
"""

import json
import os
from urllib.parse import urlsplit

from zenpy import Zenpy

url = urlsplit(os.environ["ZENDESK_URL"])
os.environ["ZENPY_FORCE_SCHEME"] = url.scheme
os.environ["ZENPY_FORCE_NETLOC"] = url.netloc

client = Zenpy(subdomain="example", email=os.environ["ZENDESK_EMAIL"], token=os.environ["ZENDESK_TOKEN"])
print(json.dumps({"users": [user.id for user in client.users()], "groups": [group.id for group in client.groups()]}))
