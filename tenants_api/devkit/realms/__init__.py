"""Development realms: issuers with Keycloak's URLs and token shapes, for the demo and the tests.

Their passwords are public, so they accept requests of this machine only. They use neither the registry nor the
verifier: a test of both compares two independent implementations.
"""

from tenants_api.devkit.realms.app import create_dev_realms
from tenants_api.devkit.realms.faults import Faults
from tenants_api.devkit.realms.keys import REMOVE, SigningKeys
from tenants_api.devkit.realms.people import DevClient, DevUser
from tenants_api.devkit.realms.realm import DevRealm
from tenants_api.devkit.realms.server import DevRealmServer, run_dev_realms, serve_dev_realms

__all__ = [
    "REMOVE",
    "DevClient",
    "DevRealm",
    "DevRealmServer",
    "DevUser",
    "Faults",
    "SigningKeys",
    "create_dev_realms",
    "run_dev_realms",
    "serve_dev_realms",
]
