-- A site that has been running for months: the four tables in use, made by somebody else, with
-- rows, triggers, policies and columns of its own. Run by the tables' owner. Types and names differ
-- from ours where a real installation's would.

create type public.app_role as enum ('admin', 'editor');

create table public.user_roles (
    user_id uuid not null,
    role public.app_role not null,
    primary key (user_id, role)
);

create function public.has_role(_user_id uuid, _role public.app_role) returns boolean
language sql stable security definer set search_path = public as $$
    select exists (select from user_roles where user_id = _user_id and role = _role)
$$;

insert into public.user_roles values ('a0000000-0000-4000-8000-000000000001', 'admin');

create table public.leads (
    id uuid primary key default gen_random_uuid(),
    email text not null,
    name text,
    first_name text,
    last_name text,
    phone varchar(32),
    city text,
    state text,
    zip varchar(12),
    fbp text,
    fbc text,
    gclid text,
    client_user_agent text,
    ip_hash text,
    session_data jsonb default '{}'::jsonb,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- The site's own.
    quote_amount numeric(10, 2),
    window_count integer default 1,
    utm_source text,
    notes text,
    status text not null default 'new' constraint leads_status_valid check (status in ('new', 'won', 'lost'))
);
create unique index leads_email_key on public.leads (lower(email));

create table public.wm_event_log (
    id uuid primary key default gen_random_uuid(),
    client_id text,
    lead_id uuid,
    session_id uuid,
    event_id uuid constraint wm_event_log_event_once unique,
    event_name text not null,
    event_type text default 'unknown',
    event_time timestamptz not null,
    external_id text,
    source_tool text,
    page_path text,
    funnel_stage text,
    intent_tier integer,
    traffic_source text,
    traffic_medium text,
    campaign_id text,
    fbclid text,
    gclid text,
    fbp text,
    fbc text,
    lead_score integer,
    metadata jsonb default '{}'::jsonb,
    user_data jsonb,
    source_system text,
    ingested_by text,
    created_at timestamptz default now()
    -- No email_sha256, no phone_sha256: they came with a later version of the site.
);
create unique index wm_event_log_one_conversion on public.wm_event_log (lead_id, event_name)
    where event_name = 'lead_submission_success';

create function public.prevent_event_log_change() returns trigger language plpgsql as $$
begin
    raise exception 'wm_event_log is append-only';
end $$;
create trigger wm_event_log_immutable before update or delete on public.wm_event_log
    for each row execute function public.prevent_event_log_change();

create table public.tracking_failed_events (
    id uuid primary key default gen_random_uuid(),
    event_id uuid not null,
    event_name text not null,
    event_type text default 'conversion',
    event_payload jsonb not null,
    user_data jsonb,
    destination text not null
        constraint destination_known check (destination in ('meta_capi', 'google_ec', 'gtm_server', 'supabase')),
    error_message text not null,
    error_code text,
    http_status integer,
    retry_count integer default 0,
    max_retries integer default 5,
    next_retry_at timestamptz,
    status text default 'pending'
        constraint status_known check (status in ('pending', 'retrying', 'resolved', 'dead_letter')),
    resolved_at timestamptz,
    resolved_by text,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    lead_id uuid references public.leads (id),
    session_id uuid
);
create index idx_failed_events_retry on public.tracking_failed_events (next_retry_at)
    where status = 'pending';

create function public.touch_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end $$;
create trigger tracking_failed_events_touch before update on public.tracking_failed_events
    for each row execute function public.touch_updated_at();
create trigger leads_touch before update on public.leads
    for each row execute function public.touch_updated_at();

create table public.tracking_health_alerts (
    id uuid primary key default gen_random_uuid(),
    alert_type text not null constraint alert_kinds check (
        alert_type in ('emq_critical', 'failed_events_critical', 'error_rate_critical', 'pixel_missing')),
    severity text not null check (severity in ('warning', 'critical')),
    message text not null,
    metric_value numeric,
    threshold numeric,
    resolved_at timestamptz,
    created_at timestamptz default now()
);

