-- The ledger that several processes share. The same tables as in migrations/sqlite, and what only a server needs:
-- counts that are kept instead of counted, and an outbox for events.
--
-- Times are milliseconds since 1970, UTC, by this server's clock: the workers' clocks need not agree. Ids of assets and
-- suggestions are derived from content: a repeated write is the same write. Text is compared by its bytes, which is what
-- keyset pages and prefixes need.

create function docent_now() returns bigint language sql volatile parallel safe
    as $$ select (extract(epoch from clock_timestamp()) * 1000)::bigint $$;

create table asset (
    id           text collate "C" primary key,
    content_hash text collate "C" not null,
    bytes        bigint not null,
    width        bigint,
    height       bigint,
    format       text,
    -- 0 interactive, 1 backfill: the order in which lanes are leased.
    lane         bigint not null,
    created_at   bigint not null,
    -- When the first of its pending work may run; null if nothing is pending. Kept by every write to work.
    ready_at     bigint,
    lease_owner  text,
    lease_until  bigint,
    -- Whether the run under the current lease has begun, and whether it had its process to itself.
    run_began    boolean not null default false,
    run_alone    boolean not null default false,
    -- Runs that ended with their process, as a suspect among others and alone.
    suspect      bigint not null default 0,
    lost_alone   bigint not null default 0
    -- Leases rewrite a row several times; room on its page keeps them from spreading.
) with (fillfactor = 70);

-- The feeder's page: in this order, and without what is leased.
create index asset_ready on asset (lane, suspect, lost_alone, created_at, id)
    where ready_at is not null and lease_until is null;
-- What waits for a retry must not stand in the feeder's way: a page of the index above would be full of it.
create index asset_waiting on asset (ready_at) where ready_at is not null and lease_until is null;
create index asset_leased on asset (lease_until) where lease_until is not null;
create index asset_newest on asset (created_at desc, id desc);

create table asset_path (
    uri         text collate "C" primary key,
    asset_id    text collate "C" not null references asset (id) on delete cascade,
    bytes       bigint not null,
    modified_ns bigint not null,
    seen_at     bigint not null
);

create index asset_path_asset on asset_path (asset_id, uri);

create table work (
    asset_id     text collate "C" not null references asset (id) on delete cascade,
    analyzer     text collate "C" not null,
    state        text collate "C" not null check (state in ('pending', 'done', 'failed', 'blocked')),
    model        text collate "C" not null,
    attempts     bigint not null default 0,
    not_before   bigint not null default 0,
    failure_kind text,
    reason       text,
    updated_at   bigint not null,
    primary key (asset_id, analyzer)
) with (fillfactor = 80);

-- What is stale: done by a model before or after the wanted one in this order.
create index work_done on work (analyzer, model, asset_id) where state = 'done';
create index work_failed on work (updated_at desc, asset_id, analyzer) where state = 'failed';

create table run (
    id          bigint generated always as identity primary key,
    asset_id    text collate "C" not null references asset (id) on delete cascade,
    owner       text not null,
    finished_at bigint not null,
    -- {"analyzer": "model id@version"} of what was completed.
    models      jsonb not null
);

create index run_asset on run (asset_id, id);

create table suggestion (
    id            text collate "C" primary key,
    asset_id      text collate "C" not null references asset (id) on delete cascade,
    analyzer      text collate "C" not null,
    kind          text collate "C" not null,
    value         text collate "C" not null,
    confidence    double precision not null,
    region_x      double precision,
    region_y      double precision,
    region_width  double precision,
    region_height double precision,
    status        text collate "C" not null check (status in ('pending', 'accepted', 'rejected', 'superseded')),
    model         text collate "C" not null,
    run_id        bigint not null,
    created_at    bigint not null,
    -- Listing order: newest asset first, its kinds in the order people see them, surest first.
    asset_at      bigint not null,
    kind_order    bigint not null
);

-- All ascending, so that "after this row" is one comparison of rows and one range of the index.
create index suggestion_listing
    on suggestion ((-asset_at), asset_id, kind_order, (-confidence), id);
create index suggestion_status_listing
    on suggestion (status, (-asset_at), asset_id, kind_order, (-confidence), id);
create index suggestion_kind_listing
    on suggestion (status, kind_order, (-asset_at), asset_id, (-confidence), id);
create index suggestion_asset on suggestion (asset_id, status);
-- The text of a page can be longer than an index entry may be.
create index suggestion_value on suggestion (left(value, 128), status, asset_id);

create table review (
    id            bigint generated always as identity primary key,
    suggestion_id text collate "C" not null references suggestion (id),
    at            bigint not null,
    reviewer      text not null,
    client        text not null,
    action        text not null,
    before        text not null,
    after         text not null
);

create index review_suggestion on review (suggestion_id, id);

-- The review log only grows.
create function review_only_grows() returns trigger language plpgsql
    as $$ begin raise exception 'the review log only grows'; end $$;
create trigger review_is_kept before update or delete or truncate on review
    for each statement execute function review_only_grows();

create table vector (
    -- Grows with every write, so that an index can page in what is new.
    sequence      bigint generated always as identity primary key,
    id            text collate "C" not null unique,
    asset_id      text collate "C" not null references asset (id) on delete cascade,
    space         text collate "C" not null,
    region_x      double precision,
    region_y      double precision,
    region_width  double precision,
    region_height double precision,
    -- Little-endian 32-bit floats. Stored as they are: they do not compress.
    data          bytea not null
);

alter table vector alter column data set storage external;
create index vector_space on vector (space, sequence);
create index vector_asset on vector (asset_id, space);

