-- Times are milliseconds since 1970, UTC. Ids of assets and suggestions are derived from content: a repeated write
-- is the same write.

create table asset (
    id           text primary key not null,
    content_hash text not null,
    bytes        integer not null,
    width        integer,
    height       integer,
    format       text,
    -- 0 interactive, 1 backfill: the order in which lanes are leased.
    lane         integer not null,
    created_at   integer not null,
    -- When the first of its pending work may run; null if nothing is pending. Kept by every write to work.
    ready_at     integer,
    lease_owner  text,
    lease_until  integer,
    -- Whether the run under the current lease has begun, and whether it has the process to itself.
    run_began    integer not null default 0,
    run_alone    integer not null default 0,
    -- Runs that ended with their process, as a suspect among others and alone.
    suspect      integer not null default 0,
    lost_alone   integer not null default 0
) without rowid;

create index asset_ready on asset (lane, suspect, lost_alone, created_at, id) where ready_at is not null;
create index asset_leased on asset (lease_until) where lease_until is not null;
create index asset_newest on asset (created_at desc, id desc);

create table asset_path (
    uri         text primary key not null,
    asset_id    text not null references asset (id) on delete cascade,
    bytes       integer not null,
    modified_ns integer not null,
    seen_at     integer not null
) without rowid;

create index asset_path_asset on asset_path (asset_id, uri);

create table work (
    asset_id     text not null references asset (id) on delete cascade,
    analyzer     text not null,
    state        text not null check (state in ('pending', 'done', 'failed', 'blocked')),
    model        text not null,
    attempts     integer not null default 0,
    not_before   integer not null default 0,
    failure_kind text,
    reason       text,
    updated_at   integer not null,
    primary key (asset_id, analyzer)
) without rowid;

create index work_counts on work (analyzer, state, model);
create index work_failed on work (updated_at desc, asset_id, analyzer) where state = 'failed';

create table run (
    id          integer primary key autoincrement,
    asset_id    text not null references asset (id) on delete cascade,
    owner       text not null,
    finished_at integer not null,
    -- {"analyzer": "model id@version"} of what was completed.
    models      text not null
);

create index run_asset on run (asset_id);

create table suggestion (
    id            text primary key not null,
    asset_id      text not null references asset (id) on delete cascade,
    analyzer      text not null,
    kind          text not null,
    value         text not null,
    confidence    real not null,
    region_x      real,
    region_y      real,
    region_width  real,
    region_height real,
    status        text not null check (status in ('pending', 'accepted', 'rejected', 'superseded')),
    model         text not null,
    run_id        integer not null,
    created_at    integer not null,
    -- Listing order: newest asset first, its kinds in the order people see them, surest first.
    asset_at      integer not null,
    kind_order    integer not null
) without rowid;

create index suggestion_listing on suggestion (asset_at desc, asset_id, kind_order, confidence desc, id);
create index suggestion_status_listing
    on suggestion (status, asset_at desc, asset_id, kind_order, confidence desc, id);
create index suggestion_asset on suggestion (asset_id, status);
create index suggestion_value on suggestion (kind, value, status, asset_id);

create table review (
    id            integer primary key autoincrement,
    suggestion_id text not null references suggestion (id),
    at            integer not null,
    reviewer      text not null,
    client        text not null,
    action        text not null,
    before        text not null,
    after         text not null
);

create index review_suggestion on review (suggestion_id, id);

-- The review log only grows.
create trigger review_is_not_changed before update on review
begin
    select raise(abort, 'the review log only grows');
end;
create trigger review_is_not_deleted before delete on review
begin
    select raise(abort, 'the review log only grows');
end;

create table vector (
    -- Grows with every write, so that an index can page in what is new.
    sequence      integer primary key autoincrement,
    id            text not null unique,
    asset_id      text not null references asset (id) on delete cascade,
    space         text not null,
    region_x      real,
    region_y      real,
    region_width  real,
    region_height real,
    -- Little-endian 32-bit floats.
    data          blob not null
);

create index vector_space on vector (space, sequence);
create index vector_asset on vector (asset_id, space);