insert into public.leads (id, email, name, city, state, created_at, updated_at, quote_amount, utm_source)
select ('10000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       'visitor' || n || '@example.com', 'Visitor ' || n,
       case when n % 3 = 0 then 'Tampa' end, case when n % 3 = 0 then 'Florida' end,
       '2026-05-01 08:00+00'::timestamptz + n * interval '1 hour',
       '2026-05-01 09:00+00'::timestamptz + n * interval '1 hour', n * 100.5, 'newsletter'
  from generate_series(1, 40) as n;

insert into public.wm_event_log (id, lead_id, event_id, event_name, event_type, event_time, user_data, created_at)
select ('20000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       ('10000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       ('30000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       'lead_submission_success', 'conversion', '2026-05-01 08:00+00'::timestamptz + n * interval '1 hour',
       jsonb_build_object('client_ip_address', '192.0.2.' || n),
       '2026-05-01 08:00+00'::timestamptz + n * interval '1 hour'
  from generate_series(1, 40) as n;

insert into public.tracking_failed_events
    (id, event_id, event_name, event_payload, destination, error_message, http_status, retry_count, status,
     next_retry_at, resolved_at, resolved_by, created_at, updated_at, lead_id)
select ('40000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       ('30000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       'Lead', jsonb_build_object('event_name', 'Lead', 'n', n),
       (array['meta_capi', 'google_ec', 'gtm_server', 'supabase'])[1 + n % 4],
       'HTTP 503', 503, n % 5, (array['pending', 'retrying', 'resolved', 'dead_letter'])[1 + n / 4 % 4],
       case when n % 2 = 0 then '2026-05-03 08:00+00'::timestamptz end,
       case when n / 4 % 4 = 2 then '2026-05-04 08:00+00'::timestamptz end,
       case when n / 4 % 4 = 2 then 'admin' end,
       '2026-05-02 08:00+00'::timestamptz, '2026-05-02 09:00+00'::timestamptz,
       ('10000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
  from generate_series(1, 32) as n;

-- Three open alerts of one type (the newest two of the same moment), one of another, one closed.
insert into public.tracking_health_alerts
    (id, alert_type, severity, message, metric_value, threshold, resolved_at, created_at) values
    ('50000000-0000-4000-8000-000000000001', 'emq_critical', 'critical', 'EMQ 3.1', 3.1, 4, null, '2026-05-02 08:00+00'),
    ('50000000-0000-4000-8000-000000000002', 'emq_critical', 'critical', 'EMQ 3.0', 3.0, 4, null, '2026-05-03 08:00+00'),
    ('50000000-0000-4000-8000-000000000003', 'emq_critical', 'warning', 'EMQ 3.2', 3.2, 4, null, '2026-05-03 08:00+00'),
    ('50000000-0000-4000-8000-000000000004', 'pixel_missing', 'warning', 'no pixel', 0, 1, null, '2026-05-02 08:00+00'),
    ('50000000-0000-4000-8000-000000000005', 'emq_critical', 'critical', 'EMQ 2.9', 2.9, 4, '2026-05-01 09:00+00', '2026-05-01 08:00+00');

alter table public.leads enable row level security;
alter table public.wm_event_log enable row level security;
alter table public.tracking_failed_events enable row level security;
alter table public.tracking_health_alerts enable row level security;

do $$
begin
    -- Only Supabase knows who is asking.
    if to_regprocedure('auth.uid()') is not null then
        create policy "Admins can view failed events" on public.tracking_failed_events
            for select using (public.has_role(auth.uid(), 'admin'));
        create policy "Admins can update failed events" on public.tracking_failed_events
            for update using (public.has_role(auth.uid(), 'admin'));
        create policy "Admins can view alerts" on public.tracking_health_alerts
            for select to authenticated using (public.has_role(auth.uid(), 'admin'));
        create policy "Admins can view events" on public.wm_event_log
            for select to authenticated using (public.has_role(auth.uid(), 'admin'));
        create policy "Service role writes leads" on public.leads
            for all to service_role using (true) with check (true);
    end if;
end $$;
