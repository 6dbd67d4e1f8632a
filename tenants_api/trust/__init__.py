"""Whom the verifier may trust: from the registry's rows to a snapshot of realms and their keys."""

from tenants_api.trust.outcomes import Outcomes
from tenants_api.trust.rejections import Rejections
from tenants_api.trust.report import KeyInfo, KeyReport
from tenants_api.trust.source import RealmKeySource
from tenants_api.trust.store import Trust
from tenants_api.trust.stored import to_stored

__all__ = ["KeyInfo", "KeyReport", "Outcomes", "RealmKeySource", "Rejections", "Trust", "to_stored"]