-- Counts. Every statement that changes a counted table adds the differences it makes; a count is their sum. Nothing is
-- ever updated here, so that writers never wait for each other, and a transaction that rolls back takes its differences
-- with it. `docent_sum_up` replaces many differences by few.
create table tally (
    id    bigint generated always as identity primary key,
    what  text collate "C" not null,
    a     text collate "C" not null default '',
    b     text collate "C" not null default '',
    c     text collate "C" not null default '',
    delta bigint not null
);

create index tally_what on tally (what, a, b, c) include (delta);

create function docent_sum_up() returns void language plpgsql as $$
begin
    -- One at a time; who comes second has nothing to do.
    if pg_try_advisory_xact_lock(hashtext('docent tally')) then
        with gone as (delete from tally returning what, a, b, c, delta)
        insert into tally (what, a, b, c, delta)
            select what, a, b, c, sum(delta) from gone group by what, a, b, c having sum(delta) <> 0;
    end if;
end $$;

create function tally_asset_added() returns trigger language plpgsql as $$
begin
    insert into tally (what, delta) select 'asset', count(*) from added having count(*) > 0;
    insert into tally (what, delta)
        select 'ready', count(*) from added where ready_at is not null having count(*) > 0;
    return null;
end $$;
create function tally_asset_removed() returns trigger language plpgsql as $$
begin
    insert into tally (what, delta) select 'asset', -count(*) from removed having count(*) > 0;
    insert into tally (what, delta)
        select 'ready', -count(*) from removed where ready_at is not null having count(*) > 0;
    return null;
end $$;
create function tally_asset_changed() returns trigger language plpgsql as $$
begin
    insert into tally (what, delta)
        select 'ready', sum(n) from (
            select 1 as n from added where ready_at is not null
            union all select -1 from removed where ready_at is not null) d having sum(n) <> 0;
    return null;
end $$;
create trigger asset_added after insert on asset referencing new table as added
    for each statement execute function tally_asset_added();
create trigger asset_removed after delete on asset referencing old table as removed
    for each statement execute function tally_asset_removed();
create trigger asset_changed after update on asset referencing new table as added old table as removed
    for each statement execute function tally_asset_changed();

create function tally_path_added() returns trigger language plpgsql as $$
begin
    insert into tally (what, delta) select 'path', count(*) from added having count(*) > 0;
    return null;
end $$;
create function tally_path_removed() returns trigger language plpgsql as $$
begin
    insert into tally (what, delta) select 'path', -count(*) from removed having count(*) > 0;
    return null;
end $$;
create trigger path_added after insert on asset_path referencing new table as added
    for each statement execute function tally_path_added();
create trigger path_removed after delete on asset_path referencing old table as removed
    for each statement execute function tally_path_removed();

create function tally_work_added() returns trigger language plpgsql as $$
begin
    insert into tally (what, a, b, c, delta)
        select 'work', analyzer, state, model, count(*) from added group by analyzer, state, model;
    return null;
end $$;
create function tally_work_removed() returns trigger language plpgsql as $$
begin
    insert into tally (what, a, b, c, delta)
        select 'work', analyzer, state, model, -count(*) from removed group by analyzer, state, model;
    return null;
end $$;
create function tally_work_changed() returns trigger language plpgsql as $$
begin
    insert into tally (what, a, b, c, delta)
        select 'work', analyzer, state, model, sum(n) from (
            select analyzer, state, model, 1 as n from added
            union all select analyzer, state, model, -1 from removed) d
        group by analyzer, state, model having sum(n) <> 0;
    return null;
end $$;
create trigger work_added after insert on work referencing new table as added
    for each statement execute function tally_work_added();
create trigger work_removed after delete on work referencing old table as removed
    for each statement execute function tally_work_removed();
create trigger work_changed after update on work referencing new table as added old table as removed
    for each statement execute function tally_work_changed();

create function tally_suggestion_added() returns trigger language plpgsql as $$
begin
    insert into tally (what, a, b, delta)
        select 'suggestion', status, kind, count(*) from added group by status, kind;
    return null;
end $$;
create function tally_suggestion_removed() returns trigger language plpgsql as $$
begin
    insert into tally (what, a, b, delta)
        select 'suggestion', status, kind, -count(*) from removed group by status, kind;
    return null;
end $$;
create function tally_suggestion_changed() returns trigger language plpgsql as $$
begin
    insert into tally (what, a, b, delta)
        select 'suggestion', status, kind, sum(n) from (
            select status, kind, 1 as n from added
            union all select status, kind, -1 from removed) d
        group by status, kind having sum(n) <> 0;
    return null;
end $$;
create trigger suggestion_added after insert on suggestion referencing new table as added
    for each statement execute function tally_suggestion_added();
create trigger suggestion_removed after delete on suggestion referencing old table as removed
    for each statement execute function tally_suggestion_removed();
create trigger suggestion_changed after update on suggestion referencing new table as added old table as removed
    for each statement execute function tally_suggestion_changed();

create function tally_vector_added() returns trigger language plpgsql as $$
begin
    insert into tally (what, a, delta) select 'vector', space, count(*) from added group by space;
    return null;
end $$;
create function tally_vector_removed() returns trigger language plpgsql as $$
begin
    insert into tally (what, a, delta) select 'vector', space, -count(*) from removed group by space;
    return null;
end $$;
create trigger vector_added after insert on vector referencing new table as added
    for each statement execute function tally_vector_added();
create trigger vector_removed after delete on vector referencing old table as removed
    for each statement execute function tally_vector_removed();

-- What others are to be told, written in the transaction that makes it true, and deleted once it was told.
create table outbox (
    id         bigint generated always as identity primary key,
    event      text not null,
    body       jsonb not null,
    created_at bigint not null
);
