#!/bin/sh
# Run once by the postgres image on an empty volume: the role that migrates and the role that serves.
# The app's role owns nothing and cannot pass row-level security; rights on tables to come are granted beforehand.
set -eu

psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    -v owner_password="$TENANTS_OWNER_PASSWORD" -v app_password="$TENANTS_APP_PASSWORD" -v database="$POSTGRES_DB" <<'SQL'
create role tenants_owner login nosuperuser nocreatedb nocreaterole nobypassrls password :'owner_password';
create role tenants_app login nosuperuser nocreatedb nocreaterole nobypassrls password :'app_password';
alter database :"database" owner to tenants_owner;
alter schema public owner to tenants_owner;
revoke create on schema public from public;
grant usage on schema public to tenants_app;
alter default privileges for role tenants_owner in schema public
    grant select, insert, update, delete on tables to tenants_app;
alter default privileges for role tenants_owner in schema public grant usage, select on sequences to tenants_app;
SQL
