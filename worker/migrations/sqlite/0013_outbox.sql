-- What others are to be told, written in the transaction that makes it true; see migrations/postgres for what the columns say. Only one
-- process writes at a time, so events become visible in the order of their ids.
create table outbox (
    id         integer primary key autoincrement,
    event      text not null,
    body       text not null,
    created_at integer not null
);

create table sink (
    name          text primary key not null,
    place         integer not null,
    seen_at       integer not null,
    owner         text,
    lease_until   integer not null default 0,
    attempts      integer not null default 0,
    failing_since integer,
    retry_at      integer not null default 0,
    reason        text,
    disabled_at   integer
) without rowid;

-- What the program that submitted the place calls its submission; the last one counts.
alter table asset_path add column correlation text;
-- What is told of an asset goes with it.
create index outbox_asset on outbox (body ->> 'asset_id');
