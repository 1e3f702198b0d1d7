-- What a Supabase project has and a plain server lacks, as far as row security can tell.
-- Run by a superuser, before existing_installation.sql.

create role anon nologin;
create role authenticated nologin;
create role service_role nologin bypassrls;

create schema auth;
create function auth.uid() returns uuid language sql stable as $$
    select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
grant usage on schema auth to anon, authenticated, service_role, site_owner;
grant usage on schema public to anon, authenticated, service_role;

-- As in projects made before new tables stopped being open by default.
alter default privileges for role site_owner in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role site_owner in schema public
    grant all on sequences to anon, authenticated, service_role;
