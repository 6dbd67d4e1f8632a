"""How a realm comes in: its description checked for form, its checks in order, its conditions, its activation."""

from tenants_api.onboarding.checks import Report
from tenants_api.onboarding.commands import Commands
from tenants_api.onboarding.drafts import members_of, realm_draft
from tenants_api.onboarding.reconciler import Reconciler

__all__ = ["Commands", "Reconciler", "Report", "members_of", "realm_draft"]
