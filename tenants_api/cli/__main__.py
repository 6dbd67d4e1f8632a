"""`python -m tenants_api.cli` is `tenants-api`."""

from tenants_api.cli import main

if __name__ == "__main__":
    main()
